"""Read and write volumes as NIfTI, whole or not at all."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.nifti1 import Nifti1Extension
from nibabel.spatialimages import HeaderDataError

from napari_medcontext.core.errors import MedContextError, ScanError
from napari_medcontext.core.volume import Affine, Array, Volume

NIFTI_SUFFIXES = (".nii.gz", ".nii")
_COMMENT_CODE = 6
_COMMENT_KEY = "napari-medcontext"


def nifti_stem(path: Path) -> str:
    """Return a NIfTI file's name without ``.nii`` or ``.nii.gz``."""
    name = path.name
    for suffix in NIFTI_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return path.stem


def list_nifti(folder: Path) -> list[Path]:
    """Return the NIfTI files of a folder, sorted by name, hidden ones left out."""
    if not folder.is_dir():
        raise ScanError(
            f"{folder} is not a folder. Name a folder that holds .nii or .nii.gz files."
        )
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.lower().endswith(NIFTI_SUFFIXES) and not path.name.startswith(".")
    )


def read_volume(path: str | os.PathLike[str], *, dimensions: int | None = 3) -> Volume:
    """Read a NIfTI file, its voxels scaled as the header says.

    Parameters
    ----------
    path
        A ``.nii`` or ``.nii.gz`` file.
    dimensions
        The number of axes to insist on, trailing axes of length one dropped;
        ``None`` takes the file as it is.

    Returns
    -------
    Volume
        Voxels of the type in which they are stored (float64 stays float64), unless the
        header scales them: then float32.

    Raises
    ------
    ScanError
        If the file is missing, no NIfTI by name or content, cut short, or of other dimensions.
    """
    path = Path(path)
    with _explained_read_errors(path):
        image = nib.load(path)
        array = _voxels(image)
    if dimensions is not None:
        array = array.reshape(_squeezed(array.shape, dimensions, path))
    return Volume(array, _affine(image), nifti_stem(path), _class_names(image))


def read_geometry(path: str | os.PathLike[str]) -> Volume:
    """Return a volume's grid without its voxels, which are left unread (all zero)."""
    path = Path(path)
    with _explained_read_errors(path):
        image = nib.load(path)
    shape = _squeezed(image.shape, 3, path)
    return Volume(np.broadcast_to(np.uint8(0), shape), _affine(image), nifti_stem(path))


def write_volume(path: str | os.PathLike[str], volume: Volume) -> Path:
    """Write a volume as NIfTI-1 with qform and sform set, whole or not at all.

    Class names travel in a header extension, which other programs skip.
    """
    path = Path(path)
    if not path.name.lower().endswith(NIFTI_SUFFIXES):
        raise MedContextError(f"{path} must end in .nii or .nii.gz.")
    image = nib.Nifti1Image(_storable(volume.array), volume.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(volume.affine, code="scanner")
    image.set_qform(volume.affine, code="scanner", strip_shears=True)
    if volume.class_names:
        names = {str(k): name for k, name in volume.class_names.items()}
        text = json.dumps({_COMMENT_KEY: {"class_names": names}})
        image.header.extensions.append(Nifti1Extension(_COMMENT_CODE, text.encode()))
    with atomic_path(path) as temporary:
        nib.save(image, temporary)
    return path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a name to write to that becomes ``path`` only when all went well.

    The name ends as ``path`` does, since writers look at the ending.

    Raises
    ------
    MedContextError
        If the folder cannot be written.
    """
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise MedContextError(
            f"{path} cannot be written ({error.strerror or error}). "
            "Choose a folder that you may write to, with room on its disk."
        ) from error
    finally:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)


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


def _voxels(image: Any) -> Array:
    proxy = image.dataobj
    slope, intercept = getattr(proxy, "slope", 1.0), getattr(proxy, "inter", 0.0)
    if (slope, intercept) == (1.0, 0.0):
        array = np.asarray(proxy)
        if array.dtype.fields is not None:
            raise ScanError(
                f"{image.get_filename()} holds colours, not intensities. Export it in grey."
            )
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    return np.asarray(image.get_fdata(dtype=np.float32, caching="unchanged"))


@contextmanager
def _explained_read_errors(path: Path) -> Iterator[None]:
    if not path.is_file():
        raise ScanError(f"{path} does not exist or is no file. Check the path.")
    if not path.name.lower().endswith(NIFTI_SUFFIXES):
        raise ScanError(
            f"{path} is not a NIfTI file by its name. Choose a .nii or .nii.gz file, "
            "or convert the scan, for example with dcm2niix or 3D Slicer."
        )
    try:
        yield
    except (ImageFileError, HeaderDataError) as error:
        raise ScanError(
            f"{path} is not a NIfTI file ({error}). Choose a .nii or .nii.gz file, "
            "or convert the scan, for example with dcm2niix or 3D Slicer."
        ) from error
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ScanError(
            f"{path} cannot be read to its end ({error}); the file is cut short or damaged. "
            "Copy or export it again."
        ) from error


def _squeezed(shape: tuple[int, ...], dimensions: int, path: Path) -> tuple[int, ...]:
    squeezed = shape
    while len(squeezed) > dimensions and squeezed[-1] == 1:
        squeezed = squeezed[:-1]
    if len(squeezed) != dimensions:
        raise ScanError(
            f"{path} has {len(shape)} dimensions {shape}; a scan must have {dimensions}. "
            "Split channels or time points into files of their own."
        )
    return squeezed


def _affine(image: Any) -> Affine:
    """Return the affine in millimetres, whatever length unit the header names."""
    factor = {"meter": 1000.0, "micron": 0.001}.get(image.header.get_xyzt_units()[0], 1.0)
    affine = np.array(image.affine, dtype=float)
    affine[:3] *= factor
    return affine


def _storable(array: Array) -> Array:
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype in (np.int64, np.uint64):
        small = np.min_scalar_type(int(array.max(initial=0)))
        lowest = np.min_scalar_type(int(array.min(initial=0)))
        return array.astype(np.promote_types(small, lowest))
    return array


def _class_names(image: Any) -> Mapping[int, str]:
    for extension in getattr(image.header, "extensions", []):
        if extension.get_code() == _COMMENT_CODE:
            try:
                names = json.loads(extension.get_content())[_COMMENT_KEY]["class_names"]
                return {int(k): str(name) for k, name in names.items()}
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
    return {}
