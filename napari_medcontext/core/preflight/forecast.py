"""How long a training will take on this device, and how much memory, by a few steps of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from napari_medcontext.core.patch_plan.step_cost import Device, measured_steps
from napari_medcontext.core.preflight.findings import Finding, Study

SECONDS = 30.0
"""How long the steps may take that are measured; starting the process comes on top."""
MEMORY_SHARE = 0.9
SCARCE = "Lower the patch size or the patches a step, or choose a smaller network."


@dataclass(frozen=True)
class Forecast:
    """What the training of a study will take; without numbers, and why, if it was not measured.

    Parameters
    ----------
    device
        Where it was measured.
    available_gib
        Memory in GiB that was free there before.
    steps
        How many the training is to do.
    step_seconds
        Time of one.
    gibibytes
        Memory at the peak, in GiB; of the device on a GPU, else of the whole process.
    problem
        Why there are no numbers.
    slow
        Whether that is for want of time.
    """

    device: str
    available_gib: float
    steps: int
    step_seconds: float | None = None
    gibibytes: float | None = None
    problem: str = ""
    slow: bool = False

    def __str__(self) -> str:
        """Return it in words."""
        if self.step_seconds is None or self.gibibytes is None:
            return f"Time and memory of a training step on {self.device}: {self.problem}."
        whole = timedelta(seconds=round(self.steps * self.step_seconds))
        return (
            f"{self.steps} steps will take about {whole} (h:mm:ss) on {self.device}, "
            f"{self.step_seconds:.2g} s each as measured, and {self.gibibytes:.1f} of "
            f"{self.available_gib:.1f} GiB that are free."
        )


def forecast(study: Study) -> Forecast:
    """Do a few steps of a study's training, on noise, in a process of their own.

    Parameters
    ----------
    study
        Its settings, spacing, number of classes and channels count; its scans do not.
    """
    size = study.config.data.patch_size
    facts = {"device": "this device", "available_gib": 0.0, "steps": study.config.training.steps}
    classes = 1 + max(1, len(study.classes))
    channels = max(1, len(study.channels))
    told = measured_steps(study.config, classes, channels, study.spacing, [size], SECONDS)
    for each in told:
        if isinstance(each, Device):
            facts |= {"device": each.title, "available_gib": each.available_gib}
        else:
            facts |= {"step_seconds": each.seconds, "gibibytes": each.gibibytes}
            facts |= {"problem": each.problem.rstrip("."), "slow": each.slow}
    return Forecast(**facts)  # type: ignore[arg-type]


def scarce(cost: Forecast) -> Iterator[Finding]:
    """Find a training that this device has no memory for, or that fails at its first step."""
    if cost.problem and not cost.slow:
        yield Finding("step", [], f"A training step fails: {cost.problem}.", SCARCE, stops=True)
    if cost.gibibytes is not None and cost.gibibytes > MEMORY_SHARE * cost.available_gib:
        what = (
            f"A training step takes {cost.gibibytes:.1f} GiB on {cost.device}, of which "
            f"{cost.available_gib:.1f} GiB are free."
        )
        yield Finding("step memory", [], what, SCARCE)
