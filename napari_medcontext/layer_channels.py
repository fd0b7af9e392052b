"""Layers of one channel each, put together to scans by their names: ``case_FLAIR``, ``case_T1``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from napari.layers import Image, Layer

from napari_medcontext.core.channel_files import channel_of
from napari_medcontext.core.errors import ScanError
from napari_medcontext.pairing import scan_layers


def first_channels(images: Sequence[Image], names: Sequence[str]) -> list[Image]:
    """Return one layer a scan: the first channel that is there, and what is of no channel.

    Parameters
    ----------
    images
        Layers of scans.
    names
        What the channels are, in order; with under two, each layer is a scan.
    """
    if len(names) < 2:
        return list(images)
    firsts: dict[str, tuple[int, Image]] = {}
    alone = []
    for image in images:
        place = channel_of(image.name, names)
        if place is None:
            alone.append(image)
        elif place[0] not in firsts or place[1] < firsts[place[0]][0]:
            firsts[place[0]] = place[1], image
    kept = [*alone, *(image for _, image in firsts.values())]
    return [image for image in images if any(image is other for other in kept)]


def channel_layers(
    image: Image, layers: Iterable[Layer], names: Sequence[str]
) -> tuple[Image, ...]:
    """Return the layers of a scan's channels, in order.

    Parameters
    ----------
    image
        The layer of one of them.
    layers
        Those of the viewer.
    names
        What the channels are; with under two, it is the layer alone.

    Raises
    ------
    ScanError
        If a channel has no layer or two, or the layer's name says no channel.
    """
    if len(names) < 2:
        return (image,)
    place = channel_of(image.name, names)
    if place is None:
        raise ScanError(
            f"“{image.name}” says no channel ({', '.join(names)}) at the end of its name. Rename "
            f"the layer, for example to “{image.name}_{names[0]}”."
        )
    case = place[0]
    found: dict[int, Image] = {}
    for layer in scan_layers(layers):
        other = channel_of(layer.name, names)
        if other is None or other[0] != case:
            continue
        twin = found.setdefault(other[1], layer)
        if twin is not layer:
            raise ScanError(
                f"“{twin.name}” and “{layer.name}” are the same channel of “{case}”. Rename or "
                "remove one of them."
            )
    missing = [name for index, name in enumerate(names) if index not in found]
    if missing:
        raise ScanError(
            f"“{case}” has no layer of the channel {', '.join(missing)}. Open it, or rename its "
            f"layer to “{case}_{missing[0]}”."
        )
    return tuple(found[index] for index in range(len(names)))
