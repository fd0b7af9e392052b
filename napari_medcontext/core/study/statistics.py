"""Paired statistics of a few cases: differences, intervals, exact tests and honest verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Measured = Mapping[tuple[int, str], float]
"""A value for each seed and case; ``nan`` where there is none."""

SIGNIFICANCE = 0.05
RESAMPLES = 10_000
EXACT_UP_TO = 16
"""Cases up to which every pattern of signs is tried; beyond, a random part of them."""


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % percentile interval of a mean, its cases drawn again and again.

    Returns
    -------
    tuple of float
        ``nan`` with fewer than two cases, from which nothing can be drawn.
    """
    if len(values) < 2:
        return math.nan, math.nan
    drawn = np.random.default_rng(0).choice(values, size=(RESAMPLES, len(values)))
    low, high = np.percentile(drawn.mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def sign_flip_p(differences: Sequence[float]) -> float:
    """Return the two-sided p of a mean difference, were each case's sign a coin's.

    It is exact up to ``EXACT_UP_TO`` cases; beyond, a random part of the patterns is tried.

    Returns
    -------
    float
        1 where there is no case.
    """
    values = np.asarray(differences, dtype=np.float64)
    if not len(values):
        return 1.0
    # Equal sums may differ in the last digit.
    bound = abs(values.sum()) - 1e-9 * np.abs(values).sum()
    if len(values) <= EXACT_UP_TO:
        patterns = np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1
        return float(np.mean(np.abs((1 - 2 * patterns) @ values) >= bound))
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(RESAMPLES, len(values)))
    return float((1 + np.count_nonzero(np.abs(signs @ values) >= bound)) / (1 + RESAMPLES))


def least_p(cases: int) -> float:
    """Return the smallest two-sided p that so many cases can show."""
    return min(1.0, 2.0 / 2.0**cases)


def holm(values: Sequence[float]) -> list[float]:
    """Return p values made larger for there being several (Holm 1979), in the same order."""
    adjusted = [1.0] * len(values)
    highest = 0.0
    for rank, index in enumerate(np.argsort(values, kind="stable")):
        highest = max(highest, min(1.0, (len(values) - rank) * values[index]))
        adjusted[int(index)] = highest
    return adjusted


@dataclass(frozen=True)
class Paired:
    """Differences of two methods on the same cases and seeds.

    ``by_case`` is the mean over seeds, which are no new cases; ``by_seed`` the mean over cases.
    """

    by_case: Mapping[str, float]
    by_seed: Mapping[int, float]

    @property
    def cases(self) -> int:
        """Number of cases that both were measured on."""
        return len(self.by_case)

    @property
    def mean(self) -> float:
        """Mean difference over cases; ``nan`` without any."""
        return float(np.mean(list(self.by_case.values()))) if self.by_case else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval, from drawing cases again."""
        return bootstrap_interval(list(self.by_case.values()))

    @property
    def p(self) -> float:
        """Two-sided p of the mean difference over cases."""
        return sign_flip_p(list(self.by_case.values()))

    @property
    def seeds_agree(self) -> bool:
        """Whether every seed has its mean difference on the same side of 0."""
        return len({np.sign(value) for value in self.by_seed.values()}) <= 1

    def scaled(self, factor: float) -> Paired:
        """Return the differences times a factor."""
        return Paired(
            {case: factor * value for case, value in self.by_case.items()},
            {seed: factor * value for seed, value in self.by_seed.items()},
        )


def paired(first: Measured, second: Measured) -> Paired:
    """Subtract a second method's values from a first's wherever both have one."""
    differences = {
        key: first[key] - second[key]
        for key in first
        if key in second and math.isfinite(first[key]) and math.isfinite(second[key])
    }
    cases: dict[str, list[float]] = {}
    seeds: dict[int, list[float]] = {}
    for (seed, case), value in differences.items():
        cases.setdefault(case, []).append(value)
        seeds.setdefault(seed, []).append(value)
    return Paired(
        {case: float(np.mean(values)) for case, values in cases.items()},
        {seed: float(np.mean(values)) for seed, values in seeds.items()},
    )


@dataclass(frozen=True)
class Metric:
    """How a difference of one metric is told: its name, unit, and which way is better."""

    name: str
    unit: str
    higher_is_better: bool
    factor: float = 1.0


METRICS = {
    "dsc": Metric("DSC", "points of DSC", True, factor=100.0),
    "hd95_mm": Metric("HD95", "mm of HD95", False),
}


@dataclass(frozen=True)
class Verdict:
    """What may be said of a difference, in a word and in a sentence."""

    word: Literal["better", "worse", "cannot tell"]
    text: str


def verdict(
    difference: Paired, method: str, baseline: str, metric: Metric, p: float, comparisons: int
) -> Verdict:
    """Say whether a method is better or worse than another, or that one cannot tell.

    Parameters
    ----------
    difference
        Of the method from the baseline, in the metric's unit.
    method, baseline
        What they are called.
    metric
        What was measured.
    p
        Two-sided, adjusted for the number of comparisons.
    comparisons
        How many comparisons were made at once.
    """
    names = f"{method} and {baseline}"
    if not difference.cases:
        return Verdict("cannot tell", f"Cannot tell {names} apart: no case was scored with both.")
    measured = _measured(difference, metric)
    doubt = _doubt(difference, p, comparisons)
    if doubt:
        return Verdict("cannot tell", f"Cannot tell {names} apart: {measured}; {doubt}.")
    better = (difference.mean > 0) == metric.higher_is_better
    word: Literal["better", "worse"] = "better" if better else "worse"
    text = f"{method} is {word} than {baseline}: {measured}, p = {p:.2g}"
    seeds = len(difference.by_seed)
    rest = f"; all {seeds} seeds agree." if seeds > 1 else "; one seed only, others may differ."
    return Verdict(word, text + rest)


def _measured(difference: Paired, metric: Metric) -> str:
    low, high = difference.interval
    text = f"{difference.mean:+.2f} {metric.unit}"
    if math.isfinite(low):
        text += f" (95 % interval {low:+.2f} to {high:+.2f})"
    side = 1 if metric.higher_is_better else -1
    ahead = sum(side * value > 0 for value in difference.by_case.values())
    return f"{text}, ahead in {ahead} of {difference.cases} case{'s' * (difference.cases > 1)}"


def _doubt(difference: Paired, p: float, comparisons: int) -> str:
    """Return why nothing can be concluded; empty where something can."""
    cases = difference.cases
    least = min(1.0, comparisons * least_p(cases))
    if least >= SIGNIFICANCE:
        among = f" among {comparisons} comparisons" if comparisons > 1 else ""
        count = f"{cases} case{'s' * (cases > 1)}"
        return f"{count}{among} can never show p < {SIGNIFICANCE}, the smallest is {least:.4g}"
    if p >= SIGNIFICANCE:
        return f"p = {p:.2g}"
    if not difference.seeds_agree:
        return f"the {len(difference.by_seed)} seeds disagree"
    return ""
