"""NRRD, Slicer segmentations and MetaImage, by SimpleITK."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from napari_medcontext.core.colours import class_colour
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.extras import optional_library
from napari_medcontext.core.volume import Affine, Array, Volume

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""ITK's world runs to the left and the back, ours to the right and the front."""
MOST_SEGMENTS = 10_000


def simpleitk() -> Any:
    """Return SimpleITK.

    Raises
    ------
    MedContextError
        If it is not installed, saying how to.
    """
    return optional_library(
        "SimpleITK",
        "formats",
        "NRRD, MetaImage and DICOM need SimpleITK",
        "convert the scan to NIfTI",
    )


def read(path: Path) -> Volume:
    """Read a file; class names come from a Slicer segmentation.

    Raises
    ------
    ScanError
        If it cannot be read, or its segments overlap, so that no voxel has one class alone.
    MedContextError
        If SimpleITK is not installed.
    """
    with explained_errors(path):
        image = simpleitk().ReadImage(str(path))
    names, layers = _segments(image)
    if layers > 1:
        raise ScanError(
            f"{path} holds overlapping segments in {layers} layers; a voxel can have one class "
            "alone. In 3D Slicer, export the segmentation as a labelmap."
        )
    return Volume(voxels(image), affine_of(image), class_names=names)


def read_grid(path: Path) -> tuple[tuple[int, ...], Affine]:
    """Return a file's shape and affine; raises as ``read``."""
    with explained_errors(path):
        header = simpleitk().ImageFileReader()
        header.SetFileName(str(path))
        header.ReadImageInformation()
        channels = header.GetNumberOfComponents()
        shape = (*header.GetSize(), *([channels] if channels > 1 else []))
        return shape, affine_of(header)


def write(path: Path, volume: Volume) -> None:
    """Write a volume; MetaImage has no place for class names."""
    simpleitk().WriteImage(_image(volume), str(path), useCompression=True)


def write_nrrd(path: Path, volume: Volume) -> None:
    """Write a volume; its classes become segments as 3D Slicer names and colours them.

    They are read as such from a file that ends in ``.seg.nrrd``.
    """
    image = _image(volume)
    for key, text in _slicer_header(volume).items():
        image.SetMetaData(key, text)
    simpleitk().WriteImage(image, str(path), useCompression=True)


def voxels(image: Any) -> Array:
    """Return an ITK image's voxels with axes ``(i, j, k)``, then channels where it has several."""
    array = simpleitk().GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        channels: Array = np.moveaxis(array, -1, 0)
        return channels.T
    return np.asarray(array.T)


def affine_of(image: Any) -> Affine:
    """Return the affine from voxels to RAS+ millimetres of an ITK image or of its header."""
    dimensions = len(image.GetSpacing())
    shown = min(dimensions, 3)
    direction = np.array(image.GetDirection()).reshape(dimensions, dimensions)[:shown, :shown]
    affine = np.eye(4)
    affine[:shown, :shown] = direction * np.array(image.GetSpacing())[:shown]
    affine[:shown, 3] = image.GetOrigin()[:shown]
    return np.asarray(RAS_FROM_LPS @ affine)


@contextmanager
def explained_errors(path: Path) -> Iterator[None]:
    """Tell what ITK could not read, and what to do."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip() if str(error).strip() else "no reason"
        raise ScanError(
            f"{path} cannot be read ({reason}); the file is damaged, cut short, or lacks the file "
            "that holds its voxels. Copy or export it again."
        ) from error


def _image(volume: Volume) -> Any:
    """Return an ITK image that shares no geometry but the affine, sheared or not."""
    sitk = simpleitk()
    array = volume.array
    stored = array.astype(np.uint8) if array.dtype == bool else array
    stored = stored.astype(np.float32) if array.dtype == np.float16 else stored
    image = sitk.GetImageFromArray(np.ascontiguousarray(stored.T))
    lps = RAS_FROM_LPS @ volume.affine
    image.SetSpacing(volume.spacing)
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / np.array(volume.spacing)).ravel().tolist())
    return image


def _segments(image: Any) -> tuple[Mapping[int, str], int]:
    """Return a Slicer segmentation's names by label value, and in how many layers they lie."""
    names: dict[int, str] = {}
    layers = {"0"}
    keys = set(image.GetMetaDataKeys())
    for number in range(MOST_SEGMENTS):
        begin = f"Segment{number}_"
        if f"{begin}ID" not in keys:
            break
        layers.add(image.GetMetaData(f"{begin}Layer") if f"{begin}Layer" in keys else "0")
        if {f"{begin}LabelValue", f"{begin}Name"} <= keys:
            value = int(image.GetMetaData(f"{begin}LabelValue"))
            names[value] = image.GetMetaData(f"{begin}Name")
    return names, len(layers)


def _slicer_header(volume: Volume) -> dict[str, str]:
    """Return the fields in which 3D Slicer keeps the names and colours of segments."""
    if not volume.class_names:
        return {}
    header = {
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
    }
    extent = " ".join(f"0 {side - 1}" for side in volume.shape)
    for number, (class_id, name) in enumerate(sorted(volume.class_names.items())):
        red, green, blue, _ = class_colour(class_id)
        header |= {
            f"Segment{number}_ID": f"Segment_{class_id}",
            f"Segment{number}_Name": name,
            f"Segment{number}_NameAutoGenerated": "0",
            f"Segment{number}_Color": f"{red:.6f} {green:.6f} {blue:.6f}",
            f"Segment{number}_ColorAutoGenerated": "0",
            f"Segment{number}_LabelValue": str(class_id),
            f"Segment{number}_Layer": "0",
            f"Segment{number}_Extent": extent,
        }
    return header
