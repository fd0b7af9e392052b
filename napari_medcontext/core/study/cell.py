"""One training of a study: train, and score the student at its checkpoints on the way."""

from __future__ import annotations

import csv
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from napari_medcontext.core.config import RunSpec
from napari_medcontext.core.errors import RunError, TrainingError
from napari_medcontext.core.events import CheckpointSaved, Event, RunFinished, TrainingScored
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.study.plan import Cell, StudyFolder, checkpoint_steps
from napari_medcontext.core.study.rows import ScoreRow, Series, read_rows, write_rows

Question = Callable[[], bool]
NOT_COMPARED = {
    "training": ("checkpoint_every", "kept_previews", "preview_every"),
    "device": ("threads",),
}
"""Settings that change no result, and so may differ when a training goes on."""


def cell_rows(study: StudyFolder, cell: Cell) -> list[ScoreRow]:
    """Return what was measured of one training so far."""
    return read_rows(_table(study.run_path(cell)))


def is_complete(study: StudyFolder, cell: Cell) -> bool:
    """Say whether a training is done and scored at every checkpoint.

    Raises
    ------
    MedContextError
        If it cannot be planned, or what was scored had other settings.
    """
    spec = cell.run_spec()
    scored = {(row.step, row.series.weights) for row in cell_rows(study, cell)}
    wanted = _checkpoints(cell, spec)
    if not all((step, which) in scored for step in wanted for which in cell.arm.weights):
        return False
    _refuse_other_settings(RunFolder(study.run_path(cell)), spec)
    return True


def run_cell(study: StudyFolder, cell: Cell, should_stop: Question) -> Iterator[Event]:
    """Do one training, or what is missing of it.

    The student is scored when its state at a checkpoint has been saved, while the training
    waits; so a study that is cut goes on without losing a score.

    Yields
    ------
    Event
        Those of the training, without its end, and a ``TrainingScored`` for each checkpoint.

    Raises
    ------
    MedContextError
        If it cannot be trained or scored, or was begun with other settings.
    Cancelled
        If ``should_stop`` says so while it is scored.
    """
    spec = cell.run_spec()
    checkpoints = _checkpoints(cell, spec)
    run = _begun(study.run_path(cell), spec)
    _refuse_other_scores(study, cell, checkpoints, run)
    with run.claimed():
        if _is_due(study, cell, checkpoints, run.last_step()):
            # It was cut after this state was saved and before it was scored.
            yield _scored(study, cell, run, run.last_step(), should_stop)
        if run.last_step() < spec.config.training.steps:
            yield from _trained(study, cell, run, checkpoints, should_stop)


def _trained(
    study: StudyFolder,
    cell: Cell,
    run: RunFolder,
    checkpoints: tuple[int, ...],
    should_stop: Question,
) -> Iterator[Event]:
    from napari_medcontext.core.dataset import load_dataset
    from napari_medcontext.core.trainer import train

    spec = run.spec()
    dataset = yield from load_dataset(spec, study.cache)
    events = train(
        spec.config,
        dataset,
        run=run,
        should_stop=should_stop,
        should_pause=lambda: study.command() == "pause",
        save_at=frozenset(checkpoints),
    )
    # Closed also when scoring fails, so that the memory is free for the next training.
    with closing(cast("Generator[Event]", events)):
        for event in events:
            if isinstance(event, CheckpointSaved):
                if _is_due(study, cell, checkpoints, event.step):
                    yield _scored(study, cell, run, event.step, should_stop)
            elif not isinstance(event, RunFinished):
                yield event
            elif event.reason == "failed":
                raise TrainingError(event.message)


def _checkpoints(cell: Cell, spec: RunSpec) -> tuple[int, ...]:
    return checkpoint_steps(spec.config.training.steps, cell.study.checkpoints)


def _is_due(study: StudyFolder, cell: Cell, checkpoints: tuple[int, ...], step: int) -> bool:
    return step in checkpoints and step not in {row.step for row in cell_rows(study, cell)}


def _scored(
    study: StudyFolder, cell: Cell, run: RunFolder, step: int, should_stop: Question
) -> Event:
    from napari_medcontext.core.study.scoring import scores_of_run

    seconds = training_seconds(run, step)
    rows = [
        ScoreRow(
            Series(cell.network, cell.arm.name, which), cell.seed, cell.fold, step, seconds, score
        )
        for which in cell.arm.weights
        for score in scores_of_run(run, which, cell.test, should_stop)
    ]
    write_rows(_table(run.path), [*cell_rows(study, cell), *rows])
    first = [row.score for row in rows if row.series.weights == cell.arm.weights[0]]
    present = [score.dsc for score in first if score.status in ("found", "missed")]
    mean = sum(present) / len(present) if present else 0.0
    return TrainingScored(cell.name, step, seconds, mean)


def training_seconds(run: RunFolder, step: int) -> float:
    """Return how long a run's first steps took, without saving, scoring and waiting."""
    try:
        with (run.path / "log.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise RunError(f"The log of {run.path} cannot be read ({error}).") from error
    return sum(float(row["seconds"]) for row in rows if int(row["step"]) <= step)


def _begun(path: Path, spec: RunSpec) -> RunFolder:
    """Return the run folder of a training, made now or begun before with the same settings."""
    run = RunFolder(path)
    if not run.exists() or run.last_step() == 0:
        # Steps that were logged but never saved are done again.
        run.truncate_logs(0)
        run.save_spec(spec)
    else:
        _refuse_other_settings(run, spec)
    return run


def _refuse_other_settings(run: RunFolder, spec: RunSpec) -> None:
    other = _differences(_compared(run.spec()), _compared(spec))
    if other:
        raise RunError(
            f"{run.path} was begun with other settings or scans ({'; '.join(other)}). Ask for the "
            "same as then, or choose another folder for the study."
        )


def _compared(spec: RunSpec) -> dict[str, Any]:
    values = spec.model_dump(mode="json")
    for section, names in NOT_COMPARED.items():
        for name in names:
            del values["config"][section][name]
    return values


def _differences(before: Any, now: Any, path: str = "") -> list[str]:
    """Return what differs, each as a path and both values."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return [
            text
            for key in {**before, **now}
            for text in _differences(before.get(key), now.get(key), f"{path}.{key}".strip("."))
        ]
    if before == now:
        return []
    if path == "cases":
        return ["the training scans"]
    return [f"{path}: {before} then, {now} now"]


def _refuse_other_scores(
    study: StudyFolder, cell: Cell, checkpoints: tuple[int, ...], run: RunFolder
) -> None:
    """Refuse checkpoints, or weights to score, that a training has left behind unscored."""
    rows = cell_rows(study, cell)
    scored = {(row.step, row.series.weights) for row in rows}
    past = [step for step in checkpoints if step < run.last_step() or step in dict(scored)]
    lacking = sorted(
        {step for step in past for which in cell.arm.weights if (step, which) not in scored}
    )
    if lacking:
        raise RunError(
            f"{run.path} was not scored as asked now at step {', '.join(map(str, lacking))}, and "
            f"those states are gone; it was at {sorted(dict(scored)) or 'no step'}. Ask for the "
            "same checkpoints as then, or choose another folder for the study."
        )


def _table(run: Path) -> Path:
    return run / "test_scores.csv"
