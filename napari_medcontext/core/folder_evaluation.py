"""Compare a folder of predictions with a folder of references, case by case."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from napari_medcontext.core.cases import pair_by_name
from napari_medcontext.core.cohort import ClusterSettings
from napari_medcontext.core.definitions import Definitions
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.evaluation import evaluate_volumes
from napari_medcontext.core.formats import scan_name
from napari_medcontext.core.io import list_scans, read_volume
from napari_medcontext.core.regions import Members
from napari_medcontext.core.scores import ScoredCase


def evaluate_folders(
    predictions: Path,
    labels: Path,
    *,
    class_names: Mapping[int, str] | None = None,
    classes: Iterable[int | str] | None = None,
    regions: Mapping[str, Members] | None = None,
    ignore_label: int | None = None,
    definitions: Definitions | None = None,
    cluster: ClusterSettings | None = None,
) -> Iterator[ScoredCase]:
    """Score each prediction in a folder against the labels of the same name, case by case.

    Names, classes and all that follows are those of ``evaluate_volumes``; with workers in
    ``cluster`` they do it, and cases come in the same order. A pair that cannot be compared comes
    without scores, saying why, and the next follows.

    ``pair_by_name`` tells which files go together; ``unpredicted`` which references are left out.

    Raises
    ------
    ScanError
        At once, if no two files share a name.
    """
    pairs, _ = pair_by_name(list_scans(predictions), list_scans(labels))
    if not pairs:
        raise ScanError(
            f"No file in {predictions} has the name of one in {labels}. Give each prediction "
            "its labels' file name, for example case_01.nii.gz in both folders."
        )
    wanted = None if classes is None else list(classes)
    score = partial(
        _evaluate_pair,
        class_names=class_names,
        classes=wanted,
        regions=regions,
        ignore_label=ignore_label,
        definitions=definitions,
    )
    if cluster is not None and cluster.is_any:
        from napari_medcontext.core.cohort.scoring import score_by_workers

        return score_by_workers(cluster, score, pairs)
    return map(score, pairs)


def _evaluate_pair(pair: tuple[Path, Path], **how: Any) -> ScoredCase:
    prediction, reference = pair
    case = scan_name(reference)
    try:
        scores = evaluate_volumes(read_volume(prediction), read_volume(reference), case=case, **how)
    except ScanError as error:
        return ScoredCase(case, problem=str(error))
    return ScoredCase(case, tuple(scores))


def unpredicted(predictions: Path, labels: Path) -> list[str]:
    """Return the names of the cases with labels but no prediction, which no score counts."""
    _, left_over = pair_by_name(list_scans(predictions), list_scans(labels))
    return [scan_name(path) for path in left_over if path.parent == labels]
