"""The file formats of scans and labels, and which of them a path is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.formats import dicom, itk, nifti
from napari_medcontext.core.volume import Affine, Volume

Grid = tuple[tuple[int, ...], Affine]
"""Shape, and the affine to RAS+ world millimetres."""


@dataclass(frozen=True)
class Format:
    """A file format.

    Parameters
    ----------
    name
        As users call it.
    suffixes
        How its files' names end, longest first.
    read
        Reads a file, all of its dimensions: ``(i, j, k)``, then channels or time points.
    read_grid
        Reads where a file's voxels lie, without the voxels.
    write
        Writes a 3D volume; ``None`` where none are written.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Path], Volume]
    read_grid: Callable[[Path], Grid]
    write: Callable[[Path, Volume], None] | None = None


NIFTI = Format("NIfTI", (".nii.gz", ".nii", ".hdr"), nifti.read, nifti.read_grid, nifti.write)
NRRD = Format("NRRD", (".seg.nrrd", ".nrrd", ".nhdr"), itk.read, itk.read_grid, itk.write_nrrd)
METAIMAGE = Format("MetaImage", (".mha", ".mhd"), itk.read, itk.read_grid, itk.write)
DICOM = Format("DICOM", (".dcm", ".ima"), dicom.read, dicom.read_grid)
FORMATS = (NIFTI, NRRD, METAIMAGE, DICOM)

FILE_SUFFIXES = tuple(suffix for form in FORMATS if form is not DICOM for suffix in form.suffixes)
"""Endings of files that hold a whole volume each; of DICOM, a folder does."""
DETACHED = (".hdr", ".nhdr", ".mhd")
"""Endings of headers whose voxels lie in a file beside them."""


def format_of(path: Path) -> Format:
    """Return the format of a file by its name, or DICOM if it is a folder of slices.

    Raises
    ------
    ScanError
        If it is none that can be read.
    """
    for form in FORMATS:
        if not path.is_dir() and path.name.lower().endswith(form.suffixes):
            return form
    if dicom.is_dicom(path):
        return DICOM
    kinds = ", ".join(f"{form.name} ({', '.join(form.suffixes)})" for form in FORMATS)
    raise ScanError(
        f"{path} is no scan by its name. What can be read: {kinds}, and folders of DICOM slices."
    )


def says_where(path: Path) -> bool:
    """Say whether a file tells how its scan lies in the patient; only NIfTI may leave it open."""
    return format_of(path) is not NIFTI or nifti.says_where(path)


def scan_name(path: Path) -> str:
    """Return what a scan is called: its file without the ending; of a slice, its folder."""
    name = path.name
    if path.is_dir():
        return name
    for suffix in FILE_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return path.parent.name if path.is_file() and dicom.is_dicom(path) else path.stem
