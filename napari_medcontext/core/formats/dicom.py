"""DICOM series: a folder of slices, or one file of many frames, by SimpleITK.

A folder may hold several series, and a series may lack slices, hold some twice, or lie askew since
the scanner's gantry was tilted. Whatever cannot be put into one volume without guessing is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.formats.dicom_slices import (
    affine_of_slices,
    header_of,
    slices_in_order,
    text_in,
)
from napari_medcontext.core.formats.itk import affine_of, explained_errors, simpleitk, voxels
from napari_medcontext.core.volume import Affine, Volume

MAGIC, MAGIC_AT = b"DICM", 128
LOOKED_AT = 8
"""How many files of a folder are opened to see whether it holds slices."""
DESCRIPTION, MODALITY = "0008|103e", "0008|0060"


@dataclass(frozen=True, eq=False)
class Series:
    """The files of a series, what it is called, and what it is in words."""

    files: Sequence[Path]
    name: str
    text: str


def is_dicom(path: Path) -> bool:
    """Say whether a file is DICOM, or a folder holds DICOM slices, by what the files begin with."""
    if path.is_file():
        return _has_magic(path)
    if not path.is_dir():
        return False
    files = (child for child in path.iterdir() if child.is_file() and child.name[0] != ".")
    return any(map(_has_magic, islice(files, LOOKED_AT)))


def read(path: Path) -> Volume:
    """Read the series in a folder, or that of one of its slices, as ``read_series`` does.

    Raises
    ------
    ScanError
        If a folder holds several series, or the slices make no volume.
    """
    return read_series(_files(path), path)


def read_series(files: Sequence[Path], path: Path) -> Volume:
    """Read a series, its voxels scaled as the headers say (HU for CT).

    Parameters
    ----------
    files
        Its slices in any order, or one file of many frames.
    path
        What the user named; stands in the messages.

    Raises
    ------
    ScanError
        If a file cannot be read, or the slices make no volume.
    """
    sitk = simpleitk()
    if _has_frames(files):
        with explained_errors(files[0]):
            image = sitk.ReadImage(str(files[0]))
        return Volume(voxels(image), affine_of(image), path.name)
    slices = slices_in_order(files, path)
    with explained_errors(path):
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames([str(one.path) for one in slices])
        image = reader.Execute()
    return Volume(voxels(image), affine_of_slices(slices, path), path.name)


def read_grid(path: Path) -> tuple[tuple[int, ...], Affine]:
    """Return a series' shape and affine; raises as ``read``."""
    files = _files(path)
    if _has_frames(files):
        header = header_of(files[0])
        return tuple(header.GetSize()), affine_of(header)
    slices = slices_in_order(files, path)
    return (*slices[0].size, len(slices)), affine_of_slices(slices, path)


def all_series(folder: Path) -> list[Series]:
    """Return the series whose slices a folder holds, the longest first."""
    reader = simpleitk().ImageSeriesReader
    found = []
    for uid in reader.GetGDCMSeriesIDs(str(folder)):
        files = [Path(name) for name in reader.GetGDCMSeriesFileNames(str(folder), uid)]
        header = header_of(files[0])
        name, modality = text_in(header, DESCRIPTION), text_in(header, MODALITY)
        count = f"{len(files)} file{'s' * (len(files) > 1)}"
        found.append(Series(files, name, ", ".join(filter(None, (modality, name, count)))))
    return sorted(found, key=lambda series: -len(series.files))


def _files(path: Path) -> Sequence[Path]:
    """Return the files of the series that a folder, or one of its slices, names."""
    folder = path.parent if path.is_file() else path
    series = all_series(folder)
    if path.is_file():
        own = [one for one in series if path.absolute() in {file.absolute() for file in one.files}]
        return own[0].files if own else [path]
    if not series:
        raise ScanError(f"{path} holds no DICOM slices. Choose the folder of a series.")
    if len(series) > 1:
        listed = "; ".join(f"{one.files[0].name} ({one.text})" for one in series)
        raise ScanError(
            f"{path} holds {len(series)} series. Name a file of the one that you mean: {listed}."
        )
    return series[0].files


def _has_frames(files: Sequence[Path]) -> bool:
    """Say whether a series is one file of many frames."""
    if len(files) > 1:
        return False
    size: Sequence[int] = header_of(files[0]).GetSize()
    return len(size) > 2 and size[2] > 1


def _has_magic(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(MAGIC_AT + len(MAGIC))[MAGIC_AT:] == MAGIC
    except OSError:
        return False
