"""A run of several processes: begun, gone on with, stopped, and cut by a process that dies."""

import os
import signal
import time
from contextlib import closing

import psutil
import pytest
import torch

from napari_medcontext.core.errors import MedContextError, SettingsError
from napari_medcontext.core.events import RunFinished, RunStarted, StepFinished
from napari_medcontext.core.jobs import execute
from napari_medcontext.core.parallel import ALONE, Placement, found_placement
from napari_medcontext.core.run import RunFolder

TWO = Placement(2, 2)
SECONDS_TO_END = 60.0
TOLERANCE = 1e-4
"""In single precision, and after a few steps: see ``test_double_precision`` for the principle."""
STEADY = {"training": {"learning_rate": 1e-6, "batch_size": 4}, "data": {"augmentation": "gentle"}}
"""Steps so small that rounding, of which the optimizer makes steps too, stays small."""


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def make(tmp_path, tiny_spec):
    """Return the function that makes a run of changed settings."""

    def build(name="run", steps=4, **sections):
        config = tiny_spec.config.updated({"training": {"steps": steps}}).updated(sections)
        spec = tiny_spec.model_copy(update={"config": config})
        return RunFolder(tmp_path / name).create(spec)

    return build


def others():
    """Return the processes that a training here has started; tests before may have left some."""
    children = psutil.Process().children()
    return [
        child
        for child in children
        if child.status() != psutil.STATUS_ZOMBIE and "parallel.follow" in " ".join(child.cmdline())
    ]


def steps_of(events):
    return {event.step: event.losses for event in events if isinstance(event, StepFinished)}


def done(run, placement, reason="completed"):
    events = list(execute(run.path, placement))
    said = run.log.read_text() if run.log.exists() else ""
    assert isinstance(events[-1], RunFinished)
    assert events[-1].reason == reason, f"{events[-1].message}\n{said}"
    return events


@pytest.mark.slow
def test_run_goes_on_in_two_processes_as_it_would_in_one(make):
    whole = steps_of(done(make("whole", 4, **STEADY), ALONE))
    run = make("run", 4, **STEADY)
    first = {}
    for event in execute(run.path, ALONE):
        if isinstance(event, StepFinished):
            first[event.step] = event.losses
            if event.step == 2:
                run.send("stop")
    run.send("run")
    events = done(run, TWO)
    (started,) = [event for event in events if isinstance(event, RunStarted)]
    assert (started.first_step, started.device) == (2, "2 × CPU, 1 threads")
    parts = first | steps_of(events)
    assert list(parts) == [1, 2, 3, 4]
    for step, losses in parts.items():
        assert losses == pytest.approx(whole[step], rel=TOLERANCE)
    assert len((run.path / "log.csv").read_text().splitlines()) == 5
    assert others() == []


@pytest.mark.slow
def test_process_that_dies_ends_the_others_and_the_run_goes_on_without_it(make):
    run = make(steps=100_000)
    # Closed whatever fails here: what is left of a training would hold the next one up.
    with closing(execute(run.path, TWO)) as events:
        for event in events:
            if isinstance(event, StepFinished) and event.step == 3:
                break
        (other,) = others()
        os.kill(other.pid, signal.SIGKILL)
        killed = time.monotonic()
        *_, last = events
    assert time.monotonic() - killed < SECONDS_TO_END
    assert last.reason == "failed"
    assert "Process 2 of 2 ended (exit status -9)" in last.message
    assert "--resume" in last.message
    assert others() == []
    saved = run.last_step()
    assert saved > 0
    config = run.spec().config.updated({"training": {"steps": saved + 2}})
    run.save_spec(run.spec().model_copy(update={"config": config}))
    assert list(steps_of(done(run, ALONE))) == [saved + 1, saved + 2]


@pytest.mark.slow
def test_both_processes_stop_after_the_same_step_and_go_on_in_three(make):
    run = make(steps=100_000, training={"batch_size": 3})
    config = run.spec().config
    for placement in (Placement(3, 3), ALONE):
        taken = []
        for event in execute(run.path, placement):
            if isinstance(event, StepFinished):
                taken.append(event.step)
                run.send("pause" if len(taken) == 1 else "stop")
            if type(event).__name__ == "Paused":
                run.send("run")
        assert (event.reason, event.step) == ("stopped", taken[-1])
        assert run.last_step() == taken[-1]
        assert others() == []
        run.send("run")
    assert run.spec().config == config


@pytest.mark.slow
def test_network_that_normalises_over_the_batch_is_refused(make):
    run = make(network={"name": "attention_unet"})
    *_, last = execute(run.path, TWO)
    assert last.reason == "failed"
    assert "normalises over the batch" in last.message
    assert others() == []


@pytest.mark.parametrize(
    ("processes", "batch", "advice"), [(3, 4, "2 or 4"), (4, 6, "2 or 3 or 6"), (2, 1, "one")]
)
def test_batch_that_cannot_be_shared_is_refused_with_numbers_that_can(processes, batch, advice):
    with pytest.raises(SettingsError, match=f"{processes} processes cannot share .* Take {advice}"):
        Placement(processes, processes).require_shares(batch)


def test_missing_library_names_its_extra(make, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lightning_fabric", None)
    *_, last = execute(make().path, TWO)
    assert last.reason == "failed"
    assert "napari-medcontext[parallel]" in last.message


def test_one_process_needs_no_library(make, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lightning_fabric", None)
    done(make(steps=1), ALONE)


TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none",
    "WORLD_SIZE": "4",
    "LOCAL_WORLD_SIZE": "2",
    "RANK": "3",
}
SRUN = {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2"}


@pytest.mark.parametrize(
    ("environment", "asked", "found"),
    [
        ({}, None, ALONE),
        ({}, 2, TWO),
        (TORCHRUN, None, Placement(4, 2, 3, "torchrun")),
        (TORCHRUN, 4, Placement(4, 2, 3, "torchrun")),
        (SRUN, None, Placement(8, 4, 1, "srun")),
        # A batch script that starts the command itself, without srun.
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, None, ALONE),
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, 2, TWO),
    ],
)
def test_processes_are_those_asked_for_or_those_that_were_started(environment, asked, found):
    assert found_placement(asked, environment) == found


def test_other_number_than_was_started_is_refused():
    with pytest.raises(SettingsError, match="torchrun started 4 processes"):
        found_placement(2, TORCHRUN)


def test_gpus_that_are_not_there_are_refused():
    from napari_medcontext.core.parallel.connection import accelerator_for
    from napari_medcontext.core.training_settings import DeviceSettings

    many = Placement(1000, 1000)
    with pytest.raises(SettingsError, match="need a GPU each"):
        accelerator_for(DeviceSettings(device="cuda"), many)
    with pytest.raises(MedContextError, match="Apple GPU"):
        accelerator_for(DeviceSettings(device="mps"), many)
    assert accelerator_for(DeviceSettings(device="cpu"), many) == "cpu"
