import shutil
import threading

import numpy as np
import pytest

from napari_medcontext.core.config import Case, RunSpec
from napari_medcontext.core.errors import RunError
from napari_medcontext.core.events import (
    PredictionProgress,
    PredictionSaved,
    Preparing,
    RunFinished,
)
from napari_medcontext.core.folder import WorkFolder
from napari_medcontext.core.io import read_volume
from napari_medcontext.core.jobs import execute
from napari_medcontext.core.journal import JournalReader
from napari_medcontext.core.prediction_plan import (
    PredictFolder,
    PredictSpec,
    probability_path,
)
from napari_medcontext.core.run import RunFolder


def prediction(tmp_path, run, cases, **changes):
    spec = PredictSpec(run=run.path, scans=cases, out=tmp_path / "out", **changes)
    return PredictFolder(tmp_path / "predict").create(spec)


def test_folder_without_a_job_fails_with_message_and_log(tmp_path):
    *_, last = execute(tmp_path)
    assert last.reason == "failed"
    assert "is no run folder" in last.message
    assert "RunError" in (tmp_path / "output.log").read_text()
    assert last.detail == str(tmp_path / "output.log")
    *_, told = JournalReader(tmp_path).read()
    assert told == last


def test_scan_that_is_gone_fails_the_run_and_frees_its_folder(tmp_path, tiny_config):
    case = Case(name="gone", image=tmp_path / "gone.nii", labels=tmp_path / "gone.nii")
    run = RunFolder(tmp_path / "run").create(RunSpec(config=tiny_config, cases=(case,)))
    *_, last = execute(run.path)
    assert last.reason == "failed"
    assert str(case.image) in last.message
    assert "Traceback" in run.log.read_text()
    assert not run.is_alive()


def test_truncated_weights_fail_the_prediction(tmp_path, finished_run, cases):
    file = finished_run.best_state() / "student.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    *_, last = execute(prediction(tmp_path, finished_run, cases(thick="unused")).path)
    assert last.reason == "failed"
    assert "cut short or damaged" in last.message


def test_finished_run_is_not_done_again(finished_run):
    (last,) = execute(finished_run.path)
    assert (last.reason, last.step) == ("completed", 4)
    assert "already" in last.message


def test_folder_in_use_is_refused_and_left_alone(finished_run):
    before = (finished_run.path / "events.jsonl").read_bytes()
    with finished_run.claimed():
        with pytest.raises(RunError, match="is in use"), WorkFolder(finished_run.path).claimed():
            pass
        (last,) = execute(finished_run.path)
        assert last.reason == "failed"
        assert "is in use" in last.message
        assert finished_run.is_alive()
    assert not finished_run.is_alive()
    assert (finished_run.path / "events.jsonl").read_bytes() == before


def test_heartbeat_that_cannot_be_read_for_a_moment_is_asked_for_again(tmp_path):
    folder = WorkFolder(tmp_path)
    with folder.claimed():
        beat = tmp_path / "heartbeat.json"
        whole = beat.read_text()
        beat.write_text(whole[:9])
        mended = threading.Timer(0.03, beat.write_text, [whole])
        mended.start()
        assert folder.is_alive()
        mended.join()
    assert not folder.is_alive()


def test_prediction_writes_labels_and_probabilities_on_the_scans_grid(
    tmp_path, finished_run, cases
):
    scans = cases(thick="unused", lps="unused")
    folder = prediction(tmp_path, finished_run, scans, weights="mean", probabilities=True)
    events = list(execute(folder.path))
    assert isinstance(events[0], PredictionProgress)
    assert events[-1] == RunFinished("completed", 2, "Predicted 2 scans.")
    saved = [event for event in events if isinstance(event, PredictionSaved)]
    assert [event.name for event in saved] == ["thick", "lps"]
    for event, case in zip(saved, scans, strict=True):
        image, labels = read_volume(case.image), read_volume(event.labels)
        assert labels.shape == image.shape
        np.testing.assert_allclose(labels.affine, image.affine, atol=1e-5)
        assert set(np.unique(labels.array)) <= {0, 2, 5}
        assert labels.class_names == {2: "liver", 5: "spleen"}
        for class_id in (2, 5):
            probability = read_volume(probability_path(event.labels, class_id))
            assert probability.shape == image.shape
            assert probability.array.min() >= 0
            assert probability.array.max() <= 1


def test_stopped_prediction_says_how_far_it_came(tmp_path, finished_run, cases):
    folder = prediction(tmp_path, finished_run, cases(thick="unused"))
    folder.send("stop")
    *_, last = execute(folder.path)
    assert (last.reason, last.step) == ("stopped", 0)


def test_prediction_never_overwrites_a_scan(tmp_path, finished_run, study, cases):
    scans = shutil.copytree(study / "images", tmp_path / "out")
    (tmp_path / "link").symlink_to(scans)
    case = Case(name="ras", image=tmp_path / "link" / "ras.nii.gz")
    before = case.image.read_bytes()
    *_, last = execute(prediction(tmp_path, finished_run, (*cases(lps="unused"), case)).path)
    assert last.reason == "failed"
    assert "would overwrite the scan" in last.message
    assert case.image.read_bytes() == before


def test_training_stopped_while_preparing_ends_before_it_learns(tmp_path, tiny_spec):
    run = RunFolder(tmp_path / "run").create(tiny_spec)
    events = []
    for event in execute(run.path):
        events.append(event)
        if len(events) == 2:
            run.send("stop")
    assert events[-1] == RunFinished("stopped", 0, "Stopped while preparing.")
    assert sum(isinstance(event, Preparing) for event in events) == len(events) - 1 == 2
    assert run.newest_state() is None
