"""Names of run folders that are free, so that nobody has to think of one."""

from __future__ import annotations

from pathlib import Path

from napari_medcontext.core.run import RunFolder


def run_in(chosen: Path) -> Path:
    """Return the run that a chosen folder is, or else a new one in it."""
    return chosen if RunFolder(chosen).exists() else free_name(chosen)


def free_name(parent: Path) -> Path:
    """Return the first of ``run-1``, ``run-2`` and so on that is free in a folder."""
    return _first_free(parent / "run", 1)


def next_name(path: Path) -> Path:
    """Return the first free folder after this one: ``run-2`` after ``run-1`` or ``run``."""
    stem, _, number = path.name.rpartition("-")
    if stem and number.isdigit():
        return _first_free(path.with_name(stem), int(number) + 1)
    return _first_free(path, 2)


def _first_free(path: Path, number: int) -> Path:
    while (free := path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    return free
