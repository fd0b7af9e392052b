"""DICOM series: a folder of slices, or one file of many frames, by SimpleITK.

A folder may hold several series, and a series may lack slices, hold some twice, or lie askew since
the scanner's gantry was tilted. Whatever cannot be put into one volume without guessing is refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.formats.itk import (
    RAS_FROM_LPS,
    affine_of,
    explained_errors,
    simpleitk,
    voxels,
)
from napari_medcontext.core.volume import Affine, Volume

Vector = npt.NDArray[np.float64]

MAGIC, MAGIC_AT = b"DICM", 128
LOOKED_AT = 8
"""How many files of a folder are opened to see whether it holds slices."""
EVEN = 0.02
"""By what share of their mean the distances of slices may differ: positions are rounded."""
TILT_DEGREES = 0.1
"""From which angle on slices are said to lie askew."""
SERIES, DESCRIPTION, MODALITY = "0020|000e", "0008|103e", "0008|0060"
POSITION, DIRECTIONS = "0020|0032", "0020|0037"
PIXEL_SPACING, THICKNESS = "0028|0030", "0018|0050"


class ScanWarning(UserWarning):
    """A scan that can be used, but is odd."""


@dataclass(frozen=True, eq=False)
class Slice:
    """A slice's header: where it lies in LPS millimetres, and the size of its pixels.

    ``rows`` and ``columns`` point along a row and along a column; ``spacing`` is the distance of
    pixels along them.
    """

    path: Path
    size: tuple[int, int]
    position: Vector
    rows: Vector
    columns: Vector
    spacing: tuple[float, float]
    thickness: float

    @property
    def normal(self) -> Vector:
        """The direction across the slice."""
        return np.cross(self.rows, self.columns)


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
    """Read the series in a folder, or that of one of its slices.

    Voxels are scaled as the headers say (HU for CT). A tilted gantry stays in the affine, as a
    shear, and is told by a ``ScanWarning``.

    Raises
    ------
    ScanError
        If a folder holds several series, or the slices make no volume: some are missing or there
        twice, they differ in size or direction, or have no position.
    """
    files = _files(path)
    sitk = simpleitk()
    if len(files) == 1 and _frames(files[0]) > 1:
        with explained_errors(files[0]):
            image = sitk.ReadImage(str(files[0]))
        return Volume(voxels(image), affine_of(image))
    slices = _in_order(files, path)
    affine = _affine(slices, path)
    with explained_errors(path):
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames([str(one.path) for one in slices])
        image = reader.Execute()
    return Volume(voxels(image), affine)


def read_grid(path: Path) -> tuple[tuple[int, ...], Affine]:
    """Return a series' shape and affine; raises as ``read``."""
    files = _files(path)
    if len(files) == 1 and _frames(files[0]) > 1:
        header = _header(files[0])
        return tuple(header.GetSize()), affine_of(header)
    slices = _in_order(files, path)
    return (*slices[0].size, len(slices)), _affine(slices, path)


def all_series(folder: Path) -> list[Series]:
    """Return the series whose slices a folder holds, the longest first."""
    reader = simpleitk().ImageSeriesReader
    found = []
    for uid in reader.GetGDCMSeriesIDs(str(folder)):
        files = [Path(name) for name in reader.GetGDCMSeriesFileNames(str(folder), uid)]
        header = _header(files[0])
        name, modality = _text(header, DESCRIPTION), _text(header, MODALITY)
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


def _in_order(files: Sequence[Path], path: Path) -> list[Slice]:
    """Return the slices in the order in which they lie, if they make one volume."""
    slices = [_slice(file) for file in files]
    _require_same([one.size for one in slices], "size", path)
    _require_same([one.spacing for one in slices], "pixel spacing", path)
    _require_same([tuple(np.round(one.normal, 3)) for one in slices], "direction", path)
    normal = slices[0].normal
    return sorted(slices, key=lambda one: float(one.position @ normal))


