"""Predict many scans, here or by several workers: a bad one is told and passed over."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from napari_medcontext.core.config import Case
from napari_medcontext.core.events import (
    Event,
    PredictionFailed,
    PredictionProgress,
    PredictionSaved,
    RunFinished,
)
from napari_medcontext.core.folder import WorkFolder
from napari_medcontext.core.io import make_folder
from napari_medcontext.core.log_table import LogTable
from napari_medcontext.core.predicted_scan import (
    Errand,
    Outcome,
    Read,
    predict_scan,
    predictor_for,
    reader_for,
)
from napari_medcontext.core.prediction_ledger import LEDGER_COLUMNS, Made
from napari_medcontext.core.prediction_plan import (
    LEDGER,
    PredictSpec,
    refuse_overwriting_scans,
    refuse_whole_volumes,
)

MOST_TOLD = 20
"""So many scans that failed are told at the end; the ledger has all."""
REPORTED_EVERY = 0.02
"""Share of a scan's windows between two reports."""


def predict_all(folder: WorkFolder, spec: PredictSpec) -> Iterator[Event]:
    """Predict scan after scan, and write each result whole or not at all.

    A scan that cannot be read or predicted is told by a ``PredictionFailed``, and the next one
    is taken; the last event says which they were. The next scan is read while one is computed,
    so at most two are in memory, of this process or of each worker. What was done is noted in
    ``LEDGER``, beside the results, by this process alone.

    Parameters
    ----------
    folder
        Where whoever watches may ask to stop.
    spec
        What to predict, and by which workers.

    Raises
    ------
    MedContextError
        If the run has no weights to predict with, or results cannot be written.
    """
    refuse_overwriting_scans(spec)
    refuse_whole_volumes(spec)
    total = len(spec.scans)
    yield PredictionProgress(spec.scans[0].name, 0, total, 0.0)
    ledger = LogTable(spec.out / LEDGER, LEDGER_COLUMNS)
    failed: dict[str, str] = {}
    done = 0
    for item in _outcomes(spec, lambda: folder.command() == "stop"):
        if isinstance(item, Event):
            yield item
            continue
        done += 1
        ledger.append([_row(item)])
        name = item.errand.case.name
        if item.problem:
            failed[name] = item.problem
            if item.detail:
                folder.note(item.detail)
        yield _told(item, spec)
    if done < total:
        yield RunFinished("stopped", done, f"Stopped; {done - len(failed)} scans were predicted.")
    else:
        yield _finished(spec, failed)


def _outcomes(spec: PredictSpec, should_stop: Callable[[], bool]) -> Iterator[Event | Outcome]:
    """Yield what becomes of each scan, and how far they are; fewer than all if stopped."""
    if spec.cluster.is_any:
        from napari_medcontext.core.cohort.predicting import predict_by_workers

        return predict_by_workers(spec, should_stop)
    return _predict_here(spec, should_stop)


def _predict_here(spec: PredictSpec, should_stop: Callable[[], bool]) -> Iterator[Event | Outcome]:
    predictor = predictor_for(spec)
    make_folder(spec.out)
    for done, (case, read) in enumerate(_read_ahead(spec.scans, reader_for(predictor))):
        work = predict_scan(predictor, read, spec, Errand(case, Made.of(case, spec)))
        outcome = yield from _watched(work, (case.name, done, len(spec.scans)), should_stop)
        if outcome is None:
            return
        yield outcome


def _read_ahead(
    cases: Sequence[Case], read: Callable[[Case], Read]
) -> Iterator[tuple[Case, Callable[[], Read]]]:
    """Yield each case with what returns its channels, read while the one before is used.

    To be called once: nothing here holds a scan that was handed out.
    """
    coming: deque[Future[Read]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="medcontext-scans") as pool:
        coming.append(pool.submit(read, cases[0]))
        for case, following in zip(cases, [*cases[1:], None], strict=True):
            if following is not None:
                coming.append(pool.submit(read, following))
            yield case, lambda: coming.popleft().result()


def _watched(
    work: Generator[float, None, Outcome], place: tuple[str, int, int], stop: Callable[[], bool]
) -> Generator[Event, None, Outcome | None]:
    """Predict one scan, telling how far it is every now and then; return None if stopped."""
    reported = -1.0
    while True:
        try:
            fraction = next(work)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        if stop():
            work.close()
            return None
        if fraction - reported >= REPORTED_EVERY:
            reported = fraction
            yield PredictionProgress(*place, fraction)


def _row(outcome: Outcome) -> Mapping[str, object]:
    row: dict[str, object] = {"name": outcome.errand.case.name, **vars(outcome.errand.made)}
    if outcome.problem:
        return {**row, "problem": outcome.problem}
    return {**row, "labels": outcome.files[-1].name, "seconds": f"{outcome.seconds:.1f}"}


def _told(outcome: Outcome, spec: PredictSpec) -> PredictionSaved | PredictionFailed:
    name = outcome.errand.case.name
    if outcome.problem:
        return PredictionFailed(name, outcome.problem)
    labels = outcome.files[-1]
    probabilities = labels.parent if spec.probabilities else None
    return PredictionSaved(name, labels, probabilities, outcome.seconds)


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
