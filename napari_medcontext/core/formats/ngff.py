"""What the metadata of an OME-Zarr image (NGFF 0.1 to 0.5) says: its axes, and where it lies.

Up to version 0.5 there is no word of the patient in it. RFC-4 lets each axis say in which
anatomical direction its coordinates rise; beside it our own files keep the whole affine. Where
neither is there, coordinates are taken to rise to the left, the back and the head along x, y and
z, as ITK's do, and the user is told.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_medcontext.core.errors import ScanError, ScanWarning
from napari_medcontext.core.volume import Affine

OWN_KEY, OWN_AFFINE, OWN_SHAPE = "napari-medcontext", "affine", "shape"
"""The attribute in which our files keep their affine, and the shape that it is of, along x, y, z.

A file that was cut or thinned out since is known by its other shape or voxel size.
"""
OLD_AXES = ("t", "c", "z", "y", "x")
"""Those of versions before 0.3, which name none."""
UNNAMED_ORIENTATION = "LPS"
ORIENTATIONS = {
    "R": "left-to-right",
    "L": "right-to-left",
    "A": "posterior-to-anterior",
    "P": "anterior-to-posterior",
    "S": "inferior-to-superior",
    "I": "superior-to-inferior",
}
"""RFC-4's words for the direction in which coordinates rise. Words for animals are not among
them, since which of our axes they mean depends on how the animal stands."""
_PREFIXES = {
    **{"yocto": -24, "zepto": -21, "atto": -18, "femto": -15, "pico": -12, "nano": -9},
    **{"micro": -6, "milli": -3, "centi": -2, "deci": -1, "": 0, "deca": 1, "hecto": 2},
    **{"kilo": 3, "mega": 6, "giga": 9, "tera": 12},
}
MILLIMETRES = {
    **{f"{prefix}meter": 1000.0 * 10.0**power for prefix, power in _PREFIXES.items()},
    **{"angstrom": 1e-7, "inch": 25.4, "foot": 304.8, "yard": 914.4},
}
"""How many millimetres the lengths are that NGFF names."""
_SAME_SIZE = 1e-3
"""By what share voxel sizes may differ that are the same."""


@dataclass(frozen=True)
class Axes:
    """The axes of an array, by their place in it: ``space`` as x, y, z, the last stored first."""

    space: tuple[int, int, int]
    channel: int | None
    others: tuple[int, ...]

    @property
    def order(self) -> tuple[int, ...]:
        """Where x, y and z are among the axes of space, in the order in which they are stored."""
        return tuple(sorted(self.space).index(axis) for axis in self.space)


def multiscale_of(attributes: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the description of an image in a group's attributes; None where there is none."""
    found = ome_of(attributes).get("multiscales")
    return found[0] if found else None


