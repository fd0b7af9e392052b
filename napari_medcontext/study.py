"""Which files of a folder are scans and which their labels, and what their classes are called."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.io import list_scans
from napari_medcontext.core.nnunet import is_nnunet, nnunet_cases

Kind = Literal["image", "labels"]


@dataclass(frozen=True)
class StudyFile:
    """One file of a study; ``kind`` is None where its voxels must tell."""

    path: Path
    kind: Kind | None = None
    class_names: Mapping[int, str] = field(default_factory=dict)


def study_files(folder: Path) -> list[StudyFile]:
    """Return the scans of a folder in the order in which to open them.

    A folder with a ``dataset.json`` in the Medical Segmentation Decathlon form names its own
    files: each scan before its labels, training cases first. One with ``imagesTr`` or
    ``images`` is read from its ``images…`` and ``labels…`` folders. Any other gives the files
    that it holds.

    Raises
    ------
    ScanError
        If ``dataset.json`` is no such file.
    """
    if (folder / "dataset.json").is_file():
        return list(_decathlon_files(folder / "dataset.json"))
    folders = [child for child in sorted(folder.iterdir()) if child.is_dir()]
    image_folders = [child for child in folders if child.name.lower().startswith("images")]
    if not image_folders:
        return [StudyFile(path) for path in list_scans(folder)]
    # "Tr" sorts behind "Ts", but training cases come first.
    image_folders.sort(key=lambda child: not child.name.lower().endswith("tr"))
    return [
        file
        for images in image_folders
        for file in _paired_files(images, folder / ("labels" + images.name[len("images") :]))
    ]


def _paired_files(images: Path, labels: Path) -> Iterator[StudyFile]:
    drawn = list_scans(labels) if labels.is_dir() else []
    left = {path.name: path for path in drawn}
    for path in list_scans(images):
        yield StudyFile(path, "image")
        # Some studies number a scan's channels, "case_0000.nii.gz", but not its labels.
        for name in (path.name, path.name.replace("_0000.", ".")):
            if name in left:
                yield StudyFile(left.pop(name), "labels")
    yield from (StudyFile(path, "labels") for path in left.values())


def _decathlon_files(path: Path) -> Iterator[StudyFile]:
    try:
        study = json.loads(path.read_text(encoding="utf-8"))
        names = _class_names(study.get("labels", {}))
        cases = [case for part in ("training", "test", "unlabeled") for case in study.get(part, [])]
        # Cases without labels are plain paths, the others pairs.
        pairs = [{"image": case} if isinstance(case, str) else dict(case) for case in cases]
        found = [(path.parent / pair["image"], pair.get("label")) for pair in pairs]
        if is_nnunet(study):
            found = [
                (file, case.labels if file == case.image else None)
                for part in ("Tr", "Ts")
                for case in nnunet_cases(path.parent, study, part)
                for file in (case.image, *case.further)
            ]
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise ScanError(
            f"{path} does not describe a study in the Medical Segmentation Decathlon form "
            f"({type(error).__name__}: {error}). Correct it, or open its scans one by one."
        ) from error
    for image, label in found:
        yield StudyFile(image, "image")
        if label is not None:
            yield StudyFile(path.parent / label, "labels", names)


def _class_names(labels: Mapping[str, Any]) -> dict[int, str]:
    """Return names by id; newer studies write them the other way round."""
    if all(key.isdigit() for key in labels):
        return {int(key): str(name) for key, name in labels.items()}
    return {index: name for name, index in labels.items() if isinstance(index, int)}
