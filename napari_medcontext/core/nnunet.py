"""Studies in nnU-Net's form: channels numbered in the files' names, labels by name to id."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_medcontext.core.channel_files import grouped, study_channels
from napari_medcontext.core.config import Case
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.formats import scan_name
from napari_medcontext.core.io import list_scans


def is_nnunet(study: Mapping[str, Any]) -> bool:
    """Say whether a ``dataset.json`` is nnU-Net's: it names channels, and lists no cases."""
    return "training" not in study and "channel_names" in study


def nnunet_cases(folder: Path, study: Mapping[str, Any], part: str) -> tuple[Case, ...]:
    """Return the cases of ``imagesTr`` or ``imagesTs``, with their labels where there are any.

    Parameters
    ----------
    folder
        That of the ``dataset.json``.
    study
        What it says.
    part
        ``"Tr"`` or ``"Ts"``.

    Raises
    ------
    ScanError
        If a file's name says no channel, or a scan lacks one.
    """
    images, labels = folder / f"images{part}", folder / f"labels{part}"
    if not images.is_dir():
        return ()
    found = list_scans(labels) if labels.is_dir() else []
    drawn = {scan_name(path): path.absolute() for path in found}
    return tuple(
        case.model_copy(update={"labels": drawn.get(case.name)})
        for case in grouped(list_scans(images), study_channels(study))
    )


def nnunet_class_names(
    labels: Mapping[str, Any], path: Path, ignore_label: int | None
) -> dict[int, str]:
    """Return class id to name, the background left out.

    Parameters
    ----------
    labels
        Name to id, as the study has them.
    path
        Its ``dataset.json``.
    ignore_label
        The id that the settings take for “unknown”.

    Raises
    ------
    ScanError
        If a label is a region of several ids, or the study's “ignore” is not ``ignore_label``;
        says how to give it.
    """
    if "ignore" in labels and labels["ignore"] != ignore_label:
        raise ScanError(
            f"In {path} the id {labels['ignore']} means “ignore”. Say so to the training: "
            f"--ignore-label {labels['ignore']}."
        )
    regions = {name: ids for name, ids in labels.items() if isinstance(ids, list)}
    if regions:
        words = " ".join(
            f'--region "{name}={",".join(map(str, ids))}"' for name, ids in regions.items()
        )
        raise ScanError(
            f"{path} defines regions of several ids. Give them beside --images and --labels: "
            f"{words}."
        )
    return {int(number): name for name, number in labels.items() if name != "ignore" and number}
