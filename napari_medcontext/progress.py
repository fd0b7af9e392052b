"""Events as progress bars in a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from napari_medcontext.core.events import (
    Event,
    PredictionProgress,
    PredictionSaved,
    Preparing,
    RunFinished,
    RunStarted,
    StepFinished,
    ValidationFinished,
    Warned,
)

STYLES = {"completed": "green", "stopped": "yellow", "failed": "bold red"}


def shown(events: Iterable[Event], console: Console) -> RunFinished:
    """Show events as they come, and return the last."""
    last = RunFinished("failed", message="nothing happened")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("Starting", total=None, rate="")
        for event in events:
            _move(progress, task, event)
            text = _line(event)
            if text:
                _say(console, text)
            if isinstance(event, RunFinished):
                last = event
    _say(console, f"[{STYLES[last.reason]}]{last.reason.capitalize()}:[/] {escape(last.message)}")
    return last


def _move(progress: Progress, task: TaskID, event: Event) -> None:
    """Move the bar as far as an event says."""
    match event:
        case Preparing(message=message, done=done, total=total):
            progress.update(task, description=escape(message), completed=done, total=total)
        case RunStarted(steps=steps, first_step=first):
            progress.reset(task, total=steps, completed=first)
            progress.update(task, description="Training")
        case StepFinished(step=step, losses=losses, seconds=seconds):
            rate = f"{1 / max(seconds, 1e-6):.1f} steps/s · loss {sum(losses.values()):.3f}"
            progress.update(task, completed=step, rate=rate)
        case PredictionProgress(name=name, done=done, total=total, fraction=fraction):
            description = f"Predicting {escape(name)}"
            progress.update(
                task, description=description, total=total, completed=done, rate=f"{fraction:.0%}"
            )
        case PredictionSaved():
            progress.advance(task)


def _line(event: Event) -> str:
    """Return what an event leaves on the screen for good; mostly nothing."""
    match event:
        case RunStarted():
            return escape(_started(event))
        case ValidationFinished(step=step, mean_dsc=dsc, best=best):
            return f"Step {step}: validation Dice {dsc:.3f}{' (best so far)' * best}"
        case PredictionSaved(name=name, labels=labels, seconds=seconds):
            return f"{escape(name)}: {escape(str(labels))} ({seconds:.1f} s)"
        case Warned(message=message):
            return f"[yellow]Warning:[/] {escape(message)}"
    return ""


def _say(console: Console, text: str) -> None:
    # Paths must come whole to whoever copies or searches them.
    console.print(text, highlight=False, soft_wrap=True)


def _started(event: RunStarted) -> str:
    spacing = " × ".join(f"{size:g}" for size in event.spacing)
    classes = ", ".join(event.class_names.values())
    return (
        f"{event.network}, {event.parameters / 1e6:.1f} million weights, {event.method}, on "
        f"{event.device} in {event.precision}; {spacing} mm; {classes}; columns hidden along "
        f"{event.mask_axis}"
    )
