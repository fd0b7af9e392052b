"""Time and memory of a training step, measured in a child process that may run out of memory."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.networks import PatchSize
from napari_medcontext.core.patch_plan.sight import StepCost
from napari_medcontext.core.settings import Settings
from napari_medcontext.core.volume import Spacing

SECONDS = 150.0
"""How long all sizes together may take; those that are left then stay unmeasured."""
GRACE = 30.0
"""So many seconds later the child is ended whatever it does."""


class ProbeAsk(Settings):
    """What the child measures: the settings of a training, and patch sizes, smallest first."""

    config: RunConfig
    classes: int
    channels: int
    spacing: Spacing
    sizes: tuple[PatchSize, ...]
    seconds: float = SECONDS


@dataclass(frozen=True)
class Device:
    """Where steps are measured: its name, and the memory in GiB that is free there."""

    title: str
    available_gib: float


def measured_steps(
    config: RunConfig,
    classes: int,
    channels: int,
    spacing: Spacing,
    sizes: Sequence[PatchSize],
    seconds: float = SECONDS,
) -> Iterator[Device | StepCost]:
    """Do a few real training steps with each patch size, and yield what they took.

    The steps are those of ``config`` (network, method, patches a step, device) at the end of its
    run, when all that it hides and teaches is at work; what the patches hold is noise. Peaks only
    ever rise, so sizes are measured from the smallest on, in one process.

    Parameters
    ----------
    config
        The settings of the training.
    classes
        Number of classes, the background included.
    channels
        Channels of a scan.
    spacing
        The training's voxel size along x, y, z in mm.
    sizes
        Patch sizes, the smallest first.
    seconds
        How long all sizes together may take.

    Yields
    ------
    Device, then StepCost
        One for each size; without numbers, and why, where it could not be measured.
    """
    ask = ProbeAsk(
        config=config,
        classes=classes,
        channels=channels,
        spacing=spacing,
        sizes=tuple(sizes),
        seconds=seconds,
    )
    # The folder that this was called from must not be searched for modules (-P).
    command = [sys.executable, "-P", "-m", "napari_medcontext.core.patch_plan.step_child"]
    left = list(sizes)
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        overdue = threading.Event()
        end = threading.Timer(ask.seconds + GRACE, _end, (child, overdue))
        end.start()
        try:
            child.stdin.write(ask.model_dump_json())
            child.stdin.close()
            for line in child.stdout:
                values = json.loads(line)
                if "title" in values:
                    yield Device(**values)
                else:
                    cost = StepCost.model_validate(values)
                    left.remove(cost.size)
                    yield cost
        finally:
            end.cancel()
            child.kill()
    why = (
        f"it takes more than {ask.seconds:g} s"
        if overdue.is_set()
        else "the process ended, most likely for want of memory"
    )
    for size in left:
        yield StepCost(size=size, problem=f"not measured: {why}", slow=overdue.is_set())


def _end(child: subprocess.Popen[str], overdue: threading.Event) -> None:
    overdue.set()
    child.kill()
