"""What all commands of ``medcontext`` share: the app, its words, exit codes, and doing the work."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import typer
from rich.console import Console

from napari_medcontext.core.events import Event, RunFinished
from napari_medcontext.core.folder import WorkFolder
from napari_medcontext.core.parallel import ALONE, Placement
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


def finish(folder: WorkFolder, placement: Placement = ALONE) -> None:
    """Do the folder's work, showing it; Ctrl-C stops after the current step and saves.

    So does the end that a program asks for which started this process among others; it hands
    Ctrl-C on too, so that one press comes twice.
    """
    folder.require_idle()
    folder.send("run")
    asked: list[int] = []

    def stop(number: int, frame: object) -> None:
        if asked and not placement.starter:
            raise KeyboardInterrupt
        asked.append(number)
        folder.send("stop")
        console.print("Stopping after this step; press Ctrl-C again to drop everything since.")

    numbers = (signal.SIGINT, signal.SIGTERM) if placement.starter else (signal.SIGINT,)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        last = shown(_events(folder, placement), console)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if isinstance(folder, RunFolder):
        print(folder.path)
    elif last.reason != "failed":
        print(last.message)
    if last.reason != "completed":
        raise typer.Exit(EXIT_FAILED if last.reason == "failed" else EXIT_STOPPED)


def _events(folder: WorkFolder, placement: Placement) -> Iterator[Event | RunFinished]:
    from napari_medcontext.core.jobs import execute

    return execute(folder.path, placement)
