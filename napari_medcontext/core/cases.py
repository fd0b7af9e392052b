"""Find the scans of a study and the labels that belong to them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from napari_medcontext.core.channel_files import cases_of, study_channels
from napari_medcontext.core.config import Case
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.formats import scan_name
from napari_medcontext.core.io import list_scans
from napari_medcontext.core.method_settings import ObjectiveSettings
from napari_medcontext.core.nnunet import is_nnunet, nnunet_cases, nnunet_class_names


def paired_cases(
    images: Path,
    labels: Path,
    *,
    unlabelled: Path | None = None,
    channels: Sequence[str] = (),
) -> tuple[Case, ...]:
    """Pair the scans of one folder with the labels of another by name.

    Parameters
    ----------
    images, labels
        The folders.
    unlabelled
        Folder whose scans join without labels, those left out that have some. It may be
        ``images`` itself.
    channels
        What the channels of a scan are, where there are several.

    Raises
    ------
    ScanError
        If a scan lacks a channel, or has no labels and is not in ``unlabelled``.
    """
    if _same_folder(images, labels):
        raise ScanError(
            f"{images} is named for the scans and for the labels. Put labels into a folder of "
            "their own, under the names of their scans."
        )
    scans = list_scans(images)
    if not scans:
        raise ScanError(f"{images} holds no scan.")
    found, drawn = cases_of(scans, channels), _by_stem(list_scans(labels))
    refuse_duplicates(found)
    bare = [case.image.name for case in found if case.name not in drawn]
    if bare and not _same_folder(images, unlabelled):
        raise ScanError(
            f"{labels} has no file of the same name for {', '.join(bare)}. Add the labels, "
            "under the names of their scans, move these scans elsewhere, or name the folder of "
            "scans that shall join without labels (--unlabelled)."
        )
    cases = tuple(
        case.model_copy(update={"labels": drawn[case.name].absolute()})
        for case in found
        if case.name in drawn
    )
    return with_unlabelled(cases, unlabelled, channels)


def decathlon_cases(
    dataset: Path, ignore_label: int | None = None
) -> tuple[tuple[Case, ...], dict[int, str]]:
    """Read training cases and class names of a ``dataset.json``, the Decathlon's or nnU-Net's.

    An entry without “label”, or a plain path, is a scan without labels. ``ignore_label`` is the
    id that the settings take for “unknown”; nnU-Net's studies may name one.
    """
    values = _read_json(dataset)
    if is_nnunet(values):
        cases = nnunet_cases(dataset.parent, values, "Tr")
        return cases, nnunet_class_names(values.get("labels", {}), dataset, ignore_label)
    try:
        cases = tuple(_decathlon_case(dataset.parent, entry) for entry in values["training"])
        names = {int(k): str(name) for k, name in values.get("labels", {}).items() if int(k)}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ScanError(
            f"{dataset} is not in the Medical Segmentation Decathlon form ({error!r}): it needs "
            "“training”, a list of “image” and “label”, and “labels”, names by number."
        ) from error
    return cases, names


def dataset_channels(dataset: Path) -> tuple[str, ...]:
    """Return the channels that a ``dataset.json`` names, in order; none where it names none.

    Raises
    ------
    ScanError
        If the file cannot be read, or numbers them in no way.
    """
    try:
        return study_channels(_read_json(dataset))
    except (TypeError, ValueError, AttributeError) as error:
        raise ScanError(f"{dataset} names its channels in an unknown way ({error}).") from error


def decathlon_part(dataset: Path, part: Literal["test", "unlabeled"]) -> tuple[Case, ...]:
    """Read the other scans that a ``dataset.json`` lists: those to test on, or without labels.

    Where the list names no labels of a test scan, they are looked for in ``labelsTs``.

    Raises
    ------
    ScanError
        If the file cannot be read or is of another form.
    """
    values = _read_json(dataset)
    if is_nnunet(values):
        return nnunet_cases(dataset.parent, values, "Ts") if part == "test" else ()
    try:
        entries = values.get(part, [])
        cases = tuple(_decathlon_case(dataset.parent, entry) for entry in entries)
    except (KeyError, TypeError, AttributeError) as error:
        raise ScanError(
            f"{dataset} is not in the Medical Segmentation Decathlon form ({error!r}): “{part}” "
            "must be a list of paths, or of “image” and “label”."
        ) from error
    return tuple(_with_labels_beside(case, dataset.parent) for case in cases)


def _with_labels_beside(case: Case, folder: Path) -> Case:
    labels = folder / "labelsTs" / case.image.name
    if case.labels is not None or case.image.parent.name != "imagesTs" or not labels.is_file():
        return case
    return case.model_copy(update={"labels": labels.absolute()})


def with_unlabelled(
    cases: tuple[Case, ...], folder: Path | None, channels: Sequence[str] = ()
) -> tuple[Case, ...]:
    """Return the cases, and those scans of a folder that are none of them, without labels.

    Raises
    ------
    ScanError
        If the folder holds no other scan, or one lacks a channel.
    """
    if folder is None:
        return cases
    known = {file.resolve() for case in cases for file in (case.image, *case.further)}
    bare = [path for path in list_scans(folder) if path.resolve() not in known]
    if not bare:
        raise ScanError(f"{folder} holds no scan that has no labels already.")
    return cases + cases_of(bare, channels)


def require_labels(cases: Iterable[Case], objective: ObjectiveSettings) -> None:
    """Refuse scans without labels where these are needed: all but those that a teacher teaches.

    Raises
    ------
    ScanError
        Naming them, or saying that no training scan has labels.
    """
    cases = list(cases)
    training = [case for case in cases if case.role == "training"]
    if training and all(case.labels is None for case in training):
        raise ScanError(
            "No training scan has labels, so there is nothing to learn to find. Choose the labels "
            "of at least one of them."
        )
    for role in ("validation", "training"):
        bare = [case.name for case in cases if case.role == role and case.labels is None]
        if not bare or (role == "training" and objective.has_consistency):
            continue
        advice = "Choose their labels, or set them to “preview” or “unused”"
        if role == "training":
            advice += (
                ", or let them join through the teacher: with the method medcontext and a "
                "consistency weight above 0"
            )
        raise ScanError(f"Set to {role}, but without labels: {quoted(bare)}. {advice}.")


def quoted(names: Iterable[str]) -> str:
    """Return names as a message shows them."""
    return ", ".join(f"“{name}”" for name in names)


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


def pair_by_name(
    first: Sequence[Path], second: Sequence[Path]
) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Pair files whose names agree up to the ending of their format.

    Returns
    -------
    tuple of list
        The pairs, sorted by name, and the files that have no partner.

    Raises
    ------
    ScanError
        If two files of one side have the same name.
    """
    one, other = _by_stem(first), _by_stem(second)
    pairs = [(one[stem], other[stem]) for stem in sorted(one.keys() & other.keys())]
    left_over = [path for side in (one, other) for path in side.values()]
    paired = {path for pair in pairs for path in pair}
    return pairs, [path for path in left_over if path not in paired]


def _same_folder(one: Path, other: Path | None) -> bool:
    return other is not None and one.is_dir() and other.is_dir() and one.samefile(other)


def _by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    by_stem: dict[str, Path] = {}
    for path in paths:
        twin = by_stem.setdefault(scan_name(path), path)
        if twin != path:
            raise ScanError(f"{twin} and {path} have the same name. Remove one of them.")
    return by_stem


def _decathlon_case(folder: Path, entry: Any) -> Case:
    if isinstance(entry, str):
        entry = {"image": entry}
    image = (folder / entry["image"]).absolute()
    labels = (folder / entry["label"]).absolute() if entry.get("label") else None
    return Case(name=scan_name(image), image=image, labels=labels)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScanError(f"{path} cannot be read ({error.strerror}). Check the path.") from error
    except ValueError as error:
        raise ScanError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ScanError(f"{path} does not describe a study: it must be a table of entries.")
    return values