def ome_of(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a group's attributes that NGFF describes: in 0.5 they lie apart."""
    ome = attributes.get("ome", attributes)
    return ome if isinstance(ome, Mapping) else {}


def axes_of(multiscale: Mapping[str, Any], dimensions: int, path: Path) -> Axes:
    """Return which axis of an image's arrays is which.

    Raises
    ------
    ScanError
        If there are not three of space.
    """
    entries = _entries(multiscale)
    kinds = [entry.get("type") or _kind(str(entry.get("name"))) for entry in entries]
    space = [place for place, kind in enumerate(kinds) if kind == "space"]
    if len(kinds) != dimensions or len(space) != 3:
        raise ScanError(
            f"{path} has {len(space)} axes of space ({', '.join(map(str, kinds))}) in arrays of "
            f"{dimensions} dimensions; a scan must have 3. Choose an image of a whole volume."
        )
    channels = [place for place, kind in enumerate(kinds) if kind == "channel"]
    others = tuple(
        place for place in range(dimensions) if place not in space and place not in channels[:1]
    )
    z, y, x = space
    return Axes((x, y, z), channels[0] if channels else None, others)


def says_where(attributes: Mapping[str, Any], axes: Axes) -> bool:
    """Say whether the metadata tell how the scan lies in the patient."""
    entries = _entries(multiscale_of(attributes) or {})
    return OWN_AFFINE in attributes.get(OWN_KEY, {}) or _orientation(entries, axes) is not None


def affine_of(
    attributes: Mapping[str, Any], axes: Axes, shape: tuple[int, ...], path: Path
) -> Affine:
    """Return the affine from voxels ``(x, y, z)`` of the finest level to RAS+ millimetres.

    What the metadata leave open is presumed, and told by a ``ScanWarning``: LPS, millimetres.

    Parameters
    ----------
    attributes
        The group's.
    axes
        Those of its arrays.
    shape
        Of the finest level, along x, y, z.
    path
        Stands in the messages.

    Raises
    ------
    ScanError
        If places are given in a way other than by scales and translations, or in unknown units.
    """
    multiscale = multiscale_of(attributes) or {}
    entries = _entries(multiscale)
    units = [_millimetres(entries[axis], path) for axis in axes.space]
    scale, offset = _scale_and_offset(multiscale, axes, path)
    scale, offset = scale * units, offset * units
    own = attributes.get(OWN_KEY, {})
    if OWN_AFFINE in own and tuple(own.get(OWN_SHAPE, ())) == shape:
        affine = np.array(own[OWN_AFFINE], dtype=float)
        sizes = np.linalg.norm(affine[:3, :3], axis=0)
        if np.allclose(sizes, scale, rtol=_SAME_SIZE, atol=0):
            return affine
    orientation = _orientation(entries, axes)
    if orientation is None:
        _warn(
            f"{path} does not say how the scan lies in the patient (no anatomical orientation of "
            "its axes). x is taken to run to the patient's left, y to the back and z to the head; "
            "if that is wrong, convert the scan again, with its orientation."
        )
    affine = np.zeros((4, 4))
    affine[3, 3] = 1.0
    for place, letter in enumerate(orientation or UNNAMED_ORIENTATION):
        row = "RLAPSI".index(letter) // 2
        sign = 1.0 if letter in "RAS" else -1.0
        affine[row, place], affine[row, 3] = sign * scale[place], sign * offset[place]
    return affine


def _entries(multiscale: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what is said of each axis; version 0.3 gives names alone, older ones nothing."""
    axes = multiscale.get("axes") or OLD_AXES
    return [axis if isinstance(axis, Mapping) else {"name": axis} for axis in axes]


def _kind(name: str) -> str:
    return {"t": "time", "c": "channel"}.get(name.lower(), "space" if name.lower() in "xyz" else "")


def _orientation(entries: Sequence[Mapping[str, Any]], axes: Axes) -> str | None:
    """Return in which directions x, y, z rise, such as ``"LPS"``, if that is said of all."""
    letters = {word: letter for letter, word in ORIENTATIONS.items()}
    found = ""
    for axis in axes.space:
        said = entries[axis].get("orientation") or {}
        value = said.get("value") if isinstance(said, Mapping) else said
        found += letters.get(str(value), "")
    directions = {"RLAPSI".index(letter) // 2 for letter in found}
    return found if len(directions) == 3 else None


def _millimetres(entry: Mapping[str, Any], path: Path) -> float:
    unit = entry.get("unit")
    if unit is None:
        _warn(f"{path} names no unit of its axis {entry.get('name')}: it is taken for millimetres.")
        return 1.0
    if str(unit) not in MILLIMETRES:
        raise ScanError(
            f"{path} gives the size of its voxels in “{unit}”, which is no length known here. "
            "Convert the scan again, with sizes in millimeter or micrometer."
        )
    return MILLIMETRES[str(unit)]


def _scale_and_offset(
    multiscale: Mapping[str, Any], axes: Axes, path: Path
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return what the finest level's voxel indices are multiplied by, and what is added."""
    scale, offset = np.ones(3), np.zeros(3)
    finest = multiscale["datasets"][0]
    for step in (
        *finest.get("coordinateTransformations", ()),
        *multiscale.get("coordinateTransformations", ()),
    ):
        kind = step.get("type")
        if kind == "identity":
            continue
        if kind not in ("scale", "translation") or kind not in step:
            raise ScanError(
                f"{path} places its voxels by “{kind}”, which is not read here. Convert the scan "
                "again, with a scale and a translation."
            )
        values = np.array([float(step[kind][axis]) for axis in axes.space])
        scale, offset = (
            (scale * values, offset * values) if kind == "scale" else (scale, offset + values)
        )
    return scale, offset


def _warn(message: str) -> None:
    warnings.warn(message, ScanWarning, stacklevel=4)
