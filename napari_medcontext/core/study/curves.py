"""Learning curves: how well each scan is segmented after so many steps and seconds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_medcontext.core.study.rows import ScoreRow, Series

Floats = npt.NDArray[np.float64]
MetricName = Literal["dsc", "hd95_mm"]
Key = tuple[int, str]
"""A seed and a case."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Values at rising steps; all arrays of shape ``(checkpoints,)``."""

    steps: Floats
    seconds: Floats
    dsc: Floats
    hd95_mm: Floats

    def metric(self, name: MetricName) -> Floats:
        """Return the values of one metric."""
        return self.dsc if name == "dsc" else self.hd95_mm

    def dsc_after(self, seconds: float) -> float:
        """Return the Dice after so much training, between two checkpoints on the line.

        Returns
        -------
        float
            ``nan`` before the first and after the last checkpoint.
        """
        if not self.seconds[0] <= seconds <= self.seconds[-1]:
            return math.nan
        return float(np.interp(seconds, self.seconds, self.dsc))


CaseCurves = Mapping[Series, Mapping[Key, Curve]]


def case_curves(rows: Iterable[ScoreRow], class_name: str = "") -> CaseCurves:
    """Return a curve for each series, seed and case.

    A value is the mean over the classes that the scan's reference has, so that every method is
    measured on the same; a missed one has a Dice of 0 and no HD95.

    Parameters
    ----------
    rows
        What was measured.
    class_name
        The one class to look at; empty for all.
    """
    groups: dict[Series, dict[Key, dict[int, list[ScoreRow]]]] = {}
    for row in rows:
        in_reference = row.score.status in ("found", "missed")
        if in_reference and class_name in ("", row.score.class_name):
            by_key = groups.setdefault(row.series, {})
            by_step = by_key.setdefault((row.seed, row.score.case), {})
            by_step.setdefault(row.step, []).append(row)
    return {
        series: {key: _curve(by_step) for key, by_step in by_key.items()}
        for series, by_key in groups.items()
    }


def _curve(by_step: Mapping[int, list[ScoreRow]]) -> Curve:
    steps = sorted(by_step)
    return Curve(
        np.array(steps, dtype=np.float64),
        np.array([by_step[step][0].seconds for step in steps]),
        np.array([finite_mean(row.score.dsc for row in by_step[step]) for step in steps]),
        np.array([finite_mean(row.score.hd95_mm for row in by_step[step]) for step in steps]),
    )


def seed_curves(curves: Mapping[Key, Curve]) -> dict[int, Curve]:
    """Return one curve a seed, the mean over its cases, at the steps that all of them have."""
    by_seed: dict[int, list[Curve]] = {}
    for (seed, _), curve in curves.items():
        by_seed.setdefault(seed, []).append(curve)
    return {seed: mean_curve(group) for seed, group in sorted(by_seed.items())}


def mean_curve(curves: Iterable[Curve]) -> Curve:
    """Return the mean of curves at the steps that all of them have."""
    curves = list(curves)
    steps = sorted(set.intersection(*(set(curve.steps) for curve in curves)))
    kept = [np.isin(curve.steps, steps) for curve in curves]

    def mean(name: Literal["seconds", "dsc", "hd95_mm"]) -> Floats:
        values = [getattr(curve, name)[keep] for curve, keep in zip(curves, kept, strict=True)]
        columns = np.array(values).reshape(len(curves), len(steps)).T
        return np.array([finite_mean(column) for column in columns])

    return Curve(np.array(steps), mean("seconds"), mean("dsc"), mean("hd95_mm"))


def at_end(curves: Mapping[Key, Curve], metric: MetricName) -> dict[Key, float]:
    """Return each case's last value; trainings that were cut before the last step have none."""
    last = max((curve.steps[-1] for curve in curves.values()), default=0)
    return {
        key: float(curve.metric(metric)[-1])
        for key, curve in curves.items()
        if curve.steps[-1] == last
    }


def after_seconds(curves: Mapping[Key, Curve], seconds: float) -> dict[Key, float]:
    """Return each case's Dice after so much training."""
    return {key: curve.dsc_after(seconds) for key, curve in curves.items()}


def common_seconds(*methods: Mapping[Key, Curve]) -> tuple[float, float]:
    """Return the training times between which every curve of all methods has values."""
    curves = [curve for method in methods for curve in method.values()]
    first = max((curve.seconds[0] for curve in curves), default=math.nan)
    last = min((curve.seconds[-1] for curve in curves), default=math.nan)
    return float(first), float(last)


def finite_mean(values: Iterable[float]) -> float:
    """Return the mean of those that are numbers; ``nan`` without any."""
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan
