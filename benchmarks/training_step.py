"""Time and peak memory of one training step, written plainly and as built here.

    python benchmarks/training_step.py --out OUT
    python benchmarks/training_step.py --out OUT --device cuda --networks unet swinunetr \
        --size paper --patch-size 96 96 96 --arm "first:channels_first" \
        --arm "half:objective.masked_share=0.5"

Four arms for each network: the supervised step and MedContext's, each plainly (``plain_step``:
float32, a pass for each view, MONAI's loss, the ordinary AdamW) and as ``core.learner`` does it
in the number format that suits the device. ``--arm NAME:WORDS`` adds one of MedContext as built
with other settings (``section.name=value``) or with a lever that is not built in:

- ``channels_first``: the networks' weights, and so what they compute, do not lie channels last.
- ``compiled``, ``cuda_graphs``: the networks go through ``torch.compile``.
- ``teacher_in_bfloat16``: the teacher computes in bfloat16 whatever the student does.
- ``one_pass``, ``separate_passes``: both views in one pass of the student, or one by one.
- ``unfused``: without the fused AdamW.

The arms take turns in every round, on the same random patches. On a processor each measurement
is a fresh process, and its memory is how far the process rises above what it held before the
networks were built; on a GPU all happens in one process, and its memory is the most that torch
had allocated. A ratio is the median over the rounds of what was measured in the same round.
``OUT/training_step.csv`` keeps every measurement, and a second call does what is missing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leave_one_out import parse_changes
from score_rows import append_rows, finished_rows
from step_table import BUILT, PLAIN, PLAIN_SUPERVISED, SUPERVISED, step_table

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.networks import find_network

if TYPE_CHECKING:
    from plain_step import PlainLearner

    from napari_medcontext.core.learner import Learner
    from napari_medcontext.core.sampler import Batch

SMALL = ("unet", "attention_unet", "dynunet", "segresnet", "pcrlv2", "nnformer", "unetr")
LEVERS = (
    "channels_first",
    "compiled",
    "cuda_graphs",
    "teacher_in_bfloat16",
    "one_pass",
    "separate_passes",
    "unfused",
)
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Arm:
    """One way to do a step; the words are settings in which it differs, and levers."""

    name: str
    method: str
    is_plain: bool = False
    words: tuple[str, ...] = ()


ARMS = (
    Arm(PLAIN_SUPERVISED, "supervised", is_plain=True),
    Arm(PLAIN, "medcontext", is_plain=True),
    Arm(SUPERVISED, "supervised"),
    Arm(BUILT, "medcontext"),
)


@dataclass(frozen=True)
class Task:
    """What one measurement does."""

    arm: Arm
    network: str
    size: str
    patch_size: tuple[int, int, int]
    batch_size: int
    classes: int
    warmup: int
    steps: int
    device: str
    threads: int

    @property
    def config(self) -> RunConfig:
        """Its settings."""
        settings = parse_changes(word for word in self.arm.words if "=" in word)
        precision = "float32" if self.arm.is_plain else "auto"
        config = RunConfig().updated(
            {
                "network": {"name": self.network, "size": self.size},
                "data": {"patch_size": find_network(self.network).fitting(self.patch_size)},
                "objective": {"method": self.arm.method},
                "training": {"batch_size": self.batch_size},
                "device": {
                    "device": self.device,
                    "threads": self.threads,
                    "precision": precision,
                },
            }
        )
        return config.updated(settings)


def measured(task: Task) -> dict[str, object]:
    """Do the steps of a task; return the median time of one, the peak memory and the losses."""
    # Not before: on a processor this is the first that its process imports of torch.
    import torch
    from plain_step import PlainLearner

    from napari_medcontext.core.device import choose_compute, release_memory
    from napari_medcontext.core.learner import Learner

    config = task.config
    compute = choose_compute(config.device)
    batches = random_batches(task, config)
    memory = PeakMemory(compute.device.type)
    learner: Learner | PlainLearner
    if task.arm.is_plain:
        learner = PlainLearner(config, task.classes, 2, compute.device)
    else:
        learner = Learner(config, task.classes, 2, compute)
        pull_levers(learner, [word for word in task.arm.words if "=" not in word])
    losses, seconds = learned(learner, next(batches)), []
    for step in range(task.warmup - 1 + task.steps):
        started = time.perf_counter()
        learned(learner, next(batches))
        if compute.device.type == "cuda":
            torch.cuda.synchronize()
        if step >= task.warmup - 1:
            seconds.append(time.perf_counter() - started)
    answer = {
        "seconds": round(statistics.median(seconds), 5),
        "memory_mib": round(memory.used() / MEBIBYTE, 1),
        "first_losses": json.dumps({name: round(loss, 7) for name, loss in losses.items()}),
        "precision": compute.precision,
        "machine": compute.title,
    }
    del learner
    release_memory(compute.device)
    return answer


def learned(learner: Learner | PlainLearner, batch: Batch) -> Mapping[str, float]:
    result = learner.learn(batch)
    return result if isinstance(result, dict) else result.losses


def random_batches(task: Task, config: RunConfig) -> Iterator[Batch]:
    """Yield the same noise with labels in boxes, and other noise each time."""
    import torch

    from napari_medcontext.core.sampler import Batch

    source = torch.Generator().manual_seed(0)
    shape = config.data.patch_size
    coarse = torch.randint(0, task.classes, (task.batch_size, 1, 4, 4, 4), generator=source)
    labels = torch.nn.functional.interpolate(coarse.float(), shape, mode="nearest")
    while True:
        noise = torch.randn((task.batch_size, 1, *shape), generator=source)
        yield Batch(noise + labels / task.classes, labels)


class PeakMemory:
    """How far memory rises above what is in use when this is made, in bytes."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        if kind == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
        else:
            import psutil

            self._before = psutil.Process().memory_info().rss

    def used(self) -> int:
        """Return the rise so far."""
        if self._kind == "cuda":
            import torch

            return torch.cuda.max_memory_allocated() - self._before
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - self._before


