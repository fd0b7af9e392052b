"""OME-Zarr: a folder of chunks, read without holding the volume, by zarr.

A folder is an image, of which the finest level counts; or it holds an image in ``0``, as converters
of microscopes write it; or label images in ``labels``, which are files of their own here and are
named by their path: ``scan.ome.zarr/labels/organs``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_medcontext.core.errors import MedContextError, ScanError
from napari_medcontext.core.extras import optional_library
from napari_medcontext.core.formats import ngff
from napari_medcontext.core.volume import Affine, Array, Volume

SUFFIXES = (".ome.zarr", ".zarr")
NAME_KEYS = ("name", "class", "label")
"""Under which of these a file tells what a class is called; the first that is there counts."""
_METADATA = ("zarr.json", ".zattrs")
_LABELS, _SERIES = "labels", "0"


@dataclass(frozen=True, eq=False)
class ZarrImage:
    """An image that was opened, none of its voxels read.

    Parameters
    ----------
    path
        What the user named.
    levels
        Its arrays, the finest first, axes as stored.
    axes
        Which axis is which.
    affine
        From voxels ``(x, y, z)`` of the finest level to RAS+ millimetres.
    class_names
        Class id to name, where it is a label image that names them.
    is_labels
        Whether it says that it holds labels.
    """

    path: Path
    levels: Sequence[Any]
    axes: ngff.Axes
    affine: Affine
    class_names: Mapping[int, str] = field(default_factory=dict)
    is_labels: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along x, y, z, then the number of channels where there are several."""
        stored = self.levels[0].shape
        spatial = tuple(int(stored[axis]) for axis in self.axes.space)
        return (*spatial, self.channels) if self.channels > 1 else spatial

    @property
    def channels(self) -> int:
        """Number of channels."""
        axis = self.axes.channel
        return 1 if axis is None else int(self.levels[0].shape[axis])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""
        dtype: np.dtype[Any] = np.dtype(self.levels[0].dtype)
        return dtype

    @property
    def chunks(self) -> tuple[int, int, int]:
        """Sides of its chunks along x, y, z."""
        x, y, z = (int(self.levels[0].chunks[axis]) for axis in self.axes.space)
        return x, y, z

    def read(self, box: Sequence[slice], channel: int = 0) -> Array:
        """Return the voxels of a box, axes ``(x, y, z)``.

        Raises
        ------
        ScanError
            If a chunk is damaged.
        """
        index: list[Any] = [0] * len(self.levels[0].shape)
        for axis, part in zip(self.axes.space, box, strict=True):
            index[axis] = part
        if self.axes.channel is not None:
            index[self.axes.channel] = channel
        with explained_errors(self.path):
            block = np.asarray(self.levels[0][tuple(index)])
        return block.transpose(self.axes.order)


def is_zarr(path: Path) -> bool:
    """Say whether a path is a folder of Zarr, by its name or by the metadata that it holds."""
    if not path.is_dir():
        return False
    named = path.name.lower().endswith(SUFFIXES)
    return named or any((path / name).is_file() for name in _METADATA)


def zarr_library() -> Any:
    """Return zarr.

    Raises
    ------
    MedContextError
        If it is not installed, saying how to.
    """
    return optional_library("zarr", "zarr", "OME-Zarr needs zarr", "convert the scan to NIfTI")


def open_image(path: Path) -> ZarrImage:
    """Open an image, without reading voxels.

    Raises
    ------
    ScanError
        If the folder holds none, or several; if it has a time axis or no three axes of space; or
        is damaged.
    MedContextError
        If zarr is not installed.
    """
    with explained_errors(path):
        group, attributes = _image_group(path)
        multiscale = ngff.multiscale_of(attributes) or {}
        levels = [group[entry["path"]] for entry in multiscale["datasets"]]
        axes = ngff.axes_of(multiscale, levels[0].ndim, path)
        _refuse_time(levels[0].shape, axes, path)
        shape = tuple(int(levels[0].shape[axis]) for axis in axes.space)
        affine = ngff.affine_of(attributes, axes, shape, path)
        labels = ngff.ome_of(attributes).get("image-label")
        is_labels = labels is not None or path.parent.name == _LABELS
    return ZarrImage(path, levels, axes, affine, _class_names(labels or {}), is_labels)


