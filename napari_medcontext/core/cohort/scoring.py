"""Score the predictions of a cohort by dask workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from napari_medcontext.core.cohort.cluster import opened
from napari_medcontext.core.cohort.cluster_settings import ClusterSettings
from napari_medcontext.core.cohort.handed_out import Done, HandedOut
from napari_medcontext.core.formats import scan_name
from napari_medcontext.core.scores import ScoredCase

Pair = tuple[Path, Path]
"""A prediction and its reference."""


def score_by_workers(
    cluster: ClusterSettings,
    score: Callable[[Pair], ScoredCase],
    pairs: Sequence[Pair],
) -> Iterator[ScoredCase]:
    """Yield what each pair scores, in the order of the pairs.

    A pair whose worker dies is scored again by another, and has no scores where each one died.

    Raises
    ------
    MedContextError
        If workers cannot be had.
    """
    folders = sorted({file.parent.absolute() for pair in pairs for file in pair})
    absolute = [(first.absolute(), second.absolute()) for first, second in pairs]
    scored: dict[Pair, ScoredCase] = {}
    left = iter(absolute)
    upcoming = next(left, None)
    with opened(cluster, folders) as client:
        work = HandedOut(client, score, lambda pair: pair[0].name)
        for item in work.results(absolute, lambda: False):
            if not isinstance(item, Done):
                continue
            scored[item.task] = item.result or _lost(item.task)
            while upcoming in scored:
                yield scored.pop(upcoming)
                upcoming = next(left, None)


def _lost(pair: Pair) -> ScoredCase:
    prediction, reference = pair
    return ScoredCase(
        scan_name(reference),
        problem=f"Each worker that was to score {prediction} died. It may need more memory than a "
        "worker has: use fewer workers, or give them more.",
    )
