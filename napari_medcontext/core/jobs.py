"""Do the work that a folder describes: train, predict, compare, or look inside."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.events import (
    Event,
    Preparing,
    RunFinished,
)
from napari_medcontext.core.folder import STUDY_FILE, WorkFolder
from napari_medcontext.core.inspection import InspectFolder
from napari_medcontext.core.journal import JournalWriter
from napari_medcontext.core.parallel import ALONE, Placement
from napari_medcontext.core.patch_plan import PlanFolder
from napari_medcontext.core.predicting import predict_all
from napari_medcontext.core.prediction_plan import PredictFolder, PredictSpec
from napari_medcontext.core.probe import ProbeFolder
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.settings import load

if TYPE_CHECKING:
    from napari_medcontext.core.config import RunSpec
    from napari_medcontext.core.dataset import Dataset
    from napari_medcontext.core.parallel.team import Team


def execute(path: Path, placement: Placement = ALONE) -> Iterator[Event]:
    """Do the work of a folder and record it there, to the end and whatever happens.

    Every event is written to the folder's journal before it is yielded. An error becomes a
    last ``RunFinished`` with reason ``"failed"``; its traceback goes to the folder's log.

    Parameters
    ----------
    path
        A run folder, or the folder of a prediction, an inspection, a probe, a patch plan or a
        study.
    placement
        How many processes share a training, of which this is the first.
    """
    folder = WorkFolder(path)
    journal: JournalWriter | None = None
    try:
        with folder.claimed():
            journal = JournalWriter(folder.path)
            for event in _recorded_failures(folder, placement):
                journal.write(event)
                yield event
    except (MedContextError, OSError) as error:
        # Not claimed, or no longer writable: there is nowhere to record it but the caller.
        yield RunFinished("failed", 0, str(error))
    finally:
        if journal is not None:
            journal.close()


def _recorded_failures(folder: WorkFolder, placement: Placement) -> Iterator[Event]:
    try:
        yield from _work(folder, placement)
    except MedContextError as error:
        folder.note(traceback.format_exc())
        yield RunFinished("failed", _last_step(folder), str(error), str(folder.log))
    except Exception as error:
        folder.note(traceback.format_exc())
        yield RunFinished(
            "failed",
            _last_step(folder),
            f"Something unexpected happened ({type(error).__name__}: {error}). What was saved is "
            f"kept; the details are in {folder.log}.",
            str(folder.log),
        )


def _work(folder: WorkFolder, placement: Placement) -> Iterator[Event]:
    prediction = PredictFolder(folder.path)
    if prediction.spec_path.is_file():
        return predict_all(folder, load(PredictSpec, prediction.spec_path))
    inspection = InspectFolder(folder.path)
    if inspection.exists():
        from napari_medcontext.core.inspection.serve import serve

        return serve(inspection)
    probe = ProbeFolder(folder.path)
    if probe.exists():
        from napari_medcontext.core.probe.conduct import conduct_probe

        return conduct_probe(probe)
    plan = PlanFolder(folder.path)
    if plan.exists():
        from napari_medcontext.core.patch_plan.conduct import conduct_plan

        return conduct_plan(plan)
    if (folder.path / STUDY_FILE).is_file():
        from napari_medcontext.core.study.conduct import conduct
        from napari_medcontext.core.study.plan import StudyFolder

        return conduct(StudyFolder(folder.path))
    return _train(RunFolder(folder.path), placement)


def _train(run: RunFolder, placement: Placement) -> Iterator[Event]:
    spec = run.spec()
    if run.last_step() >= spec.config.training.steps:
        message = f"{run.path} has done all of its {run.last_step()} steps already."
        yield RunFinished("completed", run.last_step(), message)
        return
    yield Preparing("Starting", 0, 1)
    # Only now, so that whoever watches hears at once that work has begun.
    from napari_medcontext.core.parallel.team import Team

    if placement.size == 1:
        yield from _train_in(Team(), run, spec)
        return
    from napari_medcontext.core.parallel.opening import gathered

    yield Preparing(f"Starting {placement.size} processes", 0, 1)
    with gathered(run, spec.config, placement) as team:
        yield from _train_in(team, run, spec)


def _train_in(team: Team, run: RunFolder, spec: RunSpec) -> Iterator[Event]:
    """Prepare and train; other processes wait meanwhile, and read what is prepared."""
    from napari_medcontext.core.dataset import load_dataset
    from napari_medcontext.core.trainer import train

    def should_stop() -> bool:
        team.require_whole()
        return run.command() == "stop"

    dataset = yield from _unless_stopped(load_dataset(spec, run.path / "cache"), should_stop)
    team.tell(dataset is not None)
    if dataset is None:
        yield RunFinished("stopped", run.last_step(), "Stopped while preparing.")
        return
    yield from train(
        spec.config,
        dataset,
        run=run,
        should_stop=should_stop,
        should_pause=lambda: run.command() == "pause",
        team=team,
    )


def _unless_stopped(
    preparation: Generator[Event, None, Dataset], should_stop: Callable[[], bool]
) -> Generator[Event, None, Dataset | None]:
    """Prepare a data set; return None if somebody asks to stop in between."""
    while True:
        try:
            event = next(preparation)
        except StopIteration as end:
            dataset: Dataset = end.value
            return dataset
        yield event
        if should_stop():
            preparation.close()
            return None


def _last_step(folder: WorkFolder) -> int:
    return RunFolder(folder.path).last_step()
