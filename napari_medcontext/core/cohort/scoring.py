"""Score the predictions of a cohort by dask workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from napari_medcontext.core.cohort.cluster import opened
from napari_medcontext.core.cohort.cluster_settings import ClusterSettings
from napari_medcontext.core.cohort.handed_out import Done, HandedOut
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.scores import ClassScore

Pair = tuple[Path, Path]
"""A prediction and its reference."""


def score_by_workers(
    cluster: ClusterSettings,
    score: Callable[[Pair], list[ClassScore]],
    pairs: Sequence[Pair],
) -> Iterator[list[ClassScore]]:
    """Yield what each pair scores, in the order of the pairs.

    A pair whose worker dies is scored again by another.

    Raises
    ------
    ScanError
        If a pair cannot be compared, or each worker that was at it died.
    MedContextError
        If workers cannot be had.
    """
    folders = sorted({file.parent.absolute() for pair in pairs for file in pair})
    absolute = [(first.absolute(), second.absolute()) for first, second in pairs]
    scored: dict[Pair, list[ClassScore]] = {}
    left = iter(absolute)
    upcoming = next(left, None)
    with opened(cluster, folders) as client:
        work = HandedOut(client, score, lambda pair: pair[0].name)
        for item in work.results(absolute, lambda: False):
            if not isinstance(item, Done):
                continue
            if item.result is None:
                raise ScanError(
                    f"Each worker that was to score {item.task[0]} died. It may need more memory "
                    "than a worker has: use fewer workers, or give them more."
                )
            scored[item.task] = item.result
            while upcoming in scored:
                yield scored.pop(upcoming)
                upcoming = next(left, None)
