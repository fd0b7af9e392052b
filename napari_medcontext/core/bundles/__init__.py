"""MONAI bundles as something to predict with: a folder of configs and weights.

A bundle may hold code: its configs can name any Python function, and any expression to evaluate.
None of it is run here. A bundle that this program wrote says in its metadata what it needs
(``facts``, ``own``); of others the configs are read as plain data (``plain``), and only networks
and transforms of MONAI that ``allowed`` lists are built (``foreign``). What is not understood is
refused, and named.

Importing this package imports no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.settings import load_settings_file

METADATA = "configs/metadata.json"
INFERENCE = "configs/inference.json"
INFERENCE_YAML = "configs/inference.yaml"
MODEL = "models/model.pt"
OWN = "napari_medcontext"
"""The section of the metadata in which this program keeps what it needs to predict."""


class BundleError(MedContextError):
    """A MONAI bundle cannot be read, or asks for what is not understood."""


def is_bundle(folder: Path) -> bool:
    """Say whether a folder is a MONAI bundle, by its file of metadata."""
    return (folder / METADATA).is_file()


def require_source(folder: Path) -> None:
    """Refuse a folder that is neither a run nor a bundle to predict with.

    Raises
    ------
    RunError, SettingsError, BundleError
        Saying what is missing or cannot be read.
    """
    if not is_bundle(folder):
        RunFolder(folder).spec()
        return
    read_metadata(folder)
    if not (folder / MODEL).is_file():
        raise BundleError(
            f"The bundle {folder} has no {MODEL}. Bundles of the model zoo keep large files apart: "
            "download it with “python -m monai.bundle download”."
        )


def channels_of(folder: Path) -> tuple[str, ...]:
    """Return the channels that a run or bundle takes of a scan; none where it takes one."""
    if not is_bundle(folder):
        return RunFolder(folder).spec().channels
    return input_channels(read_metadata(folder))


def input_channels(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the channels of a bundle's input, if its metadata tell of several in one input."""
    try:
        (taken,) = metadata["network_data_format"]["inputs"].values()
        names = {int(index): str(name) for index, name in taken["channel_def"].items()}
        count = int(taken["num_channels"])
    except (KeyError, ValueError, TypeError, AttributeError):
        return ()
    return tuple(names.get(index, f"channel {index}") for index in range(count) if count > 1)


def weights_in(folder: Path) -> Path | None:
    """Return the file or folder of the weights that a run or bundle predicts with, if any."""
    return folder / MODEL if is_bundle(folder) else RunFolder(folder).state_to_predict_with()


def read_metadata(folder: Path) -> dict[str, Any]:
    """Read a bundle's metadata; raises a ``MedContextError`` where that fails."""
    return _loaded(folder / METADATA)


def read_inference(folder: Path) -> dict[str, Any]:
    """Read a bundle's inference config as plain data: nothing in it is evaluated.

    Raises
    ------
    BundleError, SettingsError
        If there is none, or it cannot be read.
    """
    for name in (INFERENCE, INFERENCE_YAML):
        if (folder / name).is_file():
            return _loaded(folder / name)
    raise BundleError(f"The bundle {folder} has neither {INFERENCE} nor {INFERENCE_YAML}.")


def _loaded(path: Path) -> dict[str, Any]:
    if path.suffix != ".json":
        return load_settings_file(path)
    try:
        # Not as YAML, to which JSON's 1e-05 is a word.
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read as JSON ({error}). Copy it again.") from error
    if not isinstance(values, dict):
        raise BundleError(f"{path} must hold a mapping, as configs of bundles do.")
    return values
