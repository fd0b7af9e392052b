"""Every method of a study against its baseline: at the end, by class, and at equal time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_medcontext.core.study.curves import (
    CaseCurves,
    MetricName,
    after_seconds,
    at_end,
    case_curves,
    common_seconds,
)
from napari_medcontext.core.study.plan import StudySpec
from napari_medcontext.core.study.rows import ScoreRow, Series
from napari_medcontext.core.study.statistics import METRICS, Paired, Verdict, holm, paired, verdict

Pair = tuple[Series, Series]
BUDGETS = 4
"""Training times that are looked at where none are named."""
NO_VERDICT = Verdict("cannot tell", "")
SWEEP = 60
"""Training times among which the largest lead and lag are looked for."""


@dataclass(frozen=True)
class Comparison:
    """A method's difference from another, in the metric's unit, and what may be said of it.

    ``seconds`` is the training time that both are compared at, ``None`` for the last step of
    each; ``class_name`` is empty for the mean over classes. ``p`` is adjusted for all
    comparisons of its table.
    """

    method: Series
    against: Series
    metric: MetricName
    difference: Paired
    class_name: str = ""
    seconds: float | None = None
    p: float = 1.0
    verdict: Verdict = NO_VERDICT


@dataclass(frozen=True)
class Findings:
    """All comparisons of a study, by table."""

    at_end: Sequence[Comparison]
    at_equal_time: Sequence[Comparison]
    by_class: Sequence[Comparison]

    @property
    def all(self) -> tuple[Comparison, ...]:
        """Every comparison."""
        return (*self.at_end, *self.at_equal_time, *self.by_class)


def findings(spec: StudySpec, rows: Sequence[ScoreRow]) -> Findings:
    """Compare whatever has been measured."""
    curves = case_curves(rows)
    pairs = [pair for pair in pairs_of(spec) if set(pair) <= curves.keys()]
    names = list(dict.fromkeys(row.score.class_name for row in rows))
    by_class = [
        comparison
        for name in (names if len(names) > 1 else [])
        for comparison in _ends(case_curves(rows, name), pairs, name)
    ]
    return Findings(
        [
            comparison
            for metric in METRICS
            for comparison in _judged([c for c in _ends(curves, pairs) if c.metric == metric])
        ],
        _judged(list(_times(curves, pairs, spec.budgets))),
        _judged(by_class),
    )


def pairs_of(spec: StudySpec) -> Iterator[Pair]:
    """Return which series is compared with which, on every network."""
    arms = {arm.name: arm for arm in spec.arms}
    for network in spec.networks:
        for arm in spec.arms:
            baseline = arms[spec.against(arm)]
            first = Series(network, arm.name, arm.weights[0])
            for weights in arm.weights:
                series = Series(network, arm.name, weights)
                if baseline is not arm:
                    yield series, Series(network, baseline.name, baseline.weights[0])
                if series != first:
                    yield series, first


@dataclass(frozen=True)
class Lead:
    """How far a mean curve lies above another at equal time, in points of Dice.

    ``least`` and ``most`` are the lowest and the highest lead, each with the training time in
    seconds at which it occurs; ``last`` is at the latest time that both have.
    """

    least: tuple[float, float]
    most: tuple[float, float]
    last: tuple[float, float]


def lead(curves: CaseCurves, pair: Pair) -> Lead | None:
    """Return how a method's mean curve lies to another's; ``None`` where they share no time."""
    first, last = common_seconds(*(curves[series] for series in pair))
    if not first <= last:
        return None
    times = np.linspace(first, last, SWEEP)
    ahead = [paired(*(after_seconds(curves[series], t) for series in pair)).mean for t in times]
    points = [(100.0 * value, float(time)) for value, time in zip(ahead, times, strict=True)]
    return Lead(min(points), max(points), points[-1])


def _ends(curves: CaseCurves, pairs: Iterable[Pair], class_name: str = "") -> Iterator[Comparison]:
    for method, against in pairs:
        for name, metric in METRICS.items():
            known: MetricName = "dsc" if name == "dsc" else "hd95_mm"
            values = (at_end(curves.get(series, {}), known) for series in (method, against))
            difference = paired(*values).scaled(metric.factor)
            yield Comparison(method, against, known, difference, class_name)


def _times(
    curves: CaseCurves, pairs: Iterable[Pair], budgets: Sequence[float]
) -> Iterator[Comparison]:
    for pair in pairs:
        method, against = (curves[series] for series in pair)
        first, last = common_seconds(method, against)
        times = budgets or (np.linspace(first, last, BUDGETS).tolist() if first <= last else [])
        for seconds in times:
            values = after_seconds(method, seconds), after_seconds(against, seconds)
            difference = paired(*values).scaled(METRICS["dsc"].factor)
            yield Comparison(*pair, "dsc", difference, seconds=seconds)


def _judged(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return comparisons of one table with their verdicts, p adjusted for their number."""
    # What nobody measured is no attempt to find something.
    tried = sum(comparison.difference.cases > 0 for comparison in comparisons)
    raw = [c.difference.p if c.difference.cases else math.nan for c in comparisons]
    adjusted = iter(holm([p for p in raw if math.isfinite(p)]))
    judged = []
    for comparison, p in zip(comparisons, raw, strict=True):
        p = next(adjusted) if math.isfinite(p) else 1.0
        text = verdict(
            comparison.difference,
            comparison.method.title,
            comparison.against.title,
            METRICS[comparison.metric],
            p,
            tried,
        )
        judged.append(replace(comparison, p=p, verdict=text))
    return judged