def label_images(path: Path) -> list[Path]:
    """Return the label images that an image brings along, as its ``labels`` group lists them."""
    folder = path / _LABELS
    if not is_zarr(folder):
        return []
    with explained_errors(path):
        attributes = _group(folder).attrs.asdict()
    return [folder / str(name) for name in ngff.ome_of(attributes).get("labels", ())]


def read(path: Path) -> Volume:
    """Read the finest level of an image whole: ``(x, y, z)``, then channels; raises as it opens."""
    image = open_image(path)
    whole = (slice(None),) * 3
    arrays = [image.read(whole, channel) for channel in range(image.channels)]
    array = arrays[0] if len(arrays) == 1 else np.stack(arrays, axis=-1)
    return Volume(array, image.affine, path.name, image.class_names)


def read_grid(path: Path) -> tuple[tuple[int, ...], Affine]:
    """Return the shape of an image's finest level and its affine; raises as ``open_image``."""
    image = open_image(path)
    return image.shape, image.affine


def says_where(path: Path) -> bool:
    """Say whether an image tells how it lies in the patient; raises as ``open_image``."""
    with explained_errors(path):
        group, attributes = _image_group(path)
        multiscale = ngff.multiscale_of(attributes) or {}
        dimensions = group[multiscale["datasets"][0]["path"]].ndim
        return ngff.says_where(attributes, ngff.axes_of(multiscale, dimensions, path))


@contextmanager
def explained_errors(path: Path) -> Iterator[None]:
    """Tell what zarr could not read, and what to do."""
    try:
        yield
    except MedContextError:
        raise
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OSError) as error:
        raise ScanError(
            f"{path} cannot be read as OME-Zarr ({type(error).__name__}: {error}); it is damaged, "
            "incomplete, or of another kind. Copy or convert it again."
        ) from error
    except RuntimeError as error:
        raise ScanError(
            f"{path} has a chunk that cannot be unpacked ({error}). Copy or convert it again."
        ) from error


def _group(path: Path) -> Any:
    return zarr_library().open_group(store=str(path), mode="r")


def _image_group(path: Path) -> tuple[Any, Mapping[str, Any]]:
    """Return the group that holds the image that a path names, and its attributes."""
    group = _group(path)
    attributes = group.attrs.asdict()
    if ngff.multiscale_of(attributes) is not None:
        return group, attributes
    if (path / _SERIES).is_dir() and not (path / "1").is_dir():
        inner = _group(path / _SERIES)
        if ngff.multiscale_of(inner.attrs.asdict()) is not None:
            return inner, inner.attrs.asdict()
    labels = label_images(path)
    if len(labels) == 1:
        return _image_group(labels[0])
    inside = ", ".join(f"{path.name}/{child.relative_to(path)}" for child in labels) or ", ".join(
        f"{path.name}/{child.name}" for child in sorted(path.iterdir()) if is_zarr(child)
    )
    found = f"Name one of what it holds: {inside}." if inside else "Convert the scan again."
    raise ScanError(f"{path} is no OME-Zarr image (it has no “multiscales”). {found}")


def _refuse_time(shape: tuple[int, ...], axes: ngff.Axes, path: Path) -> None:
    longest = max((int(shape[axis]) for axis in axes.others), default=1)
    if longest > 1:
        raise ScanError(
            f"{path} has {longest} time points; a scan must have one. Write each of them into an "
            "image of its own."
        )


def _class_names(labels: Mapping[str, Any]) -> dict[int, str]:
    names = {}
    for entry in labels.get("properties", ()):
        name = next((entry[key] for key in NAME_KEYS if key in entry), None)
        if name is not None and int(entry["label-value"]):
            names[int(entry["label-value"])] = str(name)
    return names
