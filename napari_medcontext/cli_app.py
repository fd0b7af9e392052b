"""What all commands of ``medcontext`` share: the app, its words, exit codes, and doing the work."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import typer
from rich.console import Console

from napari_medcontext.core.events import Event, RunFinished
from napari_medcontext.core.folder import WorkFolder
from napari_medcontext.core.run import RunFolder
from napari_medcontext.progress import shown

EXIT_FAILED, EXIT_USAGE, EXIT_STOPPED = 1, 2, 3
app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Train a 3D segmentation network from a handful of annotated scans.",
)
console = Console(stderr=True)


def finish(folder: WorkFolder) -> None:
    """Do the folder's work, showing it; Ctrl-C stops after the current step and saves."""
    folder.require_idle()
    folder.send("run")
    asked: list[int] = []

    def stop(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        folder.send("stop")
        console.print("Stopping after this step; press Ctrl-C again to drop everything since.")

    before = signal.signal(signal.SIGINT, stop)
    try:
        last = shown(_events(folder), console)
    finally:
        signal.signal(signal.SIGINT, before)
    if isinstance(folder, RunFolder):
        print(folder.path)
    elif last.reason != "failed":
        print(last.message)
    if last.reason != "completed":
        raise typer.Exit(EXIT_FAILED if last.reason == "failed" else EXIT_STOPPED)


def _events(folder: WorkFolder) -> Iterator[Event | RunFinished]:
    from napari_medcontext.core.jobs import execute

    return execute(folder.path)
