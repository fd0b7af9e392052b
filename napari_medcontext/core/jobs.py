"""Do the work that a folder describes: train, predict, compare, or look inside."""

from __future__ import annotations

import contextlib
import glob
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from napari_medcontext.core.config import Case
from napari_medcontext.core.errors import MedContextError, RunError
from napari_medcontext.core.events import (
    Event,
    PredictionProgress,
    PredictionSaved,
    Preparing,
    RunFinished,
)
from napari_medcontext.core.folder import STUDY_FILE, WorkFolder
from napari_medcontext.core.inspection import InspectFolder
from napari_medcontext.core.io import atomic_path, read_volume, write_volume
from napari_medcontext.core.journal import JournalWriter
from napari_medcontext.core.probe import ProbeFolder
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.settings import Settings, dump, load

if TYPE_CHECKING:
    from napari_medcontext.core.dataset import Dataset


class PredictSpec(Settings):
    """A prediction to do: which run's weights on which scans, and where results go."""

    run: Path
    scans: Annotated[tuple[Case, ...], Field(min_length=1)]
    out: Path
    weights: Literal["student", "teacher", "mean"] = "student"
    probabilities: bool = False


class PredictFolder(WorkFolder):
    """The folder of one prediction."""

    @property
    def spec_path(self) -> Path:
        """The file that says what to predict."""
        return self.path / "predict.yaml"

    def create(self, spec: PredictSpec) -> PredictFolder:
        """Make the folder and write what to predict."""
        with atomic_path(self.spec_path) as temporary:
            temporary.write_text(dump(spec), encoding="utf-8")
        return self


def execute(path: Path) -> Iterator[Event]:
    """Do the work of a folder and record it there, to the end and whatever happens.

    Every event is written to the folder's journal before it is yielded. An error becomes a
    last ``RunFinished`` with reason ``"failed"``; its traceback goes to the folder's log.

    Parameters
    ----------
    path
        A run folder, or the folder of a prediction, an inspection, a probe or a study.
    """
    folder = WorkFolder(path)
    journal: JournalWriter | None = None
    try:
        with folder.claimed():
            journal = JournalWriter(folder.path)
            for event in _recorded_failures(folder):
                journal.write(event)
                yield event
    except (MedContextError, OSError) as error:
        # Not claimed, or no longer writable: there is nowhere to record it but the caller.
        yield RunFinished("failed", 0, str(error))
    finally:
        if journal is not None:
            journal.close()


def _recorded_failures(folder: WorkFolder) -> Iterator[Event]:
    try:
        yield from _work(folder)
    except MedContextError as error:
        _log_traceback(folder)
        yield RunFinished("failed", _last_step(folder), str(error), str(folder.log))
    except Exception as error:
        _log_traceback(folder)
        yield RunFinished(
            "failed",
            _last_step(folder),
            f"Something unexpected happened ({type(error).__name__}: {error}). What was saved is "
            f"kept; the details are in {folder.log}.",
            str(folder.log),
        )


def _work(folder: WorkFolder) -> Iterator[Event]:
    prediction = PredictFolder(folder.path)
    if prediction.spec_path.is_file():
        return _predict(folder, load(PredictSpec, prediction.spec_path))
    inspection = InspectFolder(folder.path)
    if inspection.exists():
        from napari_medcontext.core.inspection.serve import serve

        return serve(inspection)
    probe = ProbeFolder(folder.path)
    if probe.exists():
        from napari_medcontext.core.probe.conduct import conduct_probe

        return conduct_probe(probe)
    if (folder.path / STUDY_FILE).is_file():
        from napari_medcontext.core.study.conduct import conduct
        from napari_medcontext.core.study.plan import StudyFolder

        return conduct(StudyFolder(folder.path))
    return _train(RunFolder(folder.path))


def _train(run: RunFolder) -> Iterator[Event]:
    spec = run.spec()
    if run.last_step() >= spec.config.training.steps:
        message = f"{run.path} has done all of its {run.last_step()} steps already."
        yield RunFinished("completed", run.last_step(), message)
        return
    yield Preparing("Starting", 0, 1)
    # Only now, so that whoever watches hears at once that work has begun.
    from napari_medcontext.core.dataset import load_dataset
    from napari_medcontext.core.trainer import train

    def should_stop() -> bool:
        return run.command() == "stop"

    dataset = yield from _unless_stopped(load_dataset(spec, run.path / "cache"), should_stop)
    if dataset is None:
        yield RunFinished("stopped", run.last_step(), "Stopped while preparing.")
        return
    yield from train(
        spec.config,
        dataset,
        run=run,
        should_stop=should_stop,
        should_pause=lambda: run.command() == "pause",
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


def _predict(folder: WorkFolder, spec: PredictSpec) -> Iterator[Event]:
    _refuse_overwriting_scans(spec)
    yield PredictionProgress(spec.scans[0].name, 0, len(spec.scans), 0.0)
    from napari_medcontext.core.inference import load_predictor

    predictor = load_predictor(RunFolder(spec.run), spec.weights)
    for done, case in enumerate(spec.scans):
        started = time.perf_counter()
        work = predictor.predict(read_volume(case.image), probabilities=spec.probabilities)
        reported = -1.0
        while True:
            try:
                fraction = next(work)
            except StopIteration as end:
                prediction = end.value
                break
            if folder.command() == "stop":
                yield RunFinished("stopped", done, f"Stopped; {done} scans were predicted.")
                return
            if fraction - reported >= 0.02:
                reported = fraction
                yield PredictionProgress(case.name, done, len(spec.scans), fraction)
        labels = write_volume(labels_path(spec.out, case), prediction.labels)
        for class_id, array in prediction.probabilities.items():
            volume = prediction.labels.with_array(array, class_names={})
            write_volume(probability_path(labels, class_id), volume)
        yield PredictionSaved(
            case.name,
            labels,
            labels.parent if spec.probabilities else None,
            time.perf_counter() - started,
        )
    count = len(spec.scans)
    yield RunFinished("completed", count, f"Predicted {count} scan{'s' * (count > 1)}.")


def labels_path(out: Path, case: Case) -> Path:
    """Return where the predicted labels of a scan are written."""
    return out / f"{case.name}.nii.gz"


def probability_path(labels: Path, class_id: int) -> Path:
    """Return where the probabilities of one class lie beside a scan's predicted labels."""
    return labels.with_name(labels.name.replace(".nii.gz", f".probability-{class_id}.nii.gz"))


def existing_results(spec: PredictSpec) -> list[Path]:
    """Return the files that a prediction would overwrite."""
    found: list[Path] = []
    for case in spec.scans:
        names = [f"{glob.escape(case.name)}.nii.gz"]
        names += [f"{glob.escape(case.name)}.probability-*.nii.gz"] * spec.probabilities
        found += [path for name in names for path in sorted(spec.out.glob(name))]
    return found


def _refuse_overwriting_scans(spec: PredictSpec) -> None:
    scans = {case.image.resolve() for case in spec.scans}
    for case in spec.scans:
        target = labels_path(spec.out, case)
        if target.resolve() in scans:
            raise RunError(
                f"The labels predicted for “{case.name}” would overwrite the scan {target}. "
                "Choose another folder for the results."
            )


def _last_step(folder: WorkFolder) -> int:
    return RunFolder(folder.path).last_step()


def _log_traceback(folder: WorkFolder) -> None:
    # A disk that is full or gone cannot take the log; the event still tells the user.
    with contextlib.suppress(OSError), folder.log.open("a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{traceback.format_exc()}\n")
