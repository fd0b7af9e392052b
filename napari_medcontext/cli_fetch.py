"""``medcontext fetch``: public data sets, by name."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from napari_medcontext.core.decathlon import (
    BASE_URL,
    DATA_VARIABLE,
    LICENCE,
    MIRROR_VARIABLE,
    REFERENCE,
    TASKS,
    Task,
    data_folder,
    find_task,
    mirror,
)
from napari_medcontext.core.fetching import fetch, is_fetched
from napari_medcontext.progress import say, watched

Name = Annotated[
    str | None,
    typer.Argument(
        help="Task of the Medical Segmentation Decathlon: Task09_Spleen, Task09 or spleen. Left "
        "out: all are listed, and nothing is downloaded.",
        metavar="NAME",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Folder that the task's own folder goes to. Default: the environment variable "
        f"{DATA_VARIABLE}, or where your system keeps the data of programs."
    ),
]
Mirror = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Address of another copy of the archives; checksums stay those that were published. "
        f"Default: the environment variable {MIRROR_VARIABLE}, or {BASE_URL}.",
    ),
]


def listing() -> str:
    """Return all tasks, one a line: name, size, what it is, and whether it is here."""
    folder = data_folder()
    rows = [
        f"{task.name:<22} {task.size_text:>8}  {task.what}{_mark(task, folder)}"
        for task in TASKS.values()
    ]
    return "\n".join(rows)


def fetched(given: Mapping[str, Any], console: Console) -> Path | None:
    """Bring the task that the options of ``fetch`` name, saying its licence before.

    Returns
    -------
    Path or None
        The task's ``dataset.json``; None if it was stopped.

    Raises
    ------
    SettingsError, DownloadError, RunError
        If there is no such task, or it cannot be had.
    """
    task = find_task(given["name"])
    folder = (given["out"] or data_folder()).absolute()
    if is_fetched(task, folder):
        say(console, f"{task.name} is here already.")
    else:
        say(console, f"{task.name} ({task.what}): about {task.size_text} to download.")
        say(console, f"{LICENCE}; please cite {REFERENCE}", label="Licence", style="bold")
    # A program that a script starts in the background would else be deaf to Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with closing(fetch(task, folder, given["mirror"] or mirror())) as work:
            found: Path = watched(work, console)
    except KeyboardInterrupt:
        say(
            console,
            "The same command goes on where it was stopped.",
            label="Stopped",
            style="yellow",
        )
        return None
    finally:
        signal.signal(signal.SIGINT, before)
    return found / "dataset.json"


def _mark(task: Task, folder: Path) -> str:
    return f" (in {folder})" if is_fetched(task, folder) else ""
