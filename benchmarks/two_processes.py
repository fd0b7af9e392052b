"""Train on the synthetic study in one process and in two, and print how far they are apart.

``python benchmarks/two_processes.py [--steps 20] [--batch-size 4] [--out FOLDER]``

Each process has one thread, so that both have the same arithmetic. For comparison the same is
trained in one process of two threads, which sum in another order too: single precision rounds each
sum, and the optimizer makes whole steps of gradients that are nothing but rounding.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_medcontext.core.cases import decathlon_cases
from napari_medcontext.core.config import RunConfig, RunSpec
from napari_medcontext.core.events import RunFinished, StepFinished
from napari_medcontext.core.jobs import execute
from napari_medcontext.core.parallel import ALONE, Placement
from napari_medcontext.core.phantom import write_study
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.weights import read_weights

SKIPPED = 2
"""First steps, which find memory and kernels, count in no pace."""


@dataclass(frozen=True)
class Trained:
    """A finished run: its losses and seconds by step, and its last weights."""

    losses: list[Mapping[str, float]]
    seconds: list[float]
    weights: dict[str, Any]

    @property
    def pace(self) -> float:
        """Steps a second."""
        return len(self.seconds[SKIPPED:]) / sum(self.seconds[SKIPPED:])


def settings(steps: int, batch_size: int, threads: int) -> RunConfig:
    return RunConfig().updated(
        {
            "data": {"intensity": "window", "patch_size": (64, 64, 32)},
            "training": {"steps": steps, "batch_size": batch_size, "preview_every": 0.0},
            "device": {"device": "cpu", "precision": "float32", "threads": threads},
        }
    )


def trained(dataset: Path, out: Path, config: RunConfig, placement: Placement) -> Trained:
    cases, class_names = decathlon_cases(dataset)
    cases = tuple(case for case in cases if case.role == "training")
    spec = RunSpec(config=config, cases=cases, class_names=class_names)
    run = RunFolder(out).create(spec)
    events = list(execute(run.path, placement))
    last = events[-1]
    if not isinstance(last, RunFinished) or last.reason != "completed":
        raise SystemExit(last)
    steps = [event for event in events if isinstance(event, StepFinished)]
    state = run.newest_state()
    assert state is not None
    weights = {
        f"{network} {name}": tensor
        for network in ("student", "teacher")
        for name, tensor in read_weights(state, network)[0].items()
    }
    return Trained([step.losses for step in steps], [step.seconds for step in steps], weights)


def compare(title: str, one: Trained, other: Trained) -> None:
    print(f"\n{title}\nstep  relative difference of each loss")
    for number, (first, second) in enumerate(zip(one.losses, other.losses, strict=True), start=1):
        apart = "  ".join(
            f"{name} {abs(second[name] - loss) / abs(loss):.1e}" for name, loss in first.items()
        )
        print(f"{number:4d}  {apart}")
    differences = [tensor - other.weights[name] for name, tensor in one.weights.items()]
    largest = max(float(difference.abs().max()) for difference in differences)
    squares = sum(float(difference.square().sum()) for difference in differences)
    norm = sum(float(tensor.square().sum()) for tensor in one.weights.values())
    print(
        f"weights: largest difference {largest:.1e}, relative to their norm "
        f"{math.sqrt(squares / norm):.1e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=4, help="of both processes together")
    parser.add_argument("--out", type=Path, help="new folder to keep the runs in")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        out = words.out or Path(scratch)
        dataset = write_study(out / "study")
        arms = {
            "1 process, 1 thread": (ALONE, 1),
            "2 processes, 1 thread each": (Placement(2, 2), 2),
            "1 process, 2 threads": (ALONE, 2),
        }
        found: dict[str, Trained] = {}
        for number, (title, (placement, threads)) in enumerate(arms.items()):
            began = time.monotonic()
            config = settings(words.steps, words.batch_size, threads)
            found[title] = trained(dataset, out / f"run-{number}", config, placement)
            print(f"{title}: {found[title].pace:.2f} steps/s ({time.monotonic() - began:.0f} s)")
    one, *others = found
    for title in others:
        compare(f"{title}, against {one}", found[one], found[title])


if __name__ == "__main__":
    main()
