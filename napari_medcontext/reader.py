"""Open scans, labels and whole studies as napari layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from napari.utils import progress

from napari_medcontext.core.channels import split_channels
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.formats import FILE_SUFFIXES
from napari_medcontext.core.formats.dicom import all_series, is_dicom, read_series
from napari_medcontext.core.formats.ome_zarr import is_zarr
from napari_medcontext.core.io import read_volume
from napari_medcontext.core.volume import Array
from napari_medcontext.layer_data import LayerData, image_layer_data, labels_layer_data
from napari_medcontext.pairing import LABEL_WORDS, labels_name, name_words
from napari_medcontext.study import StudyFile, study_files

Reader = Callable[[str | Sequence[str]], list[LayerData]]

MOST_CLASSES = 255
MOST_CLASSES_UNNAMED = 64
"""Most distinct values in a file whose name does not say that it holds labels."""

LEAST_CONTIGUITY = 0.6
"""Least share of neighbours of equal value, where either is not 0, in such a file."""


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Return the reader of scans and of folders that hold a study or DICOM slices, or None.

    Parameters
    ----------
    path
        A file of a format that is known, a list of them, or a folder.
    """
    paths = [path] if isinstance(path, str) else list(path)
    return read if paths and all(_is_ours(Path(each)) for each in paths) else None


def read(path: str | Sequence[str]) -> list[LayerData]:
    """Read files or folders into layers; files of four dimensions, one layer a channel.

    Of a study whose scans are too large to be held together, scans are read when they are looked
    at, and only the first is switched on; labels are read at once, since they may be painted on.

    Raises
    ------
    ScanError
        If a file is damaged or of another format, naming it; then nothing is opened.
    """
    paths = [Path(path)] if isinstance(path, str) else [Path(each) for each in path]
    files = [
        file
        for each in paths
        for file in (study_files(each) if each.is_dir() else [StudyFile(each)])
    ]
    if not files:
        raise ScanError(f"{paths[0]} holds no scans. Choose a folder of scans.")
    return _told_apart(list(_study_layers(files) if len(files) > 1 else _layers_of(files[0])))


def read_first(folder: Path, scans: int) -> list[LayerData]:
    """Read the first scans of a study and their labels into layers, only the first ones visible.

    Raises
    ------
    ScanError
        If the folder holds none, or a file is damaged.
    """
    files = study_files(folder)
    images = [number for number, file in enumerate(files) if file.kind != "labels"]
    end = images[scans] if len(images) > scans else len(files)
    layers = [list(_layers_of(file)) for file in files[:end]]
    for number, opened in enumerate(layers):
        for _, attributes, _ in opened:
            attributes["visible"] = number < (images[1] if len(images) > 1 else end)
    return _told_apart([layer for opened in layers for layer in opened])


def holds_labels(path: Path, array: Array) -> bool:
    """Say whether a file's voxels are class ids rather than intensities.

    Whole numbers from 0 up, of fewer than 256 values, are labels if the file or its folder is
    named so. Otherwise they must be stored as integers, few, and lie in contiguous regions.
    """
    if not _whole_numbers(array):
        return False
    classes = np.unique(array).size
    if LABEL_WORDS & {*name_words(path.name), *name_words(path.parent.name)}:
        return classes <= MOST_CLASSES
    stored_as_ids = array.dtype.kind in "biu"
    return stored_as_ids and classes <= MOST_CLASSES_UNNAMED and _is_contiguous(array)


def _is_ours(path: Path) -> bool:
    if path.is_dir():
        return (path / "dataset.json").is_file() or bool(study_files(path))
    return path.name.lower().endswith(FILE_SUFFIXES) or is_dicom(path)


def _study_layers(files: Sequence[StudyFile]) -> Iterator[LayerData]:
    from napari_medcontext.lazy_study import is_too_large, lazy_layers

    told = progress(files, desc="Opening scans")
    if is_too_large(files):
        yield from lazy_layers(told, _layers_of)
        return
    for file in told:
        yield from _layers_of(file)


def _layers_of(file: StudyFile) -> Iterator[LayerData]:
    if is_zarr(file.path):
        from napari_medcontext.zarr_layers import zarr_layers

        yield from zarr_layers(file)
        return
    if file.path.is_dir():
        for series in all_series(file.path):
            volume = replace(
                read_series(series.files, file.path), name=series.name or file.path.name
            )
            yield image_layer_data(volume, str(file.path))
        return
    volume = read_volume(file.path, dimensions=None)
    channels = split_channels(volume, file.path)
    if len(channels) > 1:
        yield from (image_layer_data(channel, str(file.path)) for channel in channels)
        return
    (volume,) = channels
    kind = file.kind
    if kind is None:
        named = bool(volume.class_names)
        kind = "labels" if named or holds_labels(file.path, volume.array) else "image"
    if kind == "image":
        yield image_layer_data(volume, str(file.path))
        return
    names = volume.class_names or file.class_names
    labels = replace(volume, name=labels_name(volume.name), class_names=names)
    yield labels_layer_data(labels, str(file.path))


def _told_apart(layers: list[LayerData]) -> list[LayerData]:
    """Add the folder's name to layers of the same name."""
    count = Counter(attributes["name"] for _, attributes, _ in layers)
    for _, attributes, _ in layers:
        if count[attributes["name"]] > 1:
            folder = Path(attributes["metadata"]["medcontext"]["path"]).parent.name
            attributes["name"] = f"{attributes['name']} ({folder})"
    return layers


def _whole_numbers(array: Array) -> bool:
    if array.size == 0 or array.dtype.kind not in "biuf" or array.min() < 0:
        return False
    if array.dtype.kind != "f":
        return True
    return bool(np.isfinite(array).all() and (array == np.rint(array)).all())


def _is_contiguous(array: Array) -> bool:
    neighbours = equal = 0
    for axis in range(array.ndim):
        first, second = np.moveaxis(array, axis, 0)[:-1], np.moveaxis(array, axis, 0)[1:]
        either = (first != 0) | (second != 0)
        neighbours += int(np.count_nonzero(either))
        equal += int(np.count_nonzero(either & (first == second)))
    # An empty labels file counts as labels: there is nothing to be seen in it as a scan.
    return equal >= LEAST_CONTIGUITY * neighbours
