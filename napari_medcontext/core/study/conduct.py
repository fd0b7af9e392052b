"""Do a study, one training after another; what fails is told, and the others go on."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator

from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.events import Event, RunFinished, StudyProgress, Warned
from napari_medcontext.core.study.cell import is_complete, run_cell
from napari_medcontext.core.study.plan import Cell, StudyFolder, cells_of
from napari_medcontext.core.study.results import write_results


def conduct(study: StudyFolder) -> Iterator[Event]:
    """Do what is missing of a study, and write its results.

    Trainings that are complete are left alone; those that were cut go on; those that failed
    are tried again. The tables are written after each training, the figures at the end.

    Parameters
    ----------
    study
        Its folder, with the plan. ``stop`` sent to it ends the study after the current step.

    Yields
    ------
    Event
        A ``StudyProgress`` before each training, its events, and ``RunFinished`` at the end.
    """
    from napari_medcontext.core.inference import Cancelled

    def should_stop() -> bool:
        return study.command() == "stop"

    cells = list(cells_of(study.spec()))
    failures: dict[str, str] = {}
    done = 0
    for number, cell in enumerate(cells):
        if should_stop():
            break
        try:
            if not is_complete(study, cell):
                yield StudyProgress(cell.name, number, len(cells))
                yield from run_cell(study, cell, should_stop)
                if not is_complete(study, cell):
                    break
                write_results(study, failures, figures=False)
            done += 1
        except Cancelled:
            break
        except Exception as error:
            failures[cell.name] = _reason(study, cell, error)
            yield Warned(f"{cell.name} failed, the others go on: {failures[cell.name]}")
    problem = write_results(study, failures)
    if problem:
        yield Warned(problem)
    yield _finished(study, done, len(cells), failures)


def _reason(study: StudyFolder, cell: Cell, error: Exception) -> str:
    """Return why a training failed, its traceback kept in the study's log."""
    with study.log.open("a", encoding="utf-8") as file:
        when = time.strftime("%Y-%m-%d %H:%M:%S")
        file.write(f"{when} {cell.name}\n{traceback.format_exc()}\n")
    if isinstance(error, MedContextError):
        return str(error)
    return f"{type(error).__name__}: {error} (details in {study.log.name})"


def _finished(study: StudyFolder, done: int, total: int, failures: dict[str, str]) -> RunFinished:
    if done + len(failures) < total:
        text = f"Stopped; {done} of {total} trainings are done. So far: {study.report}"
        return RunFinished("stopped", done, text)
    if failures:
        names = ", ".join(failures)
        text = f"{len(failures)} of {total} trainings failed, {names}. See {study.report}"
        return RunFinished("failed", done, text, str(study.log))
    return RunFinished("completed", done, f"All {total} trainings are done. See {study.report}")
