"""The train command in several processes: its own, those of torchrun, and those of srun."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.settings import dump

TRAIN = ("-m", "napari_medcontext", "train")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
SECONDS = 240


@pytest.fixture
def words(study, tmp_path, tiny_config):
    """Return the words of a training of so many steps."""

    def build(steps):
        file = tmp_path / "settings.yaml"
        file.write_text(dump(tiny_config), encoding="utf-8")
        scans = ("--images", study / "images", "--labels", study / "labels")
        rest = ("--config", file, "--steps", steps, "--out", tmp_path / "run")
        return [str(word) for word in (*scans, *rest)]

    return build


@pytest.fixture
def started():
    """Return the function that starts a command; none outlives its test."""
    processes = []

    def start(*words, **variables):
        process = subprocess.Popen(
            [sys.executable, *words],
            env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            for member in psutil.Process(process.pid).children(recursive=True):
                member.kill()
            process.kill()
            process.communicate()


def ended(process):
    """Return an exit code, what was said, and see that nothing is left."""
    family = psutil.Process(process.pid).children(recursive=True)
    _, said = process.communicate(timeout=SECONDS)
    _, left = psutil.wait_procs(family, timeout=SECONDS)
    assert left == []
    return process.returncode, said


def wait_for_steps(run, steps):
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        if (run.path / "log.csv").exists() and logged(run) >= steps:
            return
        time.sleep(0.1)
    raise AssertionError(f"no step {steps} in {run.path}")


def logged(run):
    return len((run.path / "log.csv").read_text().splitlines()) - 1


def test_batch_that_cannot_be_shared_is_refused_before_anything_is_written(
    words, started, tmp_path
):
    code, said = ended(started(*TRAIN, *words(2), "--processes", "3"))
    assert code == 2
    assert "3 processes cannot share a batch of 2 evenly" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_interrupt_stops_all_processes_after_a_step_and_saves(words, started, tmp_path):
    run = RunFolder(tmp_path / "run")
    process = started(*TRAIN, *words(100_000), "--processes", "2")
    wait_for_steps(run, 2)
    # As a terminal does: every process of the command hears it.
    for member in (psutil.Process(process.pid), *psutil.Process(process.pid).children()):
        member.send_signal(signal.SIGINT)
    code, said = ended(process)
    assert code == 3, said
    assert run.last_step() == logged(run) > 0


@pytest.mark.slow
def test_killed_command_leaves_no_process_behind(words, started, tmp_path):
    process = started(*TRAIN, *words(100_000), "--processes", "2")
    wait_for_steps(RunFolder(tmp_path / "run"), 2)
    others = psutil.Process(process.pid).children()
    process.kill()
    code, _ = ended(process)
    assert (code, len(others)) == (-signal.SIGKILL, 1)
    _, left = psutil.wait_procs(others, timeout=SECONDS)
    assert left == []


@pytest.mark.slow
def test_torchrun_trains_goes_on_and_ends_with_a_process_that_dies(words, started, tmp_path):
    run = RunFolder(tmp_path / "run")
    code, said = ended(started(*TORCHRUN, *TRAIN, *words(2)))
    assert code == 0, said
    assert logged(run) == run.last_step() == 2
    config = run.spec().config.updated({"training": {"steps": 100_000}})
    run.save_spec(run.spec().model_copy(update={"config": config}))
    process = started(*TORCHRUN, *TRAIN, "--resume", str(run.path))
    wait_for_steps(run, 4)
    (second,) = [
        member
        for member in psutil.Process(process.pid).children(recursive=True)
        if member.environ().get("RANK") == "1"
    ]
    second.kill()
    code, said = ended(process)
    assert code != 0
    assert "Another process of this training ended" in said
    assert not run.is_alive()
    assert run.last_step() >= 2


@pytest.mark.slow
def test_srun_s_variables_are_enough(words, started, tmp_path):
    common = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "1", "SLURM_NTASKS": "2"}
    common |= {"SLURM_NNODES": "1", "SLURM_NODEID": "0", "SLURM_NODELIST": "127.0.0.1"}
    common |= {"SLURM_JOB_ID": str(10_000 + os.getpid() % 10_000), "SLURM_JOB_NAME": "train"}
    both = [
        started(*TRAIN, *words(2), **common, SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank))
        for rank in range(2)
    ]
    results = [ended(process) for process in both]
    assert [code for code, _ in results] == [0, 0], results
    assert logged(RunFolder(tmp_path / "run")) == 2