def _affine(slices: Sequence[Slice], path: Path) -> Affine:
    """Return the affine of slices in their order, a tilted gantry's shear included."""
    first = slices[0]
    step = first.normal * (first.thickness or 1.0)
    if len(slices) > 1:
        _require_even(slices, path)
        step = (slices[-1].position - first.position) / (len(slices) - 1)
    affine = np.eye(4)
    affine[:3, 0] = first.rows * first.spacing[0]
    affine[:3, 1] = first.columns * first.spacing[1]
    affine[:3, 2], affine[:3, 3] = step, first.position
    askew = np.degrees(np.arccos(np.clip(step @ first.normal / np.linalg.norm(step), -1, 1)))
    if askew > TILT_DEGREES:
        warnings.warn(
            f"{path} was scanned with a tilted gantry: its slices lie {askew:.1f}° askew. Their "
            "true places are kept.",
            ScanWarning,
            stacklevel=2,
        )
    return np.asarray(RAS_FROM_LPS @ affine)


def _require_even(slices: Sequence[Slice], path: Path) -> None:
    normal = slices[0].normal
    places = np.array([one.position @ normal for one in slices])
    gaps = np.diff(places)
    usual = float(np.median(gaps))
    if gaps.min() < EVEN * max(usual, EVEN):
        number = int(np.count_nonzero(gaps < EVEN * max(usual, EVEN)))
        raise ScanError(
            f"{path} has {number} slices at the place of another: it holds several time points, "
            "echoes or reconstructions in one series. Export one of them by itself."
        )
    wide = np.flatnonzero(gaps > (1 + EVEN) * usual)
    if len(wide):
        missing = int(np.round(gaps[wide] / usual - 1).sum())
        where = ", ".join(f"{slices[index].path.name}" for index in wide[:3])
        what = f"{missing} slices are missing" if missing else "slices lie unevenly"
        raise ScanError(
            f"{path}: {what} (after {where}). Copy or export the series again, whole; "
            "a mask on a scan with gaps would be shifted."
        )


def _require_same(values: Sequence[Any], what: str, path: Path) -> None:
    different = set(values)
    if len(different) > 1:
        counts = ", ".join(str(values.count(value)) for value in different)
        raise ScanError(
            f"{path} has slices of different {what} ({counts} files each) in one series, such as a "
            "localizer's. Keep the slices of one volume in the folder."
        )


def _slice(path: Path) -> Slice:
    header = _header(path)
    position, directions = (_numbers(header, key) for key in (POSITION, DIRECTIONS))
    spacing = _numbers(header, PIXEL_SPACING)
    if len(position) != 3 or len(directions) != 6 or len(spacing) != 2:
        raise ScanError(
            f"{path} says not where its slice lies in the patient (no position, direction or pixel "
            "spacing), as reports and screen captures do. Remove it, or choose another series."
        )
    thickness = _numbers(header, THICKNESS)
    width, height = header.GetSize()[:2]
    return Slice(
        path,
        (width, height),
        position,
        directions[:3],
        directions[3:],
        # DICOM names the distance of rows first.
        (float(spacing[1]), float(spacing[0])),
        float(thickness[0]) if len(thickness) else 0.0,
    )


def _frames(path: Path) -> int:
    size: Sequence[int] = _header(path).GetSize()
    return size[2] if len(size) > 2 else 1


def _header(path: Path) -> Any:
    header = simpleitk().ImageFileReader()
    header.SetFileName(str(path))
    with explained_errors(path):
        header.ReadImageInformation()
    return header


def _text(header: Any, key: str) -> str:
    return str(header.GetMetaData(key)).strip() if header.HasMetaDataKey(key) else ""


def _numbers(header: Any, key: str) -> Vector:
    parts: Iterable[str] = filter(None, _text(header, key).split("\\"))
    return np.array([float(part) for part in parts])


def _has_magic(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(MAGIC_AT + len(MAGIC))[MAGIC_AT:] == MAGIC
    except OSError:
        return False
