"""Compare predictions with their references, volume by volume or folder by folder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.io import list_nifti, nifti_stem, read_volume
from napari_medcontext.core.labels import Box, as_label_array, class_boxes
from napari_medcontext.core.metrics import METRICS, Mask, Spacing, volume_ml
from napari_medcontext.core.scores import ClassScore, Status
from napari_medcontext.core.volume import Volume, grid_distance


def evaluate_volumes(
    prediction: Volume,
    reference: Volume,
    *,
    case: str,
    class_names: Mapping[int, str] | None = None,
    classes: Iterable[int] | None = None,
) -> list[ClassScore]:
    """Score every class of a prediction, the background left out.

    Parameters
    ----------
    prediction, reference
        Class ids on the same grid; the prediction's axes may run otherwise.
    case
        Name of the scan, for the scores.
    class_names
        Class id to name; those that the volumes carry where it is left out.
    classes
        Class ids to score; where left out, all that occur in a volume or have a name.

    Returns
    -------
    list of ClassScore
        In the order of their ids.

    Raises
    ------
    ScanError
        If either holds no class ids, or they lie on different grids.
    """
    names = {**prediction.class_names, **reference.class_names}
    names = names if class_names is None else dict(class_names)
    predicted = as_label_array(_onto(prediction, reference).array, prediction.name)
    expected = as_label_array(reference.array, reference.name)
    boxes = class_boxes(predicted), class_boxes(expected)
    wanted = set[int]().union(*boxes, names) if classes is None else set(classes)
    scores = []
    for class_id in sorted(wanted - {0}):
        name = names.get(class_id, f"class {class_id}")
        box = _union(found.get(class_id) for found in boxes)
        masks = predicted[box] == class_id, expected[box] == class_id
        scores.append(_score(case, class_id, name, *masks, reference.spacing))
    return scores


def evaluate_folders(
    predictions: Path, labels: Path, *, class_names: Mapping[int, str] | None = None
) -> Iterator[list[ClassScore]]:
    """Score each prediction in a folder against the labels of the same name, case by case.

    ``pair_by_name`` tells which files go together; ``unpredicted`` which references are left out.

    Raises
    ------
    ScanError
        At once, if no two files share a name; later, if a pair cannot be compared.
    """
    pairs, _ = pair_by_name(list_nifti(predictions), list_nifti(labels))
    if not pairs:
        raise ScanError(
            f"No file in {predictions} has the name of one in {labels}. Give each prediction "
            "its labels' file name, for example case_01.nii.gz in both folders."
        )
    return (
        evaluate_volumes(
            read_volume(first),
            read_volume(second),
            case=nifti_stem(second),
            class_names=class_names,
        )
        for first, second in pairs
    )


def unpredicted(predictions: Path, labels: Path) -> list[str]:
    """Return the names of the cases with labels but no prediction, which no score counts."""
    _, left_over = pair_by_name(list_nifti(predictions), list_nifti(labels))
    return [nifti_stem(path) for path in left_over if path.parent == labels]


def pair_by_name(
    first: Sequence[Path], second: Sequence[Path]
) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Pair NIfTI files whose names agree up to ``.nii`` or ``.nii.gz``.

    Returns
    -------
    tuple of list
        The pairs, sorted by name, and the files that have no partner.

    Raises
    ------
    ScanError
        If two files of one side have the same name.
    """
    one, other = _by_stem(first), _by_stem(second)
    pairs = [(one[stem], other[stem]) for stem in sorted(one.keys() & other.keys())]
    left_over = [path for side in (one, other) for path in side.values()]
    paired = {path for pair in pairs for path in pair}
    return pairs, [path for path in left_over if path not in paired]


def _score(
    case: str, class_id: int, class_name: str, prediction: Mask, reference: Mask, spacing: Spacing
) -> ClassScore:
    status = _status(prediction.any(), reference.any())
    values = {
        name: metric.measure(prediction, reference, spacing)
        if status == "found"
        else (math.nan if status == "absent" else metric.one_sided)
        for name, metric in METRICS.items()
    }
    return ClassScore(
        case,
        class_id,
        class_name,
        status,
        prediction_ml=volume_ml(prediction, spacing),
        reference_ml=volume_ml(reference, spacing),
        **values,
    )


def _status(predicted: object, expected: object) -> Status:
    if predicted and expected:
        return "found"
    if expected:
        return "missed"
    return "invented" if predicted else "absent"


def _onto(prediction: Volume, reference: Volume) -> Volume:
    """Return the prediction with its axes running as the reference's do."""
    turned = prediction.turned_onto(reference)
    if turned is not None:
        return turned
    raise ScanError(
        f"“{prediction.name}” and “{reference.name}” lie on different grids: "
        f"{_difference(prediction, reference)}. Compare labels of the same scan, or resample one "
        "onto the other's grid with nearest neighbour first."
    )


def _difference(prediction: Volume, reference: Volume) -> str:
    turned = prediction.reoriented(reference.orientation)
    if turned.shape != reference.shape:
        return f"{_grid_text(turned)} against {_grid_text(reference)}"
    apart = grid_distance(turned, reference) * min(turned.spacing)
    return f"same size, but voxels that should coincide lie up to {apart:.3g} mm apart"


def _grid_text(volume: Volume) -> str:
    voxels = "×".join(str(size) for size in volume.shape)
    spacing = "×".join(f"{size:.3g}" for size in volume.spacing)
    return f"{voxels} voxels of {spacing} mm"


def _union(boxes: Iterable[Box | None]) -> Box:
    """Return the box that bounds all of these; an empty one where there is none."""
    known = [box for box in boxes if box]
    if not known:
        return (slice(0, 0),) * 3
    return tuple(
        slice(min(side.start for side in axis), max(side.stop for side in axis))
        for axis in zip(*known, strict=True)
    )


def _by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    by_stem: dict[str, Path] = {}
    for path in paths:
        twin = by_stem.setdefault(nifti_stem(path), path)
        if twin != path:
            raise ScanError(f"{twin} and {path} have the same name. Remove one of them.")
    return by_stem
