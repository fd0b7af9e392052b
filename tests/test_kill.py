import csv
import os
import random
import signal
import time

import pytest

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.events import RunFinished, RunStarted
from napari_medcontext.core.run import RunFolder
from napari_medcontext.runners import ProcessRunner

KILLS = 10
STEPS = 1500
SEED = 0


def logged_steps(run: RunFolder) -> list[int]:
    with (run.path / "log.csv").open() as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def kill_at_a_random_moment(run: RunFolder, rng: random.Random) -> tuple[int, int]:
    """Let the run go on for a while, kill it, and return its first step and steps then done."""
    runner = ProcessRunner(run)
    runner.start()
    first, until = 0, float("inf")
    for event in runner.events():
        if isinstance(event, RunStarted):
            first, until = event.first_step, time.monotonic() + rng.uniform(1.5, 5.0)
        if time.monotonic() > until:
            os.kill(runner.pid, signal.SIGKILL)
            until = float("inf")
        if isinstance(event, RunFinished):
            assert event.reason == "failed"
    return first, logged_steps(run)[-1]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_kills_lose_little_and_the_run_ends(tiny_spec, tmp_path):
    config: RunConfig = tiny_spec.config.updated(
        {"training": {"steps": STEPS, "checkpoint_every": 1.0}}
    )
    run = RunFolder(tmp_path / "run").create(tiny_spec.model_copy(update={"config": config}))
    rng = random.Random(SEED)
    done_before = 0
    for kill in range(KILLS):
        first, done = kill_at_a_random_moment(run, rng)
        print(f"kill {kill}: went on at step {first} of {done_before} done; killed at {done}")
        if kill:
            assert first > 0
        done_before = done
    last = ProcessRunner(run)
    last.start()
    events = list(last.events())
    assert events[-1].reason == "completed"
    assert logged_steps(run) == list(range(1, STEPS + 1))
