"""Names of run folders that are free, so that nobody has to think of one."""

from __future__ import annotations

from pathlib import Path

from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.study.plan import StudyFolder


def run_in(chosen: Path) -> Path:
    """Return the run or comparison that a chosen folder is, or else a new run in it."""
    taken = RunFolder(chosen).exists() or StudyFolder(chosen).exists()
    return chosen if taken else free_name(chosen)


def free_name(parent: Path) -> Path:
    """Return the first of ``run-1``, ``run-2`` and so on that is free in a folder."""
    return first_free(parent / "run", 1)


def next_name(path: Path) -> Path:
    """Return the first free folder after this one: ``run-2`` after ``run-1`` or ``run``."""
    stem, _, number = path.name.rpartition("-")
    if stem and number.isdigit():
        return first_free(path.with_name(stem), int(number) + 1)
    return first_free(path, 2)


def first_free(path: Path, number: int) -> Path:
    """Return the first of ``NAME-number`` and those after it that is free."""
    while (free := path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    return free
