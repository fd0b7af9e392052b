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
            _tell(console, event)
            if isinstance(event, RunFinished):
                last = event
    say(console, last.message, label=last.reason.capitalize(), style=STYLES[last.reason])
    return last


def say(console: Console, text: str, *, label: str = "", style: str = "") -> None:
    """Print a line letter for letter, behind a coloured label if it has one.

    Paths may hold brackets, which rich would take for markup, and must come unbroken to whoever
    copies or searches them.
    """
    lead = f"[{style}]{label}:[/] " if label else ""
    console.print(f"{lead}{escape(text)}", emoji=False, highlight=False, soft_wrap=True)


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


def _tell(console: Console, event: Event) -> None:
    """Leave on the screen what an event is worth; mostly nothing."""
    match event:
        case RunStarted():
            say(console, _started(event))
        case ValidationFinished(step=step, mean_dsc=dsc, best=best):
            text = f"Step {step}: validation Dice {dsc:.3f}{' (best so far)' * best}"
            say(console, text)
        case PredictionSaved(name=name, labels=labels, seconds=seconds):
            say(console, f"{name}: {labels} ({seconds:.1f} s)")
        case Warned(message=message):
            say(console, message, label="Warning", style="yellow")


def _started(event: RunStarted) -> str:
    spacing = " × ".join(f"{size:g}" for size in event.spacing)
    classes = ", ".join(event.class_names.values())
    return (
        f"{event.network}, {event.parameters / 1e6:.1f} million weights, {event.method}, on "
        f"{event.device} in {event.precision}; {spacing} mm; {classes}; columns hidden along "
        f"{event.mask_axis}"
    )
