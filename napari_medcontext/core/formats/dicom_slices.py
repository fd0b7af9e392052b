"""Where the slices of a DICOM series lie, and whether they make one volume."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medcontext.core.errors import ScanError, ScanWarning
from napari_medcontext.core.formats.itk import RAS_FROM_LPS, explained_errors, simpleitk
from napari_medcontext.core.volume import Affine

Vector = npt.NDArray[np.float64]

EVEN = 0.02
"""By what share of their distance slices may lie beside their places: positions are rounded."""
SAME_DIRECTION = 1e-3
"""How far the unit vectors of two slices' directions may lie apart."""
TILT_DEGREES = 0.1
"""From which angle on slices are said to lie askew."""
POSITION, DIRECTIONS = "0020|0032", "0020|0037"
PIXEL_SPACING, THICKNESS = "0028|0030", "0018|0050"


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


def slices_in_order(files: Sequence[Path], path: Path) -> list[Slice]:
    """Return the slices of files in the order in which they lie, if they make one volume.

    Parameters
    ----------
    files
        A series', in any order.
    path
        What the user named; stands in the messages.

    Raises
    ------
    ScanError
        If they differ in size, pixels or direction, if some are missing or there twice, or if
        they do not lie evenly on one line.
    """
    slices = [_slice(file) for file in files]
    _require_same([one.size for one in slices], "size", path)
    _require_same([one.spacing for one in slices], "pixel spacing", path)
    _require_same_direction(slices, path)
    normal = slices[0].normal
    ordered = sorted(slices, key=lambda one: float(one.position @ normal))
    if len(ordered) > 1:
        _require_even(ordered, path)
    return ordered


def affine_of_slices(slices: Sequence[Slice], path: Path) -> Affine:
    """Return the affine of slices in their order, to RAS+ millimetres.

    A tilted gantry stays in it, as a shear, and is told by a ``ScanWarning``.
    """
    first = slices[0]
    step = first.normal * (first.thickness or 1.0)
    if len(slices) > 1:
        step = _step(slices)
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


def header_of(path: Path) -> Any:
    """Return a file's header, as SimpleITK reads it.

    Raises
    ------
    ScanError
        If it cannot be read.
    """
    header = simpleitk().ImageFileReader()
    header.SetFileName(str(path))
    with explained_errors(path):
        header.ReadImageInformation()
    return header


def text_in(header: Any, key: str) -> str:
    """Return what a header says under a key such as ``"0008|0060"``; empty if nothing."""
    return str(header.GetMetaData(key)).strip() if header.HasMetaDataKey(key) else ""


def _step(slices: Sequence[Slice]) -> Vector:
    return (slices[-1].position - slices[0].position) / (len(slices) - 1)


def _require_even(slices: Sequence[Slice], path: Path) -> None:
    """Refuse slices in order that do not lie evenly on one line: a mask would be shifted."""
    gaps = np.diff([one.position @ slices[0].normal for one in slices])
    usual = float(np.median(gaps))
    doubles = int(np.count_nonzero(gaps < EVEN * max(usual, EVEN)))
    if doubles:
        raise ScanError(
            f"{path} has {doubles} slices at the place of another: it holds several time points, "
            "echoes or reconstructions in one series. Export one of them by itself."
        )
    places = np.array([one.position for one in slices])
    due = places[0] + np.arange(len(slices))[:, None] * _step(slices)
    beside = np.linalg.norm(places - due, axis=1) > EVEN * usual
    uneven = np.abs(gaps - usual) > EVEN * usual
    if not (beside.any() or uneven.any()):
        return
    missing = int(np.round(np.maximum(gaps / usual - 1, 0)).sum())
    first = int(np.argmax(uneven)) if uneven.any() else int(np.argmax(beside))
    what = f"{missing} slices are missing" if missing else "slices lie unevenly"
    raise ScanError(
        f"{path}: {what} (near {slices[first].path.name}). Copy or export the series again, "
        "whole; a mask on it would be shifted."
    )


def _require_same_direction(slices: Sequence[Slice], path: Path) -> None:
    directions = np.array([[one.rows, one.columns] for one in slices])
    other = np.abs(directions - directions[0]).max(axis=(1, 2)) > SAME_DIRECTION
    _require_same(other.tolist(), "direction", path)


def _require_same(values: Sequence[Any], what: str, path: Path) -> None:
    different = set(values)
    if len(different) > 1:
        counts = ", ".join(str(values.count(value)) for value in different)
        raise ScanError(
            f"{path} has slices of different {what} ({counts} files each) in one series, such as a "
            "localizer's. Keep the slices of one volume in the folder."
        )


def _slice(path: Path) -> Slice:
    header = header_of(path)
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


def _numbers(header: Any, key: str) -> Vector:
    parts: Iterable[str] = filter(None, text_in(header, key).split("\\"))
    return np.array([float(part) for part in parts])
