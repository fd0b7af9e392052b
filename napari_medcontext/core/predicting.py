"""Predict many scans, one after the other: a bad one is told and passed over."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_medcontext.core.cleaning import Cleaning, cleaned
from napari_medcontext.core.config import Case
from napari_medcontext.core.errors import MedContextError, SettingsError
from napari_medcontext.core.events import (
    Event,
    PredictionFailed,
    PredictionProgress,
    PredictionSaved,
    RunFinished,
)
from napari_medcontext.core.folder import WorkFolder
from napari_medcontext.core.io import make_folder, read_volume, write_volume
from napari_medcontext.core.log_table import LogTable
from napari_medcontext.core.prediction_ledger import LEDGER_COLUMNS, Made
from napari_medcontext.core.prediction_plan import (
    LEDGER,
    PredictSpec,
    labels_path,
    probability_path,
    refuse_overwriting_scans,
)
from napari_medcontext.core.volume import Volume

if TYPE_CHECKING:
    from napari_medcontext.core.bundles.opening import Predicts
    from napari_medcontext.core.inference import Prediction

MOST_TOLD = 20
"""So many scans that failed are told at the end; the ledger has all."""
REPORTED_EVERY = 0.02
"""Share of a scan's windows between two reports."""


def predict_all(folder: WorkFolder, spec: PredictSpec) -> Iterator[Event]:
    """Predict scan after scan, and write each result whole or not at all.

    A scan that cannot be read or predicted is told by a ``PredictionFailed``, and the next one
    is taken; the last event says which they were. The next scan is read while one is computed,
    so at most two are in memory. What was done is noted in ``LEDGER``, beside the results.

    Parameters
    ----------
    folder
        Where whoever watches may ask to stop.
    spec
        What to predict.

    Raises
    ------
    MedContextError
        If the run has no weights to predict with, or results cannot be written.
    """
    refuse_overwriting_scans(spec)
    total = len(spec.scans)
    yield PredictionProgress(spec.scans[0].name, 0, total, 0.0)
    from napari_medcontext.core.bundles.opening import open_source
    from napari_medcontext.core.inference import Cancelled

    predictor = open_source(spec.run, spec.weights)
    if spec.cleaning.is_any and predictor.classes.regions:
        raise SettingsError(
            "This run predicts nested regions, of which a piece may lie inside another. Only "
            "classes that exclude each other can be cleaned up."
        )
    make_folder(spec.out)
    ledger = LogTable(spec.out / LEDGER, LEDGER_COLUMNS)
    failed: dict[str, str] = {}
    for done, (case, read) in enumerate(_read_ahead(spec.scans)):
        started, made = time.perf_counter(), Made.of(case, spec)
        row: dict[str, object] = {"name": case.name, **vars(made)}
        try:
            prediction = yield from _predicted(
                predictor, read(), spec, (case.name, done, total), lambda: _stopped(folder)
            )
        except Cancelled:
            count = done - len(failed)
            yield RunFinished("stopped", done, f"Stopped; {count} scans were predicted.")
            return
        except Exception as error:
            failed[case.name] = _reason(error, folder)
            ledger.append([{**row, "problem": failed[case.name]}])
            yield PredictionFailed(case.name, failed[case.name])
            continue
        labels = _write(_tidied(prediction, spec.cleaning), spec, case)
        seconds = time.perf_counter() - started
        ledger.append([{**row, "labels": labels.name, "seconds": f"{seconds:.1f}"}])
        yield PredictionSaved(
            case.name, labels, labels.parent if spec.probabilities else None, seconds
        )
    yield _finished(spec, failed)


def _read_ahead(cases: Sequence[Case]) -> Iterator[tuple[Case, Callable[[], Volume]]]:
    """Yield each case with what returns its scan, which is read while the one before is used.

    To be called once: nothing here holds a scan that was handed out.
    """
    coming: deque[Future[Volume]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="medcontext-scans") as pool:
        coming.append(pool.submit(read_volume, cases[0].image))
        for case, following in zip(cases, [*cases[1:], None], strict=True):
            if following is not None:
                coming.append(pool.submit(read_volume, following.image))
            yield case, lambda: coming.popleft().result()


def _predicted(
    predictor: Predicts,
    scan: Volume,
    spec: PredictSpec,
    place: tuple[str, int, int],
    stopped: Callable[[], bool],
) -> Generator[Event, None, Prediction]:
    """Predict one scan, telling how far it is every now and then."""
    from napari_medcontext.core.inference import Cancelled

    work = predictor.predict(scan, probabilities=spec.probabilities)
    reported = -1.0
    while True:
        try:
            fraction = next(work)
        except StopIteration as end:
            prediction: Prediction = end.value
            return prediction
        if stopped():
            raise Cancelled
        if fraction - reported >= REPORTED_EVERY:
            reported = fraction
            yield PredictionProgress(*place, fraction)


def _tidied(prediction: Prediction, cleaning: Cleaning) -> Prediction:
    if not cleaning.is_any:
        return prediction
    return replace(prediction, labels=cleaned(prediction.labels, cleaning).labels)


def _write(prediction: Prediction, spec: PredictSpec, case: Case) -> Path:
    """Write the labels last: where they are, all is."""
    labels = labels_path(spec.out, case)
    for class_id, array in prediction.probabilities.items():
        volume = prediction.labels.with_array(array, class_names={})
        write_volume(probability_path(labels, class_id), volume)
    return write_volume(labels, prediction.labels)


def _finished(spec: PredictSpec, failed: Mapping[str, str]) -> RunFinished:
    total = len(spec.scans)
    if not failed:
        return RunFinished("completed", total, f"Predicted {total} scan{'s' * (total > 1)}.")
    if total == 1:
        return RunFinished("failed", total, next(iter(failed.values())))
    told = [f"“{name}”: {reason}" for name, reason in list(failed.items())[:MOST_TOLD]]
    if len(failed) > MOST_TOLD:
        told.append(f"… and {len(failed) - MOST_TOLD} more; {spec.out / LEDGER} names them all.")
    lead = f"Predicted {total - len(failed)} of {total} scans; {len(failed)} could not be:"
    return RunFinished("failed", total, "\n".join([lead, *told]))


def _stopped(folder: WorkFolder) -> bool:
    return folder.command() == "stop"


def _reason(error: Exception, folder: WorkFolder) -> str:
    if isinstance(error, MedContextError):
        return str(error)
    folder.note(traceback.format_exc())
    return f"Something unexpected happened ({type(error).__name__}: {error})."
