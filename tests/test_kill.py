import csv
import os
import random
import signal
import time

import pytest

from napari_medcontext.core.config import RunConfig, RunSpec
from napari_medcontext.core.events import RunFinished, RunStarted
from napari_medcontext.core.run import RunFolder
from napari_medcontext.runners import ProcessRunner

KILLS = 10
ENDLESS = 1_000_000
STEPS_AFTER = 50
SEED = 0
MOST_SECONDS_LOST = 30.0


def with_training(spec: RunSpec, **settings: float) -> RunSpec:
    return spec.model_copy(update={"config": spec.config.updated({"training": settings})})


def logged_seconds(run: RunFolder) -> dict[int, float]:
    with (run.path / "log.csv").open() as file:
        return {int(row["step"]): float(row["seconds"]) for row in csv.DictReader(file)}


def kill_at_a_random_moment(run: RunFolder, rng: random.Random) -> tuple[int, dict[int, float]]:
    """Let the run go on for a while, kill it, and return its first step and those then done."""
    runner = ProcessRunner(run)
    runner.start()
    first, until = 0, float("inf")
    for event in runner.events():
        if isinstance(event, RunStarted):
            first, until = event.first_step, time.monotonic() + rng.uniform(1.0, 20.0)
        if time.monotonic() > until:
            os.kill(runner.pid, signal.SIGKILL)
            until = float("inf")
        if isinstance(event, RunFinished):
            assert event.reason == "failed"
    return first, logged_seconds(run)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_kills_lose_little_and_the_run_ends(tiny_spec, tmp_path):
    defaults = RunConfig().training
    training = {"steps": ENDLESS, "checkpoint_every": defaults.checkpoint_every}
    spec = with_training(tiny_spec, **training)
    run = RunFolder(tmp_path / "run").create(spec)
    rng = random.Random(SEED)
    done_before: dict[int, float] = {}
    for kill in range(KILLS):
        first, done = kill_at_a_random_moment(run, rng)
        lost = sum(seconds for step, seconds in done_before.items() if step > first)
        print(f"kill {kill}: went on at step {first} of {len(done_before)}: {lost:.1f} s lost")
        assert kill == 0 or first > 0
        assert lost < MOST_SECONDS_LOST
        done_before = done
    # How many steps ten kills leave time for depends on the machine; now let it end.
    steps = len(done_before) + STEPS_AFTER
    run.save_spec(with_training(spec, steps=steps))
    last = ProcessRunner(run)
    last.start()
    events = list(last.events())
    assert events[-1].reason == "completed"
    assert list(logged_seconds(run)) == list(range(1, steps + 1))
