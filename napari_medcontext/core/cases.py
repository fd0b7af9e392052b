"""Find the scans of a study and the labels that belong to them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_medcontext.core.config import Case
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.evaluation import pair_by_name
from napari_medcontext.core.io import list_nifti, nifti_stem


def paired_cases(images: Path, labels: Path) -> tuple[Case, ...]:
    """Pair the scans of one folder with the labels of another by name.

    Raises
    ------
    ScanError
        If a scan has no labels; to train on some scans only, give a folder with those.
    """
    scans = list_nifti(images)
    if not scans:
        raise ScanError(f"{images} holds no .nii or .nii.gz file.")
    pairs, left_over = pair_by_name(scans, list_nifti(labels))
    unlabelled = sorted(path.name for path in left_over if path.parent == images)
    if unlabelled:
        raise ScanError(
            f"{labels} has no file of the same name for {', '.join(unlabelled)}. Add the labels, "
            "or move these scans elsewhere."
        )
    return tuple(
        Case(name=nifti_stem(image), image=image.absolute(), labels=label.absolute())
        for image, label in pairs
    )


def decathlon_cases(dataset: Path) -> tuple[tuple[Case, ...], dict[int, str]]:
    """Read training cases and class names of a Medical Segmentation Decathlon ``dataset.json``."""
    values = _read_json(dataset)
    try:
        cases = tuple(_decathlon_case(dataset.parent, entry) for entry in values["training"])
        names = {int(k): str(name) for k, name in values.get("labels", {}).items() if int(k)}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ScanError(
            f"{dataset} is not in the Medical Segmentation Decathlon form ({error!r}): it needs "
            "“training”, a list of “image” and “label”, and “labels”, names by number."
        ) from error
    return cases, names


def refuse_duplicates(cases: Sequence[Case]) -> None:
    """Refuse two scans of one name: the second would take the place of the first.

    Raises
    ------
    ScanError
        Naming them.
    """
    names = [case.name for case in cases]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise ScanError(f"Several scans are called {', '.join(double)}. Rename all but one.")


def _decathlon_case(folder: Path, entry: Any) -> Case:
    image = (folder / entry["image"]).absolute()
    return Case(name=nifti_stem(image), image=image, labels=(folder / entry["label"]).absolute())


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScanError(f"{path} cannot be read ({error.strerror}). Check the path.") from error
    except ValueError as error:
        raise ScanError(f"{path} is not JSON: {error}") from error
