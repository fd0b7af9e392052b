"""Hide an organ of one scan, and measure what the student still knows of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np

from napari_medcontext.core.mask_grid import Mask
from napari_medcontext.core.masking.structure import Box, box_round
from napari_medcontext.core.metrics import dice
from napari_medcontext.core.probe.rows import Condition, Place, ProbeRow
from napari_medcontext.core.probe.shape import pasted
from napari_medcontext.core.subject import Decided, Subject
from napari_medcontext.core.windows import as_part

NAN = float("nan")
TRIES = 256
"""So often is a place looked for where a box does not touch the organ."""

_Scores = Mapping[tuple[Place, Condition], Sequence[float]]


@dataclass(frozen=True, eq=False)
class Target:
    """What is hidden and scored together.

    Parameters
    ----------
    class_ids
        The classes that are scored.
    place
        What the boxes are round.
    boxes
        One a draw.
    spared
        What the control boxes must not touch, shape ``(x, y, z)``.
    where
        What is scored; all of the scan if None.
    """

    class_ids: Sequence[int]
    place: Place
    boxes: Sequence[Box]
    spared: Mask
    where: Mask | None = None


def organ_target(subject: Subject, class_id: int, draws: int, seed: int) -> Target:
    """Return what is hidden of one class: all of it, in boxes that vary by chance.

    The boxes depend on the scan, the class and the seed alone, so that runs are compared on the
    same ones.

    Raises
    ------
    SettingsError
        If the scan's labels do not hold the class.
    """
    mask = subject.mask_of(class_id)
    boxes = [box_round(mask, np.random.default_rng([seed, class_id, k])) for k in range(draws)]
    return Target((class_id,), "organ", boxes, mask)


def box_target(subject: Subject, box: Box, draws: int) -> Target:
    """Return what is hidden by a box that was asked for: whatever lies in it."""
    spared = np.zeros(subject.scan.shape, dtype=bool)
    spared[box] = True
    inside = [k for k, mask in subject.reference_masks.items() if mask[box].any()]
    return Target(inside, "box", [box] * draws, spared, spared)


def probe_target(
    subject: Subject, target: Target, shapes: Mapping[int, Mask], seed: int
) -> Generator[float, None, list[ProbeRow]]:
    """Score the classes of a target visible, hidden in each way, and beside the controls.

    Parameters
    ----------
    subject
        The run and the scan; it needs labels.
    target
        What is hidden.
    shapes
        Average shape of each class over the training scans, where there is one.
    seed
        Number that fixes where the controls lie, and the noise.

    Yields
    ------
    float
        Share of the passes that are done.
    """
    student = yield from as_part(subject.student(), 0.0, 0.2)
    visible = subject.dice(student, target.where)
    scores: dict[int, dict[tuple[Place, Condition], list[float]]] = {
        k: defaultdict(list) for k in target.class_ids
    }
    for draw, box in enumerate(target.boxes):
        start, step = 0.2 + 0.8 * draw / len(target.boxes), 0.8 / len(target.boxes)
        rng = np.random.default_rng([seed, *target.class_ids, draw, 1])
        elsewhere = box_elsewhere(box, target.spared, subject.scan.shown.numpy(), rng)
        places: dict[Place, Box | None] = {target.place: box, "elsewhere": elsewhere}
        work = _hidden_scores(subject, target, student, places, rng)
        found = yield from as_part(work, start, start + step)
        for k in target.class_ids:
            for key, dices in found.items():
                scores[k][key].append(dices[k])
            if target.place == "organ" and k in shapes:
                guess = pasted(shapes[k], box, target.spared.shape)
                scores[k]["organ", "average shape"].append(dice(guess, target.spared))
    return [
        row for k in target.class_ids for row in _rows(subject, k, visible[k], target, scores[k])
    ]


def box_elsewhere(
    box: Box,
    spared: Mask,
    image: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    rng: np.random.Generator,
) -> Box | None:
    """Return a box of the same sides that does not touch what is spared.

    Its centre lies in the brighter half of the scan, so that it hides some of the patient and
    not the air round it. None where no place was found.
    """
    sides = [side.stop - side.start for side in box]
    room = [whole - side for whole, side in zip(spared.shape, sides, strict=True)]
    bright = float(np.median(image))
    for _ in range(TRIES):
        starts = [int(rng.integers(0, most + 1)) for most in room]
        x, y, z = (slice(start, start + side) for start, side in zip(starts, sides, strict=True))
        centre = tuple(start + side // 2 for start, side in zip(starts, sides, strict=True))
        if image[centre] > bright and not spared[x, y, z].any():
            return x, y, z
    return None


def _hidden_scores(
    subject: Subject,
    target: Target,
    student: Decided,
    places: Mapping[Place, Box | None],
    rng: np.random.Generator,
) -> Generator[float, None, dict[tuple[Place, Condition], dict[int, float]]]:
    """Return the Dice of each class with each of the places hidden in each way."""
    seen = subject.seen
    passes = [
        (place, box, hiding)
        for place, box in places.items()
        if box is not None
        for hiding in seen.hidings
    ]
    found: dict[tuple[Place, Condition], dict[int, float]] = {}
    for number, (place, box, hiding) in enumerate(passes):
        work = seen.masked(seen.grid.boxed(box), hiding, rng)
        answer = yield from as_part(work, number / len(passes), (number + 1) / len(passes))
        decided = subject.decided(answer, student)
        found[place, hiding] = subject.dice(decided, target.where)
    return found


def _rows(
    subject: Subject, class_id: int, visible: float, target: Target, scores: _Scores
) -> Iterator[ProbeRow]:
    """Return the rows of one class, those without a score too."""
    wanted: list[tuple[Place, Condition]] = [
        (place, hiding) for place in (target.place, "elsewhere") for hiding in subject.seen.hidings
    ]
    if target.place == "organ":
        wanted.append(("organ", "average shape"))
    values: dict[tuple[Place, Condition], Sequence[float]] = {("nowhere", "visible"): [visible]}
    values |= {key: scores.get(key, ()) for key in wanted}
    for (place, condition), found in values.items():
        dsc = mean(found) if found else NAN
        yield ProbeRow(
            scan=subject.scan.name,
            class_id=class_id,
            class_name=subject.classes.names.get(class_id, f"class {class_id}"),
            place=place,
            condition=condition,
            dsc=dsc,
            deviation=stdev(found) if len(found) > 1 else NAN,
            ratio=dsc / visible if visible > 0 else NAN,
            draws=len(found),
        )
