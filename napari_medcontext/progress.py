"""Events as progress bars in a terminal."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from napari_medcontext.core.events import (
    Event,
    Fetching,
    PredictionFailed,
    PredictionProgress,
    PredictionSaved,
    Preparing,
    ProbeProgress,
    RunFinished,
    RunStarted,
    StepFinished,
    StudyProgress,
    TrainingScored,
    ValidationFinished,
    Warned,
)


class _RateColumn(TextColumn):
    """What gives way, cut at its end, where a terminal is too narrow for all columns."""

    def __init__(self) -> None:
        super().__init__("{task.fields[rate]}", table_column=Column())

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.no_wrap, text.overflow = True, "ellipsis"
        return text


COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(bar_width=12),
    MofNCompleteColumn(table_column=Column(no_wrap=True)),
    _RateColumn(),
    TimeElapsedColumn(table_column=Column(no_wrap=True)),
    TimeRemainingColumn(table_column=Column(no_wrap=True)),
)
STYLES = {"completed": "green", "stopped": "yellow", "failed": "bold red"}
LOSS_TITLES = {"dice_ce": "loss", "dice_ce_masked": "masked", "consistency": "teacher"}
LOSSES_MEAN = (
    "The lower, the better: “loss” on the whole scan, “masked” with parts of it hidden, “teacher” "
    "how far the student, to whom parts are hidden, is from the teacher, who sees all."
)
HIDDEN = {
    "tube": "columns hidden along {axis}",
    "blocks": "blocks hidden",
    "structure": "structures hidden",
    "": "nothing hidden",
}


def shown(events: Iterable[Event], console: Console) -> RunFinished:
    """Show events as they come, and return the last."""
    last = RunFinished("failed", message="nothing happened")
    # A step has those losses that it descended; the others stay as they came last.
    losses: dict[str, float] = {}
    with Progress(*COLUMNS, console=console) as progress:
        task = progress.add_task("Starting", total=None, rate="")
        for event in events:
            if isinstance(event, StepFinished):
                losses |= event.losses
            _move(progress, task, event, losses)
            _tell(console, event)
            if isinstance(event, RunFinished):
                last = event
    say(console, last.message, label=last.reason.capitalize(), style=STYLES[last.reason])
    return last


def watched(work: Generator[Event, None, Any], console: Console) -> Any:
    """Show how far some preparation is, and return what it comes to."""
    with Progress(*COLUMNS, console=console, transient=True) as progress:
        task = progress.add_task("Starting", total=None, rate="")
        while True:
            try:
                _move(progress, task, next(work), {})
            except StopIteration as end:
                return end.value


def say(console: Console, text: str, *, label: str = "", style: str = "") -> None:
    """Print a line letter for letter, behind a coloured label if it has one.

    Paths may hold brackets, which rich would take for markup, and must come unbroken to whoever
    copies or searches them.
    """
    lead = f"[{style}]{label}:[/] " if label else ""
    console.print(f"{lead}{escape(text)}", emoji=False, highlight=False, soft_wrap=True)


def _move(progress: Progress, task: TaskID, event: Event, losses: Mapping[str, float]) -> None:
    """Move the bar as far as an event says, with the losses so far."""
    match event:
        case Preparing(message=message, done=done, total=total):
            progress.update(task, description=escape(message), completed=done, total=total)
        case Fetching(message=message, done=done, total=total):
            megabytes = None if total == 0 else total // 10**6
            progress.update(task, description=message, total=megabytes, rate="MB")
            progress.update(task, completed=done // 10**6)
        case RunStarted(steps=steps, first_step=first):
            progress.reset(task, total=steps, completed=first)
            progress.update(task, description="Training")
        case StepFinished(step=step, seconds=seconds):
            parts = [_rate(seconds)]
            parts += [
                f"{title} {losses[name]:.3f}"
                for name, title in LOSS_TITLES.items()
                if name in losses
            ]
            progress.update(task, completed=step, rate=" · ".join(parts))
        case PredictionProgress(name=name, done=done, total=total, fraction=fraction):
            description = f"Predicting {escape(name)}"
            progress.update(
                task, description=description, total=total, completed=done, rate=f"{fraction:.0%}"
            )
        case ProbeProgress(name=name, done=done, total=total, fraction=fraction):
            description = f"Probing {escape(name)}"
            progress.update(
                task, description=description, total=total, completed=done, rate=f"{fraction:.0%}"
            )
        case PredictionSaved() | PredictionFailed():
            progress.advance(task)


def _rate(seconds: float) -> str:
    """Say how fast steps of so many seconds are, slow ones by what one takes."""
    return f"{seconds:.1f} s/step" if seconds > 1 else f"{1 / max(seconds, 1e-6):.1f} steps/s"


def _tell(console: Console, event: Event) -> None:
    """Leave on the screen what an event is worth; mostly nothing."""
    match event:
        case Preparing(message=message, done=done, total=total) if done == total:
            say(console, message)
        case RunStarted():
            say(console, _started(event))
            if event.mask_scheme:
                say(console, LOSSES_MEAN)
        case StudyProgress(name=name, done=done, total=total):
            say(console, f"{name} ({done + 1} of {total})")
        case TrainingScored(step=step, seconds=seconds, mean_dsc=dsc):
            say(console, f"Step {step}, {seconds:.0f} s: test DSC {dsc:.3f}")
        case ValidationFinished(step=step, mean_dsc=dsc, best=best):
            text = f"Step {step}: validation Dice {dsc:.3f}{' (best so far)' * best}"
            say(console, text)
        case PredictionSaved(name=name, labels=labels, seconds=seconds):
            say(console, f"{name}: {labels} ({seconds:.1f} s)")
        case PredictionFailed(name=name, reason=reason):
            say(console, f"“{name}”: {reason}", label="Passed over", style="yellow")
        case Warned(message=message):
            say(console, message, label="Warning", style="yellow")


def _started(event: RunStarted) -> str:
    spacing = " × ".join(f"{size:g}" for size in event.spacing)
    classes = ", ".join(event.class_names.values())
    hidden = HIDDEN[event.mask_scheme].format(axis=event.mask_axis)
    return (
        f"{event.network}, {event.parameters / 1e6:.1f} million weights, {event.method}, on "
        f"{event.device} in {event.precision}; {spacing} mm; {classes}; {hidden}"
    )
