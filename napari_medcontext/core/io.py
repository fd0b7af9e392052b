"""Read and write volumes, whole or not at all, whatever their file format."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_medcontext.core.errors import MedContextError, ScanError
from napari_medcontext.core.formats import (
    DETACHED,
    FILE_SUFFIXES,
    FORMATS,
    format_of,
    is_scan_folder,
    nifti,
    scan_name,
)
from napari_medcontext.core.formats.ome_zarr import is_zarr
from napari_medcontext.core.volume import Volume


def list_scans(folder: Path) -> list[Path]:
    """Return the scans of a folder, sorted by name, hidden ones left out.

    They are its files that hold a volume each, and its folders of OME-Zarr and of DICOM slices. A
    folder that is OME-Zarr itself is one scan; so is one that holds slices, and no such file.

    Raises
    ------
    ScanError
        If it is no folder.
    """
    if not folder.is_dir():
        raise ScanError(f"{folder} is not a folder. Name a folder that holds scans.")
    if is_zarr(folder):
        return [folder]
    seen = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    scans = [
        path
        for path in seen
        if (is_scan_folder(path) if path.is_dir() else path.name.lower().endswith(FILE_SUFFIXES))
    ]
    return scans or ([folder] if is_scan_folder(folder) else [])


def read_volume(path: str | os.PathLike[str], *, dimensions: int | None = 3) -> Volume:
    """Read a scan or its labels.

    Parameters
    ----------
    path
        A file of one of ``FORMATS``; for OME-Zarr its folder, or that of an image inside; for a
        DICOM series, its folder or one of its slices.
    dimensions
        The number of axes to insist on, trailing axes of length one dropped;
        ``None`` takes the file as it is.

    Returns
    -------
    Volume
        Voxels of the type in which they are stored, scaled if the header says so.

    Raises
    ------
    ScanError
        If the file is missing, of no known format by name or content, cut short, or of other
        dimensions.
    """
    path = _existing(path)
    volume = replace(format_of(path).read(path), name=scan_name(path))
    if dimensions is None:
        return volume
    shape = _squeezed(volume.shape, dimensions, path)
    return replace(volume, array=volume.array.reshape(shape))


def read_geometry(path: str | os.PathLike[str], *, channels: bool = False) -> Volume:
    """Return a volume's grid without its voxels, which are left unread (all zero).

    With ``channels`` the file may hold several along a fourth axis; all share the grid.
    """
    path = _existing(path)
    shape, affine = format_of(path).read_grid(path)
    shape = shape[:3] if channels and len(shape) == 4 else _squeezed(shape, 3, path)
    return Volume(np.broadcast_to(np.uint8(0), shape), affine, scan_name(path))


def write_volume(path: str | os.PathLike[str], volume: Volume) -> Path:
    """Write a volume in the format that the name's ending says, whole or not at all.

    Class names travel along where the format has a place for them.

    Raises
    ------
    MedContextError
        If nothing is written in that format, or the folder cannot be written.
    """
    path = Path(path)
    for form in FORMATS:
        if form.write is not None and path.name.lower().endswith(_whole(form.suffixes)):
            with atomic_path(path) as temporary:
                form.write(temporary, volume)
            return path
    endings = [e for form in FORMATS if form.write is not None for e in _whole(form.suffixes)]
    raise MedContextError(f"{path} must end in one of {', '.join(endings)}.")


def write_probability(path: Path, volume: Volume) -> Path:
    """Write numbers from 0 to 1 as NIfTI of half the size, whole or not at all.

    Raises
    ------
    MedContextError
        If the folder cannot be written.
    """
    with atomic_path(path) as temporary:
        nifti.write_shares(temporary, volume)
    return path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a name to write to that becomes ``path`` only when all went well.

    The name ends as ``path`` does, since writers look at the ending. It may become a folder, which
    takes the place of one that was there before.

    Raises
    ------
    MedContextError
        If the folder cannot be written.
    """
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _put_in_place(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        elif temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder, if it is not there.

    Raises
    ------
    MedContextError
        If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def require_writable(folder: Path) -> None:
    """Refuse a folder that cannot be made or written to, before work is done for it.

    Raises
    ------
    MedContextError
        Naming what is in the way.
    """
    folder = folder.absolute()
    existing = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if existing.is_dir() and os.access(existing, os.W_OK):
        return
    problem = "may not be written to" if existing.is_dir() else "is a file"
    raise MedContextError(
        f"{folder} cannot be written: {existing} {problem}. Choose a folder that you may write to."
    )


def smallest_label_dtype(largest: int) -> np.dtype[Any]:
    """Return the smallest unsigned integer type that holds every class id."""
    return np.min_scalar_type(largest)


def _put_in_place(temporary: Path, path: Path) -> None:
    """Rename a file or folder; a folder cannot take the place of a full one, which goes first."""
    if not (temporary.is_dir() and path.is_dir()):
        os.replace(temporary, path)
        return
    former = path.with_name(f".{os.getpid()}-former-{path.name}")
    os.replace(path, former)
    os.replace(temporary, path)
    shutil.rmtree(former, ignore_errors=True)


def _unwritable(path: Path, error: OSError) -> MedContextError:
    return MedContextError(
        f"{path} cannot be written ({error.strerror or error}). "
        "Choose a folder that you may write to, with room on its disk."
    )


def _existing(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if not path.exists():
        raise ScanError(f"{path} does not exist. Check the path.")
    return path


def _whole(suffixes: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out endings of headers with a second file, which could be left half-written."""
    return tuple(suffix for suffix in suffixes if suffix not in DETACHED)


def _squeezed(shape: tuple[int, ...], dimensions: int, path: Path) -> tuple[int, ...]:
    squeezed = shape
    while len(squeezed) > dimensions and squeezed[-1] == 1:
        squeezed = squeezed[:-1]
    if len(squeezed) != dimensions:
        raise ScanError(
            f"{path} has {len(shape)} dimensions {shape}; a scan or labels must have "
            f"{dimensions}. Split channels or time points into files of their own, and join a map "
            "for each structure into one of class ids."
        )
    return squeezed
