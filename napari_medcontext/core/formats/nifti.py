"""NIfTI-1, NIfTI-2 and pairs, by nibabel."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lazy_loader
import numpy as np

from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.volume import Affine, Array, Volume

# A dock that opens need not wait for nibabel, nor for the pydicom that it imports.
nib = lazy_loader.load("nibabel")

SHARE = 2.0**-16
"""A power of two, so that 1 does not become more by rounding."""
_COMMENT_CODE = 6
_COMMENT_KEY = "napari-medcontext"


def read(path: Path) -> Volume:
    """Read a file, its voxels scaled as the header says.

    Voxels are of the type in which they are stored (float64 stays float64), unless the header
    scales them: then float32.

    Raises
    ------
    ScanError
        If it is no NIfTI, or cut short.
    """
    with _explained_errors(path):
        image = _loaded(path)
        return Volume(_voxels(image), _affine(image), path.name, _class_names(image))


def read_grid(path: Path) -> tuple[tuple[int, ...], Affine]:
    """Return a file's shape and affine; raises as ``read``."""
    with _explained_errors(path):
        image = _loaded(path)
        return image.shape, _affine(image)


def says_where(path: Path) -> bool:
    """Say whether a file's header tells how the scan lies in the patient."""
    with _explained_errors(path):
        header = _loaded(path).header
        return bool(header["qform_code"] or header["sform_code"])


def write(path: Path, volume: Volume) -> None:
    """Write a volume as NIfTI-1 with qform and sform set.

    Class names travel in a header extension, which other programs skip.
    """
    nib.save(_image(_storable(volume.array), volume), path)


def write_shares(path: Path, volume: Volume) -> None:
    """Write numbers from 0 to 1, as many bytes as half precision takes.

    NIfTI knows no half precision: they are whole numbers, and what these are to be scaled by. A
    number differs by at most ``SHARE``.
    """
    counted = np.rint(np.minimum(volume.array, 1 - SHARE) / SHARE).astype(np.uint16)
    image = _image(counted, volume)
    image.header.set_slope_inter(SHARE, 0.0)
    nib.save(image, path)


def _image(array: Array, volume: Volume) -> Any:
    image = nib.Nifti1Image(array, volume.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(volume.affine, code="scanner")
    image.set_qform(volume.affine, code="scanner", strip_shears=True)
    if volume.class_names:
        names = {str(k): name for k, name in volume.class_names.items()}
        text = json.dumps({_COMMENT_KEY: {"class_names": names}})
        image.header.extensions.append(nib.nifti1.Nifti1Extension(_COMMENT_CODE, text.encode()))
    return image


def _loaded(path: Path) -> Any:
    image = nib.load(path)
    if not isinstance(image, nib.Nifti1Pair):
        raise ScanError(
            f"{path} is an Analyze file, which does not say how its scan lies in the patient. "
            "Export the scan again, as NIfTI."
        )
    return image


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
def _explained_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError) as error:
        raise ScanError(
            f"{path} is not a NIfTI file ({error}). Choose a .nii or .nii.gz file, "
            "or convert the scan, for example with dcm2niix or 3D Slicer."
        ) from error
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ScanError(
            f"{path} cannot be read to its end ({error}); the file is cut short or damaged. "
            "Copy or export it again."
        ) from error


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
