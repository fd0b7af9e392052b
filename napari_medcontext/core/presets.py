"""Ways to train, by name: what each changes of the settings.

A preset says all of the objective and of the masking, so that it means the same whatever was
set before, and nothing of the network, the patches and the length of the run: presets that are
compared must see the same batches. The sources' augmentation is ``data.augmentation: paper``.

What the paper and its released code do differs. Where the code does other than its authors can
have meant, it is not copied: a teacher that is updated once an epoch or with a λ of 0.05 and
below, a consistency that shrinks with the number of voxels, tubes along left–right, a mask
ratio that is asked for and never read, one mask for all of a batch, a loss of the teacher
that has no gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.method_settings import MaskingSettings, ObjectiveSettings
from napari_medcontext.core.networks import find_network

Preset = Mapping[str, Mapping[str, Any]]


def _preset(objective: Mapping[str, Any], masking: Mapping[str, Any] | None = None) -> Preset:
    return {
        "objective": {**ObjectiveSettings().model_dump(), **objective},
        "masking": {**MaskingSettings().model_dump(), **(masking or {})},
    }


_AS_PUBLISHED = {
    "method": "medcontext",
    "views": "two",
    "masked_weight": 1.0,
    "masked_share": 1.0,
    "masked_start": 0.0,
    "masked_ramp": 0.0,
    "consistency_weight": 0.5,
    "consistency_ramp": 0.0,
    "momentum": 0.996,
    "momentum_schedule": "paper",
}
"""Eqs. 4 and 6; β and λ₀ are the code's, for the paper names no β."""

_MASKING_AS_PUBLISHED = {"scheme": "tube", "site": "tokens", "token": "value", "block_size": 16}
"""Where a network has no tokens, ``with_preset`` hides voxels; the paper does not say."""

PRESETS: Mapping[str, Preset] = {
    "default": _preset({}),
    "supervised": _preset({"method": "supervised"}),
    "paper": _preset(_AS_PUBLISHED, {**_MASKING_AS_PUBLISHED, "ratio": 0.4}),
    # 0.6 is what UNETR hides, and nnFormer for tumours; its other trainers hide 0.4.
    "released-code": _preset(_AS_PUBLISHED, {**_MASKING_AS_PUBLISHED, "ratio": 0.6}),
    "masked-loss-only": _preset({"consistency_weight": 0.0}),
    "consistency-only": _preset({"masked_weight": 0.0}),
    "one-pass": _preset({"views": "one", "masked_share": 0.5, "consistency_weight": 0.0}),
}
"""What ``RunConfig.updated`` takes, by name.

``masked-loss-only`` and ``consistency-only`` are rows of Table 8, the first also the arm
without a teacher of Figure 4. ``one-pass`` masks each patch with probability ½ in one view.
"""


def find_preset(name: str) -> Preset:
    """Return what a preset changes, for ``RunConfig.updated``.

    Raises
    ------
    SettingsError
        For an unknown name, listing the known ones.
    """
    if name not in PRESETS:
        raise SettingsError(f"There is no preset “{name}”; choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]


def with_preset(config: RunConfig, name: str) -> RunConfig:
    """Return the settings with a preset's in place of theirs.

    Where the preset hides tokens and the network has none, voxels are hidden.
    """
    changed = config.updated(find_preset(name))
    if changed.masking.site == "tokens" and find_network(config.network.name).tokens is None:
        return changed.updated({"masking": {"site": "voxels"}})
    return changed