def pull_levers(learner: Learner, levers: Sequence[str]) -> None:
    """Change a learner in what is not a setting."""
    import torch

    networks = [n for n in (learner.student, learner.teacher) if n is not None]
    for lever in levers:
        if lever == "channels_first":
            for network in networks:
                for parameter in network.parameters():
                    parameter.data = parameter.data.contiguous()
        elif lever in ("compiled", "cuda_graphs"):
            for network in networks:
                network.compile(mode="reduce-overhead" if lever == "cuda_graphs" else "default")
        elif lever == "teacher_in_bfloat16":
            _compute_in_bfloat16(networks[-1])
        elif lever in ("one_pass", "separate_passes"):
            learner._one_pass = lever == "one_pass"
        elif lever == "unfused":
            (group,) = learner.descent.optimizer.param_groups
            kept = {key: group[key] for key in ("lr", "weight_decay")}
            learner.descent.optimizer = torch.optim.AdamW(group["params"], **kept)
        else:
            raise SystemExit(f"There is no lever “{lever}”, only {', '.join(LEVERS)}.")


def _compute_in_bfloat16(network: Any) -> None:
    import torch

    forward = network.forward

    def lower(image: torch.Tensor) -> Any:
        with torch.autocast(image.device.type, torch.bfloat16):
            return forward(image)

    network.forward = lower


def in_new_process(task: Task) -> dict[str, object]:
    """Measure where nothing else has used memory."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measured, task).result()


def measure_all(options: argparse.Namespace, path: Path) -> None:
    """Let the arms of each network take turns, round after round; do only what is missing."""
    measure = measured if options.device == "cuda" else in_new_process
    done = {(row["network"], row["arm"], row["round"]) for row in finished_rows(path)}
    for network in options.networks:
        for number in range(options.rounds):
            for arm in (*ARMS, *options.arm):
                if (network, arm.name, str(number)) in done:
                    continue
                task = Task(
                    arm,
                    network,
                    options.size,
                    tuple(options.patch_size),
                    options.batch_size,
                    options.classes,
                    options.warmup,
                    options.steps,
                    options.device,
                    options.threads,
                )
                row = {"network": network, "arm": arm.name, "round": number, **measure(task)}
                append_rows(path, [row])
                print(f"{network}, {arm.name}: {row['seconds']} s", file=sys.stderr, flush=True)


def _arm(text: str) -> Arm:
    name, _, words = text.partition(":")
    return Arm(name, "medcontext", words=tuple(words.split()))


def options_given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=list(SMALL))
    parser.add_argument("--size", choices=("small", "paper"), default="small")
    parser.add_argument("--patch-size", type=int, nargs=3, default=[64, 64, 32])
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--classes", type=int, default=9, help="background included")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="0 takes all cores")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=2, help="steps before the clock starts")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument(
        "--arm", type=_arm, action="append", default=[], metavar="NAME:WORDS", help="see above"
    )
    return parser.parse_args()


def main() -> None:
    options = options_given()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "training_step.csv"
    measure_all(options, path)
    text = step_table(finished_rows(path), options.device)
    (options.out / "training_step.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
