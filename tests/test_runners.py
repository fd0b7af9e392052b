import os
import signal
import subprocess
import sys
import time

import pytest

from napari_medcontext.core.events import (
    Paused,
    Resumed,
    RunFinished,
    RunStarted,
    StepFinished,
    Warned,
)
from napari_medcontext.core.folder import WorkFolder
from napari_medcontext.core.run import RunFolder
from napari_medcontext.runners import FolderWatcher, ProcessRunner, runner_for

MANY = 2000


@pytest.fixture
def run(tmp_path, tiny_spec):
    return RunFolder(tmp_path / "run").create(tiny_spec)


@pytest.fixture
def long_run(tmp_path, tiny_spec):
    config = tiny_spec.config.updated({"training": {"steps": MANY, "validate_every": MANY}})
    return RunFolder(tmp_path / "long").create(tiny_spec.model_copy(update={"config": config}))


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_run_is_paused_resumed_and_stopped(kind, long_run):
    runner = runner_for(kind, long_run)
    runner.start()
    seen = []
    for event in runner.events():
        seen.append(type(event))
        match event:
            case StepFinished() if Paused not in seen:
                runner.pause()
            case Paused():
                assert long_run.is_alive()
                # A thread waits inside its own iteration, so the order comes before it does.
                runner.resume()
            case StepFinished() if Resumed in seen:
                runner.stop()
            case RunFinished():
                last = event
    order = [seen.index(k) for k in (RunStarted, StepFinished, Paused, Resumed, RunFinished)]
    assert order == sorted(order)
    assert last.reason == "stopped"
    assert 0 < last.step < MANY
    assert long_run.last_step() == last.step
    assert not long_run.is_alive()


@pytest.mark.slow
def test_both_runners_tell_the_same(run, tmp_path, tiny_spec):
    other = RunFolder(tmp_path / "other").create(tiny_spec)
    told = []
    for kind, folder in (("thread", run), ("process", other)):
        runner = runner_for(kind, folder)
        runner.start()
        told.append(list(runner.events()))
    assert [type(event) for event in told[0]] == [type(event) for event in told[1]]
    losses = [[e.losses for e in events if isinstance(e, StepFinished)] for events in told]
    assert len(losses[0]) == 4
    for one, two in zip(*losses, strict=True):
        assert one == pytest.approx(two, rel=1e-5)


def test_killed_child_is_reported_with_its_log(long_run):
    runner = ProcessRunner(long_run)
    runner.start()
    for event in runner.events():
        if isinstance(event, StepFinished):
            os.kill(runner.pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    assert isinstance(event, RunFinished)
    assert event.reason == "failed"
    assert "was killed" in event.message
    assert event.detail == str(long_run.log)
    assert not long_run.is_alive()


def test_watcher_reads_a_run_that_ended_before_it_came(finished_run):
    watcher = FolderWatcher(finished_run)
    events = list(watcher.events())
    assert isinstance(events[-1], RunFinished)
    assert events[-1].reason == "completed"
    assert sum(isinstance(event, StepFinished) for event in events) == 4


def test_watching_needs_no_torch():
    code = "import sys, napari_medcontext.runners; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("kind", ["thread", pytest.param("process", marks=pytest.mark.slow)])
def test_stop_while_scans_are_prepared_is_heeded_at_the_start(kind, long_run):
    long_run.send("pause")
    runner = runner_for(kind, long_run)
    runner.stop()
    runner.start()
    events = list(runner.events())
    assert (events[-1].reason, events[-1].step) == ("stopped", 0)
    assert not any(isinstance(event, StepFinished) for event in events)


def test_old_heartbeat_of_a_killed_run_is_no_silence_of_the_new_one(finished_run, monkeypatch):
    monkeypatch.setattr("napari_medcontext.runners.QUIET_SECONDS", 0.5)
    (finished_run.path / "events.jsonl").unlink()
    with finished_run.claimed():
        beat = finished_run.path / "heartbeat.json"
        os.utime(beat, (0, 0))
        events, began = FolderWatcher(finished_run).events(), time.monotonic()
        assert isinstance(next(events), Warned)
        assert time.monotonic() - began > 0.5
        events.close()


def test_dead_work_is_told_how_to_go_on(tmp_path, run):
    (in_training,) = FolderWatcher(run).events()
    assert "press Resume" in in_training.message
    (in_prediction,) = FolderWatcher(WorkFolder(tmp_path / "predict")).events()
    assert "try again" in in_prediction.message
