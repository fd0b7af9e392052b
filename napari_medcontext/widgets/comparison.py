"""A comparison of labels: what it is about, and the work of it, away from the window's thread."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from napari.layers import Labels

from napari_medcontext.core.definitions import Definitions
from napari_medcontext.core.error_map import (
    ErrorRegion,
    dice_by_slice,
    error_map,
    error_map_of_all,
    largest_errors,
    worst_slice,
)
from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.evaluation import evaluate_volumes, onto_reference
from napari_medcontext.core.labels import Box, as_label_array, bounding_box
from napari_medcontext.core.regions import painted_numbers
from napari_medcontext.core.scores import ClassScore
from napari_medcontext.core.volume import Array, Volume
from napari_medcontext.scan_metadata import scan_metadata

ERRORS_TOLD = 10
"""How many of the largest errors are looked at."""
DISPLAYED_AXIS = 0
"""The axis of a layer's data that the main slider moves along, as scans are first shown."""


@dataclass(frozen=True)
class Meaning:
    """What the ids of a prediction stand for, as the run that predicted noted it."""

    regions: Mapping[str, Sequence[int]] = field(default_factory=dict)
    unknown_id: int | None = None

    @classmethod
    def of(cls, prediction: Labels, reference: Labels) -> Meaning:
        """Return the meaning that a prediction has beside this reference."""
        noted, other = scan_metadata(prediction) or {}, scan_metadata(reference) or {}
        # Two predictions of regions hold the same numbers, which exclude each other.
        regions = {} if other.get("regions") else noted.get("regions", {})
        return cls(regions, noted.get("unknown_id"))

    @property
    def text(self) -> str:
        """The same in words, to stand behind what is compared; empty where nothing is special."""
        made_of = [f"{name} = {', '.join(map(str, ids))}" for name, ids in self.regions.items()]
        said = f"; regions by class ids: {'; '.join(made_of)}" if made_of else ""
        return said + ("" if self.unknown_id is None else f"; id {self.unknown_id} is unknown")

    def ids(self, class_id: int) -> tuple[Sequence[int], Sequence[int]]:
        """Return the ids that a class or region is made of in a prediction and in a reference."""
        if not self.regions:
            return (class_id,), (class_id,)
        name = list(self.regions)[class_id - 1]
        return painted_numbers(self.regions)[name], self.regions[name]


@dataclass(frozen=True)
class Choice:
    """What a comparison scores: all classes or some, and by which definitions."""

    definitions: Definitions = field(default_factory=Definitions)
    classes: Sequence[int | str] | None = None


@dataclass(frozen=True)
class Outcome:
    """What a worker hands back; a bare exception as its result would be raised there."""

    scores: list[ClassScore] = field(default_factory=list)
    error: MedContextError | None = None


def evaluated(
    predictions: list[tuple[Volume, Meaning]], references: list[Volume], choice: Choice
) -> Outcome:
    """Score predictions in a worker, which must hand back its errors and forget its arrays.

    napari keeps workers, and so their arguments, until its window closes; an exception
    that leaves one is lost or trips napari itself. So both lists are emptied.
    """
    reference, pairs = references.pop(), list(predictions)
    predictions.clear()
    scores: list[ClassScore] = []
    try:
        while pairs:
            prediction, meaning = pairs.pop(0)
            scores += evaluate_volumes(
                prediction,
                reference,
                case=prediction.name,
                classes=choice.classes,
                regions=meaning.regions,
                ignore_label=meaning.unknown_id,
                definitions=choice.definitions,
            )
        return Outcome(scores)
    except MedContextError as error:
        return Outcome(error=error)
    except Exception as error:
        logging.getLogger(__name__).exception("comparing labels failed")
        message = f"The comparison failed ({error}). The terminal has the details."
        return Outcome(error=MedContextError(message))


@dataclass(frozen=True, eq=False)
class ErrorsFound:
    """Where one class, or with ``class_id`` 0 any, is right and wrong.

    ``errors`` has the shape of the reference layer's data, as ``core.error_map`` has it;
    ``by_slice`` is the Dice of each slice along the displayed axis, ``worst`` the index of the
    one with most errors; ``largest`` holds the largest errors, largest first.
    """

    class_id: int
    errors: Array
    by_slice: Array
    worst: int
    largest: Sequence[ErrorRegion]


def errors_between(
    prediction: Volume, reference: Volume, meaning: Meaning, class_id: int
) -> ErrorsFound:
    """Look for the errors of a class, or with a ``class_id`` of 0 of all.

    Raises
    ------
    ScanError
        If the two do not lie on each other, or one holds no class ids.
    """
    turned = onto_reference(prediction, reference)
    predicted = as_label_array(turned.array, prediction.name)
    expected = as_label_array(reference.array, reference.name)
    if meaning.unknown_id is not None:
        known = expected != meaning.unknown_id
        predicted, expected = predicted * known, expected * known
    whole = class_id == 0 and not meaning.regions
    if whole:
        masks = predicted != 0, expected != 0
    else:
        ids = meaning.ids(class_id or 1)
        masks = _where(predicted, ids[0]), _where(expected, ids[1])
    box = bounding_box(masks[0] | masks[1])
    near = tuple(mask[box] for mask in masks)
    found = error_map_of_all(predicted[box], expected[box]) if whole else error_map(*near)
    errors = np.zeros(expected.shape, dtype=np.uint8)
    errors[box] = found
    by_slice = np.full(expected.shape[DISPLAYED_AXIS], np.nan)
    by_slice[box[DISPLAYED_AXIS]] = dice_by_slice(*near, DISPLAYED_AXIS)
    return ErrorsFound(
        class_id,
        errors,
        by_slice,
        box[DISPLAYED_AXIS].start + worst_slice(*near, DISPLAYED_AXIS),
        [
            replace(region, box=_moved(region.box, box))
            for region in largest_errors(found, reference.spacing, ERRORS_TOLD)
        ],
    )


def _where(labels: Array, ids: Sequence[int]) -> Array:
    """Return where labels hold any of these ids; of a single one several times faster."""
    mask = labels == ids[0] if len(ids) == 1 else np.isin(labels, ids)
    return np.asarray(mask, dtype=bool)


def _moved(inner: Box, outer: Box) -> Box:
    return tuple(
        slice(first.start + second.start, first.stop + second.start)
        for first, second in zip(inner, outer, strict=True)
    )
