"""What the probe of several runs comes to: means over scans, then over the seeds of a method."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from napari_medcontext.core.probe.rows import Condition, Place, ProbedRow

ALL = "all"
"""Stands for the mean over the organs."""
Key = tuple[str, str, Place, Condition]
"""Method, organ, place and condition."""


@dataclass(frozen=True)
class ProbeMean:
    """A mean Dice over scans and then over runs of one method.

    ``deviation`` is the standard deviation over the runs, ``nan`` for a single one. ``ratio`` is
    that of the means, hidden over visible, and then the mean over the runs.
    """

    dsc: float
    deviation: float
    ratio: float
    runs: int


def probe_means(rows: Iterable[ProbedRow]) -> dict[Key, ProbeMean]:
    """Return the means of all methods, organs, places and conditions.

    The organ ``ALL`` is the mean over a run's organs, each of which counts the same.
    """
    by_run: dict[tuple[str, str], list[ProbedRow]] = defaultdict(list)
    for each in rows:
        by_run[each.method, each.run].append(each)
    values: dict[Key, list[tuple[float, float]]] = defaultdict(list)
    for (method, _), of_run in by_run.items():
        for (organ, place, condition), pair in _run_means(of_run).items():
            values[method, organ, place, condition].append(pair)
    return {key: _mean_of_runs(pairs) for key, pairs in values.items()}


def _run_means(
    rows: Sequence[ProbedRow],
) -> dict[tuple[str, Place, Condition], tuple[float, float]]:
    """Return a run's Dice, and its share of the visible, by organ, place and condition."""
    found: dict[tuple[str, Place, Condition], list[float]] = defaultdict(list)
    for each in rows:
        row = each.row
        if not math.isnan(row.dsc):
            found[row.class_name, row.place, row.condition].append(row.dsc)
    organs = {key: mean(dices) for key, dices in found.items()}
    kinds = dict.fromkeys((place, condition) for _, place, condition in organs)
    for place, condition in kinds:
        of_kind = [dsc for key, dsc in organs.items() if key[1:] == (place, condition)]
        organs[ALL, place, condition] = mean(of_kind)
    return {
        key: (dsc, _share(dsc, organs.get((key[0], "nowhere", "visible"), 0.0)))
        for key, dsc in organs.items()
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan


def _mean_of_runs(pairs: Sequence[tuple[float, float]]) -> ProbeMean:
    dices = [dsc for dsc, _ in pairs]
    return ProbeMean(
        dsc=mean(dices),
        deviation=stdev(dices) if len(dices) > 1 else math.nan,
        ratio=mean(ratio for _, ratio in pairs),
        runs=len(pairs),
    )
