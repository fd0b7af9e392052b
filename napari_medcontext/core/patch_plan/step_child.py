"""The child process that measures training steps; reads a ``ProbeAsk``, writes JSON lines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import torch

from napari_medcontext.core.checkpoints import MEMORY_ADVICE
from napari_medcontext.core.device import (
    Compute,
    choose_compute,
    explained_memory_errors,
    release_memory,
)
from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.learner import Learner
from napari_medcontext.core.masking import choose_axis
from napari_medcontext.core.networks import PatchSize
from napari_medcontext.core.patch_plan.sight import StepCost
from napari_medcontext.core.patch_plan.sizes import voxels
from napari_medcontext.core.patch_plan.step_cost import ProbeAsk
from napari_medcontext.core.sampler import Batch

GIBIBYTE = 2.0**30
STEPS = 2
"""Steps that are timed, after one that is not: the first also sets up what all others use."""


def main() -> None:
    """Measure each size of the ask on standard input, as long as there is time."""
    ask = ProbeAsk.model_validate_json(sys.stdin.read())
    try:
        compute = choose_compute(ask.config.device)
    except MedContextError as error:
        _tell_of_all(ask.sizes, str(error))
        return
    _tell({"title": compute.title, "available_gib": _available(compute) / GIBIBYTE})
    end, pace = time.monotonic() + ask.seconds, 0.0
    for number, size in enumerate(ask.sizes):
        if time.monotonic() + (STEPS + 1) * pace * voxels(size) > end:
            problem = f"not measured: it would take more than {ask.seconds:g} s"
            cost = StepCost(size=size, problem=problem, slow=True)
        else:
            cost = _cost(ask, size, compute)
        if cost.seconds is not None:
            pace = cost.seconds / voxels(size)
        _tell(cost.model_dump())
        if cost.problem and cost.seconds is None and pace:
            # What is larger cannot fare better.
            _tell_of_all(ask.sizes[number + 1 :], cost.problem)
            return


def _cost(ask: ProbeAsk, size: PatchSize, compute: Compute) -> StepCost:
    try:
        with explained_memory_errors(MEMORY_ADVICE):
            seconds = _step_seconds(ask, size, compute)
        return StepCost(size=size, seconds=seconds, gibibytes=_peak(compute) / GIBIBYTE)
    except MedContextError as error:
        return StepCost(size=size, problem=str(error))
    except Exception as error:
        # Nobody reads what this process prints beside its answers.
        return StepCost(size=size, problem=f"{type(error).__name__}: {error}")
    finally:
        release_memory(compute.device)


def _step_seconds(ask: ProbeAsk, size: PatchSize, compute: Compute) -> float:
    config = ask.config.updated({"data": {"patch_size": size}, "network": {"pretrained": None}})
    axis = choose_axis(config.masking.axis, [ask.spacing])
    learner = Learner(
        config, ask.classes, axis, compute, spacing=ask.spacing, channels=ask.channels
    )
    learner.step = max(0, config.training.steps - STEPS - 1)
    batch = _noise(size, config.training.batch_size, ask)
    learner.learn(batch)
    _wait(compute)
    begin = time.perf_counter()
    for _ in range(STEPS):
        learner.learn(batch)
    _wait(compute)
    return (time.perf_counter() - begin) / STEPS


def _noise(size: PatchSize, patches: int, ask: ProbeAsk) -> Batch:
    """Return patches of noise, one class after the other along x in their labels."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn((patches, ask.channels, *size), generator=generator)
    slabs = torch.arange(size[0]) * ask.classes // size[0]
    labels = slabs.float()[None, None, :, None, None].expand(patches, 1, *size)
    return Batch(image, labels.contiguous())


def _wait(compute: Compute) -> None:
    if compute.device.type == "cuda":
        torch.cuda.synchronize(compute.device)
    elif compute.device.type == "mps":
        torch.mps.synchronize()


def _available(compute: Compute) -> float:
    if compute.device.type == "cuda":
        return float(torch.cuda.mem_get_info(compute.device)[0])
    return float(psutil.virtual_memory().available)


def _peak(compute: Compute) -> float:
    """Return the most bytes that were in use since the process began."""
    if compute.device.type == "cuda":
        return float(torch.cuda.max_memory_reserved(compute.device))
    status = Path("/proc/self/status")
    if status.is_file():
        # On Linux, getrusage would count what the parent used before this process began.
        lines = status.read_text(encoding="ascii").splitlines()
        (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
        return 1024.0 * int(peak)
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset)
    import resource

    # In bytes on macOS, where alone this is reached.
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _tell_of_all(sizes: Sequence[PatchSize], problem: str) -> None:
    for size in sizes:
        _tell(StepCost(size=size, problem=problem).model_dump())


def _tell(values: object) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main()
