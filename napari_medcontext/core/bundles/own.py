"""Bundles that this program wrote, opened as the run that they were made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from napari_medcontext.core.bundles import METADATA, MODEL, OWN, BundleError
from napari_medcontext.core.bundles.facts import Facts
from napari_medcontext.core.classes import Classes
from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.device import Compute, choose_compute
from napari_medcontext.core.inference import OVERLAP, Predictor
from napari_medcontext.core.intensities import SHARED_BACKGROUND
from napari_medcontext.core.networks import build_network, network_names
from napari_medcontext.core.pretrained import read_state
from napari_medcontext.core.settings import validated
from napari_medcontext.core.training_settings import DataSettings


def load_own(
    folder: Path, metadata: Mapping[str, Any], compute: Compute | None = None
) -> Predictor:
    """Build the network of a bundle that this program wrote.

    Parameters
    ----------
    folder
        The bundle.
    metadata
        Its metadata, with the section ``OWN``.
    compute
        Where to compute; by default on what is there.

    Raises
    ------
    BundleError, SettingsError
        If it was changed, is of another version, or names code to import.
    """
    facts = validated(Facts, metadata[OWN], str(folder / METADATA))
    if (facts.overlap, facts.shared_background) != (OVERLAP, SHARED_BACKGROUND):
        raise BundleError(
            f"The bundle {folder} was written by version {facts.version}, which predicts "
            "otherwise. Predict with MONAI, or with that version."
        )
    if facts.network.name not in network_names():
        raise BundleError(
            f"The bundle {folder} names the network “{facts.network.name}”, which would be "
            "imported as code. Predict with the run itself, or with MONAI if you trust the bundle."
        )
    data = DataSettings(
        intensity=facts.intensity,
        window=facts.window,
        patch_size=facts.patch_size,
        resample=facts.resample,
    )
    config = RunConfig(network=facts.network, data=data)
    classes = Classes(facts.class_ids, facts.class_names, facts.regions)
    compute = compute or choose_compute(config.device)
    network = build_network(
        facts.network,
        channels=max(1, len(facts.channels)),
        classes=classes.outputs,
        patch_size=facts.patch_size,
    )
    _fill(network, folder / MODEL)
    network = network.eval().to(compute.device)
    return Predictor([network], config, classes, facts.spacing_mm, compute, channels=facts.channels)


def _fill(network: nn.Module, path: Path) -> None:
    """Load weights; a part that MONAI's network registers twice stands twice in the file."""
    own, found = network.state_dict(), read_state(path)
    missing = [name for name, tensor in own.items() if _shape(found.get(name)) != tensor.shape]
    if missing:
        raise BundleError(
            f"{path} does not fit the network that {METADATA} names: {missing[0]} is missing or of "
            "another shape. Export the run again."
        )
    network.load_state_dict({name: found[name] for name in own})


def _shape(tensor: torch.Tensor | None) -> torch.Size | None:
    return None if tensor is None else tensor.shape
