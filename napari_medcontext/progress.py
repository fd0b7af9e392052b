"""Events as progress bars in a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
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
            match event:
                case Preparing(message=message, done=done, total=total):
                    progress.update(task, description=message, completed=done, total=total)
                case RunStarted():
                    progress.console.print(_started(event), highlight=False)
                    progress.reset(task, total=event.steps, completed=event.first_step)
                    progress.update(task, description="Training")
                case StepFinished(step=step, losses=losses, seconds=seconds):
                    rate = f"{1 / max(seconds, 1e-6):.1f} steps/s · loss {sum(losses.values()):.3f}"
                    progress.update(task, completed=step, rate=rate)
                case ValidationFinished(step=step, mean_dsc=dsc, best=best):
                    note = " (best so far)" if best else ""
                    progress.console.print(f"Step {step}: validation Dice {dsc:.3f}{note}")
                case PredictionProgress(name=name, done=done, total=total, fraction=fraction):
                    progress.update(
                        task,
                        description=f"Predicting {name}",
                        total=total,
                        completed=done,
                        rate=f"{fraction:.0%}",
                    )
                case PredictionSaved(name=name, labels=labels, seconds=seconds):
                    progress.console.print(f"{name}: {labels} ({seconds:.1f} s)", highlight=False)
                    progress.advance(task)
                case Warned(message=message):
                    progress.console.print(f"[yellow]Warning:[/] {message}", highlight=False)
                case RunFinished():
                    last = event
    style = {"completed": "green", "stopped": "yellow", "failed": "bold red"}[last.reason]
    console.print(f"[{style}]{last.reason.capitalize()}:[/] {last.message}", highlight=False)
    return last


def _started(event: RunStarted) -> str:
    spacing = " × ".join(f"{size:g}" for size in event.spacing)
    classes = ", ".join(event.class_names.values())
    return (
        f"{event.network}, {event.parameters / 1e6:.1f} million weights, {event.method}, on "
        f"{event.device} in {event.precision}; {spacing} mm; {classes}; columns hidden along "
        f"{event.mask_axis}"
    )
