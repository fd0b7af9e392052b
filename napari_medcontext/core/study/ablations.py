"""The published ablations as arms, on any preset and any scans."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.presets import find_preset
from napari_medcontext.core.study.arms import BASELINE, Arm, Changes


@dataclass(frozen=True)
class AblationBasis:
    """What an ablation is built on: a preset, the number of scans, and weights if there are."""

    preset: str
    scans: int
    pretrained: Path | None = None

    def arm(self, name: str, changes: Changes | None = None, **attributes: Any) -> Arm:
        """Return an arm of the preset that the ablation is about."""
        return Arm(name=name, preset=self.preset, changes=changes or {}, **attributes)


def _supervised(name: str = BASELINE, **attributes: Any) -> Arm:
    return Arm(name=name, preset=BASELINE, **attributes)


def _mask_ratio(basis: AblationBasis) -> Sequence[Arm]:
    return [
        _supervised(),
        *(
            basis.arm(f"ratio {ratio}", {"masking": {"ratio": ratio, "ratio_range": None}})
            for ratio in MASK_RATIOS
        ),
    ]


def _losses(basis: AblationBasis) -> Sequence[Arm]:
    both = {"views": "two", "masked_weight": 1.0, "consistency_weight": 0.5}
    return [
        _supervised(),
        basis.arm("MSL", {"objective": {**both, "consistency_weight": 0.0}}),
        basis.arm("CL", {"objective": {**both, "masked_weight": 0.0}}),
        basis.arm("MSL and CL", {"objective": both}),
    ]


def _teacher(basis: AblationBasis) -> Sequence[Arm]:
    taught = {"views": "two", "consistency_weight": 0.5}
    return [
        _supervised(),
        basis.arm("without teacher", {"objective": {**taught, "consistency_weight": 0.0}}),
        basis.arm("with teacher", {"objective": taught}, weights=("student", "teacher", "mean")),
    ]


def _few_shot(basis: AblationBasis) -> Sequence[Arm]:
    arms: list[Arm] = []
    for count in (n for n in (*FEW_SHOTS, basis.scans) if n <= basis.scans):
        scans = f"{count} scan{'s' * (count > 1)}"
        baseline = f"{BASELINE}, {scans}"
        if all(arm.name != baseline for arm in arms):
            arms += [
                _supervised(baseline, scans=count, against=baseline),
                basis.arm(f"{basis.preset}, {scans}", scans=count, against=baseline),
            ]
    return arms


def _starting_point(basis: AblationBasis) -> Sequence[Arm]:
    if basis.pretrained is None:
        raise SettingsError(
            "The ablation starting-point compares with pre-trained weights: name their file with "
            "--pretrained."
        )
    start = {"network": {"pretrained": str(basis.pretrained)}}
    pretrained = f"{BASELINE}, pre-trained"
    return [
        _supervised(pretrained, changes=start),
        _supervised(f"{BASELINE}, from scratch", against=pretrained),
        basis.arm(f"{basis.preset}, from scratch", against=pretrained),
        basis.arm(f"{basis.preset}, pre-trained", start, against=pretrained),
    ]


def _unlabelled(basis: AblationBasis) -> Sequence[Arm]:
    taught = {"objective": {"views": "two", "consistency_weight": 0.5}}
    return [
        _supervised(),
        basis.arm("labelled scans", taught),
        basis.arm("and unlabelled", taught, unlabelled=True, against="labelled scans"),
    ]


MASK_RATIOS = (0.3, 0.4, 0.5, 0.6, 0.8)
FEW_SHOTS = (1, 2, 3, 5, 10)
ABLATIONS: Mapping[str, Callable[[AblationBasis], Sequence[Arm]]] = {
    "mask-ratio": _mask_ratio,
    "losses": _losses,
    "teacher": _teacher,
    "few-shot": _few_shot,
    "starting-point": _starting_point,
    "unlabelled": _unlabelled,
}
"""The published ablations, on any preset: Table 7, Table 8, Figure 4, Table 4 and Table 6; and
scans without labels, which the paper has not."""


def ablation(name: str, basis: AblationBasis) -> tuple[Arm, ...]:
    """Return the arms of a published ablation.

    Raises
    ------
    SettingsError
        For an unknown name, or where pre-trained weights are missing.
    """
    if name not in ABLATIONS:
        raise SettingsError(f"There is no ablation “{name}”; choose one of {', '.join(ABLATIONS)}.")
    find_preset(basis.preset)
    if basis.preset == BASELINE:
        raise SettingsError(
            "An ablation varies MedContext, so it cannot be of the method supervised. Choose "
            "default or paper."
        )
    return tuple(ABLATIONS[name](basis))
