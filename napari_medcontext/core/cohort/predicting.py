"""Predict the scans of a cohort by dask workers; one process keeps the books.

A worker writes a scan's result into a hidden folder beside the results, and this process moves it
to its place when it hears of it and enters it in the ledger. So a result is there once, whichever
worker died, and none is left behind without its row. The folder is a ``WorkFolder`` too: workers,
wherever they run, look there whether to stop.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from napari_medcontext.core.bundles import is_bundle
from napari_medcontext.core.cohort.cluster import dask_distributed, opened
from napari_medcontext.core.cohort.handed_out import AT_ONCE, Done, HandedOut, Lost, Told, tell
from napari_medcontext.core.events import Event, PredictionProgress, Warned
from napari_medcontext.core.folder import WorkFolder
from napari_medcontext.core.io import atomic_path, make_folder
from napari_medcontext.core.predicted_scan import (
    Errand,
    Outcome,
    predict_scan,
    predictor_for,
    reader_for,
)
from napari_medcontext.core.prediction_ledger import Made
from napari_medcontext.core.prediction_plan import PredictSpec
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.training_settings import DeviceSettings

if TYPE_CHECKING:
    from napari_medcontext.core.bundles.opening import Predicts

STAGING = ".predicting-"
"""How the folder begins in which workers leave their results."""
TOLD_EVERY = 0.5
"""Seconds between two words of a worker about a scan."""
DIED = (
    "Each worker that was to predict it died. It may need more memory than a worker has: use fewer "
    "workers, or give them more."
)

_held = threading.BoundedSemaphore(AT_ONCE)
_computing = threading.Lock()


def predict_by_workers(
    spec: PredictSpec, should_stop: Callable[[], bool]
) -> Iterator[Event | Outcome]:
    """Yield what becomes of each scan, in the order in which they are done, and news of them.

    Raises
    ------
    MedContextError
        If workers cannot be had, or what stops any prediction stops it.
    """
    dask_distributed()
    make_folder(spec.out)
    with _staging(spec.out) as staging, opened(spec.cluster, [spec.run, staging]) as client:
        bare = spec.model_copy(update={"scans": (), "out": staging})
        work = HandedOut(client, partial(_predict, bare), lambda errand: errand.case.name)
        errands = (Errand(case, Made.of(case, spec)) for case in spec.scans)
        done = 0
        try:
            for item in work.results(errands, should_stop):
                if isinstance(item, Done):
                    done += 1
                    yield _in_place(item.result or Outcome(item.task, problem=DIED), spec.out)
                else:
                    yield _news(item, done, len(spec.scans))
        finally:
            WorkFolder(staging).send("stop")
            work.settle()
            with suppress(OSError):
                client.run(_forget, on_error="ignore")


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """Make the hidden folder, remove it in the end, and those that killed processes left."""
    for left in out.glob(f"{STAGING}*"):
        if not WorkFolder(left).is_alive():
            shutil.rmtree(left, ignore_errors=True)
    staging = out / f"{STAGING}{uuid.uuid4().hex[:8]}"
    try:
        with WorkFolder(staging).claimed():
            yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _in_place(outcome: Outcome, out: Path) -> Outcome:
    """Move what a worker wrote to where it belongs, the labels last."""
    files = []
    for file in outcome.files:
        files.append(out / file.name)
        with atomic_path(files[-1]) as temporary:
            os.replace(file, temporary)
    return replace(outcome, files=tuple(files))


def _news(item: Told | Lost, done: int, total: int) -> Event:
    if isinstance(item, Told):
        return PredictionProgress(item.name, done, total, item.fraction)
    names = ", ".join(f"“{name}”" for name in item.names)
    return Warned(f"The worker {item.worker} died over {names}, done again by another now.")


def _predict(spec: PredictSpec, errand: Errand) -> Outcome:
    """Predict a scan, on a worker: one is computed there at a time, and another read meanwhile."""
    from napari_medcontext.core.inference import drained

    def should_stop() -> bool:
        return not spec.out.is_dir() or WorkFolder(spec.out).command() == "stop"

    with _held:
        with _computing:
            predictor = _loaded(spec)
        work = predict_scan(predictor, partial(reader_for(predictor), errand.case), spec, errand)
        try:
            next(work)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        with _computing:
            return cast(Outcome, drained(_telling(work), should_stop))


def _telling(work: Generator[float, None, Outcome]) -> Generator[float, None, Outcome]:
    """Tell now and then how far a prediction is."""
    told = time.monotonic()
    while True:
        try:
            fraction = next(work)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        if time.monotonic() - told > TOLD_EVERY:
            told = time.monotonic()
            tell(fraction)
        yield fraction


@lru_cache(maxsize=1)
def _loaded(spec: PredictSpec) -> Predicts:
    """Load the weights once a worker, to compute with the threads that dask gave it."""
    from napari_medcontext.core.device import choose_compute

    granted = dask_distributed().get_worker().state.nthreads
    bundle = is_bundle(spec.run)
    settings = DeviceSettings() if bundle else RunFolder(spec.run).spec().config.device
    threads = min(settings.threads or granted, granted)
    return predictor_for(spec, choose_compute(settings.model_copy(update={"threads": threads})))


def _forget() -> None:
    """Let go of a run's weights, on a worker that lives on."""
    _loaded.cache_clear()
