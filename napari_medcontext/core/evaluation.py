"""Compare a prediction with its reference."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from itertools import chain

import numpy as np

from napari_medcontext.core.definitions import Definitions
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.labels import Box, as_label_array, class_boxes
from napari_medcontext.core.metrics import METRICS, MaskPair, volume_ml
from napari_medcontext.core.regions import Members
from napari_medcontext.core.scored_parts import (
    Part,
    chosen_parts,
    class_parts,
    region_parts,
    require_numbers,
)
from napari_medcontext.core.scores import ClassScore, Status
from napari_medcontext.core.volume import Volume, grid_distance

MOST_FOREIGN = 64
"""No network invents so many classes; a scan in the place of labels does."""


def evaluate_volumes(
    prediction: Volume,
    reference: Volume,
    *,
    case: str,
    class_names: Mapping[int, str] | None = None,
    classes: Iterable[int | str] | None = None,
    regions: Mapping[str, Members] | None = None,
    ignore_label: int | None = None,
    definitions: Definitions | None = None,
) -> list[ClassScore]:
    """Score every class of a prediction, the background left out, or every region.

    Parameters
    ----------
    prediction, reference
        Class ids on the same grid; the prediction's axes may run otherwise.
    case
        Name of the scan, for the scores.
    class_names
        Class id to name; those that the volumes carry where it is left out.
    classes
        Ids or names of the classes to score; where left out, all that occur in a volume or have
        a name.
    regions
        A table of regions, outermost first, to score in place of classes. The reference then
        holds class ids, and the prediction the regions' numbers in the table, from 1, as a run
        that learned them writes it.
    ignore_label
        The reference's id that means “unknown”; what lies there is counted nowhere.
    definitions
        Which definition of a metric is meant; those of ``Definitions()`` where left out.

    Returns
    -------
    list of ClassScore
        In the order of their ids.

    Raises
    ------
    ScanError
        If either holds no class ids, a prediction ids that are no region's number or far more
        classes than its reference, they lie on different grids, or a class to score has no such
        name.
    """
    names = {**prediction.class_names, **reference.class_names}
    names = names if class_names is None else dict(class_names)
    predicted = as_label_array(onto_reference(prediction, reference).array, prediction.name)
    expected = as_label_array(reference.array, reference.name)
    if ignore_label is not None:
        known = expected != ignore_label
        predicted, expected = predicted * known, expected * known
        names.pop(ignore_label, None)
    boxes = class_boxes(predicted), class_boxes(expected)
    _refuse_scan(prediction.name, reference.name, set(boxes[0]) - set(boxes[1]) - set(names))
    if regions:
        require_numbers(prediction.name, boxes[0], regions)
        parts = region_parts(regions)
    else:
        parts = class_parts(set().union(*boxes, names), names)
    definitions = definitions or Definitions()
    scores = []
    for part in chosen_parts(parts, classes):
        box = _union(map(boxes[0].get, part.predicted), map(boxes[1].get, part.expected))
        pair = MaskPair(
            np.isin(predicted[box], part.predicted),
            np.isin(expected[box], part.expected),
            reference.spacing,
        )
        scores.append(_score(case, part, pair, definitions))
    return scores


def _refuse_scan(name: str, reference: str, foreign: Collection[int]) -> None:
    """Refuse what has more ids of its own than labels have."""
    if len(foreign) > MOST_FOREIGN:
        raise ScanError(
            f"“{name}” holds {len(foreign)} ids that its reference “{reference}” does not have. "
            "Is it a scan rather than labels? Choose predicted labels."
        )


def _score(case: str, part: Part, pair: MaskPair, definitions: Definitions) -> ClassScore:
    status = _status(pair.prediction.any(), pair.reference.any())
    values = {
        name: metric.measure(pair, definitions)
        if status == "found"
        else (math.nan if status == "absent" else metric.one_sided)
        for name, metric in METRICS.items()
    }
    return ClassScore(
        case,
        part.number,
        part.name,
        status,
        prediction_ml=volume_ml(pair.prediction, pair.spacing),
        reference_ml=volume_ml(pair.reference, pair.spacing),
        hd95_definition=definitions.hd95,
        nsd_definition=definitions.nsd,
        nsd_tolerance_mm=definitions.tolerance_mm,
        **values,
    )


def _status(predicted: object, expected: object) -> Status:
    if predicted and expected:
        return "found"
    if expected:
        return "missed"
    return "invented" if predicted else "absent"


def onto_reference(prediction: Volume, reference: Volume) -> Volume:
    """Return the prediction with its axes running as the reference's do.

    Raises
    ------
    ScanError
        If the two lie on different grids, saying how they differ.
    """
    turned = prediction.turned_onto(reference)
    if turned is not None:
        return turned
    raise ScanError(
        f"The prediction “{prediction.name}” and the reference “{reference.name}” lie on different "
        f"grids: {_difference(prediction, reference)}. Compare labels of the same scan, or "
        "resample one onto the other's grid with nearest neighbour first."
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


def _union(*boxes: Iterable[Box | None]) -> Box:
    """Return the box that bounds all of these; an empty one where there is none."""
    known = [box for box in chain(*boxes) if box]
    if not known:
        return (slice(0, 0),) * 3
    return tuple(
        slice(min(side.start for side in axis), max(side.stop for side in axis))
        for axis in zip(*known, strict=True)
    )
