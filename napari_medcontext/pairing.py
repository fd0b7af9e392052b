"""Find which labels belong to which scan, by where they lie and what they are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from napari.layers import Image, Labels, Layer

from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.volume import Volume
from napari_medcontext.layer_geometry import layer_grid
from napari_medcontext.scan_metadata import is_made

LABEL_WORDS = frozenset(
    {"label", "labels", "labelstr", "labelsts", "seg", "segs", "segmentation", "segmentations"}
    | {"mask", "masks", "annotation", "annotations", "gt", "groundtruth"}
)
"""Words in a name that say that these are labels."""

_IMAGE_WORDS = frozenset(
    {"image", "images", "imagestr", "imagests", "img", "scan", "scans", "nii", "gz"}
    | {"an", "the", "of", "and"}
)

_COUNT = re.compile(r" \[\d+\]")
"""What napari, and a file of several channels, add to a name that there is already."""

MIN_LIKENESS = 0.3
"""Names that share less, such as "a map" and "a quick draft", share it by chance."""


def name_words(name: str) -> list[str]:
    """Return the words and numbers of a name, in lower case."""
    return re.findall(r"[a-z]+\d+[a-z]+|[a-z]+|\d+", name.lower())


def scan_layers(layers: Iterable[Layer]) -> list[Image]:
    """Return the images that are scans of the user's own, to train on or to predict.

    The probabilities of a prediction and the images that were kept from a preview are none.
    """
    return [layer for layer in layers if isinstance(layer, Image) and not is_made(layer)]


def pair_layers(
    images: Sequence[Image], labels: Sequence[Labels]
) -> list[tuple[Image, Labels | None]]:
    """Give each image the labels that lie on it voxel by voxel and fit its name best.

    Words such as "image", "labels" or "seg" do not count, and names whose numbers contradict
    each other never fit. Labels whose name says nothing are taken only where a single image
    and they alone are left on their grid. What was predicted or kept from a preview is no
    reference and no scan to learn from, and stays out.

    Returns
    -------
    list of tuple
        Every image in the order given, with its labels or None.
    """
    everything: list[Layer] = [*images, *labels]
    image_grids = [_grid(image, everything) for image in images]
    label_grids = [_grid(layer, everything) for layer in labels]
    fitting = {
        (i, j)
        for i, image in enumerate(image_grids)
        for j, label in enumerate(label_grids)
        if image and label and label.turned_onto(image) is not None
    }
    chosen = _by_name([layer.name for layer in images], [layer.name for layer in labels], fitting)
    return [(image, labels[chosen[i]] if i in chosen else None) for i, image in enumerate(images)]


def _by_name(
    images: Sequence[str], labels: Sequence[str], fitting: set[tuple[int, int]]
) -> dict[int, int]:
    """Return label index by image index: the likeliest names first, then those left alone."""
    likeness = {(i, j): _likeness(images[i], labels[j]) for i, j in fitting}
    chosen: dict[int, int] = {}
    for i, j in sorted(fitting, key=lambda pair: (-likeness[pair], *pair)):
        if likeness[i, j] >= MIN_LIKENESS and i not in chosen and j not in chosen.values():
            chosen[i] = j
    left = {(i, j) for i, j in fitting if i not in chosen and j not in chosen.values()}
    rivals_i, rivals_j = Counter(i for i, _ in left), Counter(j for _, j in left)
    alone = ((i, j) for i, j in left if rivals_i[i] == rivals_j[j] == 1)
    chosen.update((i, j) for i, j in alone if 0 <= likeness[i, j] < MIN_LIKENESS)
    return chosen


def _likeness(image: str, label: str) -> float:
    """Return the share of words that two names have in common; -1 if numbers contradict."""
    if bool(_COUNT.search(image)) != bool(_COUNT.search(label)):
        image, label = _COUNT.sub("", image), _COUNT.sub("", label)
    first, second = _telling_words(image), _telling_words(label)
    numbers = [Counter(word for word in words if word.isdigit()) for words in (first, second)]
    if not (numbers[0] <= numbers[1] or numbers[1] <= numbers[0]):
        return -1.0
    union = (first | second).total()
    return (first & second).total() / union if union else 0.0


def _telling_words(name: str) -> Counter[str]:
    words = (word.lstrip("0") or word for word in name_words(name))
    return Counter(word for word in words if word not in LABEL_WORDS | _IMAGE_WORDS)


def _grid(layer: Layer, layers: Sequence[Layer]) -> Volume | None:
    """Return where a layer lies, if it may be paired at all."""
    if is_made(layer):
        return None
    try:
        return layer_grid(layer, layers)
    except ScanError:
        return None


def labels_name(stem: str) -> str:
    """Return what the labels in a file are called, told from a scan of the same file name."""
    return stem if LABEL_WORDS & set(name_words(stem)) else f"{stem} labels"
