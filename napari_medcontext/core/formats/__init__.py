"""The file formats of scans and labels, and which of them a path is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.formats import dicom, itk, nifti, ome_zarr, ome_zarr_writer
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
ZARR = Format(
    "OME-Zarr", ome_zarr.SUFFIXES, ome_zarr.read, ome_zarr.read_grid, ome_zarr_writer.write
)
FORMATS = (NIFTI, NRRD, METAIMAGE, DICOM, ZARR)

FILE_SUFFIXES = tuple(s for form in (NIFTI, NRRD, METAIMAGE) for s in form.suffixes)
"""Endings of files that hold a whole volume each; of DICOM and OME-Zarr, a folder does."""
DETACHED = (".hdr", ".nhdr", ".mhd")
"""Endings of headers whose voxels lie in a file beside them."""


def format_of(path: Path) -> Format:
    """Return the format of a file by its name; of a folder, OME-Zarr or DICOM by what it holds.

    Raises
    ------
    ScanError
        If it is none that can be read.
    """
    if ome_zarr.is_zarr(path):
        return ZARR
    for form in FORMATS:
        if form is not ZARR and not path.is_dir() and path.name.lower().endswith(form.suffixes):
            return form
    if dicom.is_dicom(path):
        return DICOM
    kinds = ", ".join(f"{form.name} ({', '.join(form.suffixes)})" for form in FORMATS)
    raise ScanError(
        f"{path} is no scan by its name. What can be read: {kinds}, and folders of DICOM slices."
    )


def says_where(path: Path) -> bool:
    """Say whether a file tells how its scan lies in the patient; NIfTI and OME-Zarr may not."""
    form = format_of(path)
    if form is ZARR:
        return ome_zarr.says_where(path)
    return form is not NIFTI or nifti.says_where(path)


def is_scan_folder(path: Path) -> bool:
    """Say whether a folder is one scan: OME-Zarr, or the slices of a DICOM series."""
    return path.is_dir() and (ome_zarr.is_zarr(path) or dicom.is_dicom(path))


def scan_name(path: Path) -> str:
    """Return what a scan is called: its file without the ending; of a slice, its folder."""
    name = path.name
    if path.is_dir() and not ome_zarr.is_zarr(path):
        return name
    for suffix in (*FILE_SUFFIXES, *ZARR.suffixes):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    if path.is_dir():
        return name
    return path.parent.name if path.is_file() and dicom.is_dicom(path) else path.stem
