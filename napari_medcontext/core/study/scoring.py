"""Score a run's newest state on scans that it did not learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from napari_medcontext.core.channels import read_channels
from napari_medcontext.core.config import Case
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.evaluation import evaluate_volumes
from napari_medcontext.core.inference import drained, load_predictor
from napari_medcontext.core.io import read_volume
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.scores import ClassScore
from napari_medcontext.core.study.arms import Which


def scores_of_run(
    run: RunFolder, which: Which, cases: Iterable[Case], should_stop: Callable[[], bool]
) -> list[ClassScore]:
    """Predict scans with a run's weights and score them against their labels.

    Raises
    ------
    ScanError
        If a scan has no labels, or these do not fit it.
    Cancelled
        If ``should_stop`` says so in between.
    """
    spec, predictor = run.spec(), load_predictor(run, which)
    scores: list[ClassScore] = []
    for case in cases:
        if case.labels is None:
            raise ScanError(f"“{case.name}” has no labels to be scored with.")
        resample = spec.config.data.resample
        channels = read_channels(case, predictor.channels, resample=resample)
        work = predictor.predict(*channels)
        scores += evaluate_volumes(
            drained(work, should_stop).labels,
            read_volume(case.labels),
            case=case.name,
            class_names={**spec.class_names, **predictor.classes.names},
            classes=spec.config.data.classes if not spec.regions else None,
            regions=spec.regions,
            ignore_label=spec.config.data.ignore_label,
        )
    return scores
