"""What a rule is, and what several of them need.

A rule stays silent where a clean study could look the same: whoever reads a list of findings must
be able to trust that each line is worth a look.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from napari_medcontext.core.preflight.findings import Finding, Study
from napari_medcontext.core.preflight.survey import Survey

Rule = Callable[[Study], Iterable[Finding]]

FEWEST_TO_COMPARE = 3
"""From so many scans on, one can be odd among the others."""


def alike(surveys: Iterable[Survey], key: Callable[[Survey], object]) -> Iterator[list[Survey]]:
    """Return those of which several share a key."""
    by_key: defaultdict[object, list[Survey]] = defaultdict(list)
    for survey in surveys:
        by_key[key(survey)].append(survey)
    return (group for group in by_key.values() if len(group) > 1)


def having(surveys: Iterable[Survey]) -> dict[int, list[Survey]]:
    """Return, by class, the scans whose labels have it."""
    by_class: defaultdict[int, list[Survey]] = defaultdict(list)
    for survey in surveys:
        for class_id in survey.classes:
            by_class[class_id].append(survey)
    return dict(by_class)


def listed(surveys: Iterable[Survey]) -> str:
    """Return scans' names in words."""
    return " and ".join(f"“{survey.name}”" for survey in surveys)


def sizes(numbers: Iterable[float]) -> str:
    """Return sizes along x, y and z in words."""
    return " × ".join(f"{size:.3g}" for size in numbers)
