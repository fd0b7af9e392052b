"""Cases that several workers take are done once each, whoever dies, and the bad ones are told."""

import csv
import json
import math
import os
import shutil
import signal
import sys

import nibabel as nib
import numpy as np
import pytest
from cohort_commands import finished, ledger, medcontext, started, wait_for, workers_of
from typer.testing import CliRunner

from napari_medcontext.cli import EXIT_STOPPED, app
from napari_medcontext.core.cohort import ClusterSettings
from napari_medcontext.core.cohort.cluster import dask_distributed
from napari_medcontext.core.config import Case
from napari_medcontext.core.errors import MedContextError, SettingsError
from napari_medcontext.core.events import PredictionFailed, PredictionSaved, RunFinished
from napari_medcontext.core.folder_evaluation import evaluate_folders
from napari_medcontext.core.formats import scan_name
from napari_medcontext.core.io import list_scans, write_volume
from napari_medcontext.core.jobs import execute
from napari_medcontext.core.prediction_plan import PredictFolder, PredictSpec

SIDE = 32
"""Voxels along each side of a scan: a worker is at it for about a second."""


@pytest.fixture
def archive(make_scan, tmp_path):
    """Return the function that makes a folder of good scans and two broken ones."""

    def made(good: int):
        folder = tmp_path / "archive"
        for number in range(good):
            image, _ = make_scan(f"case_{number}", "RAS", (1.0, 1.0, 1.0), (SIDE,) * 3)
            ending = "ome.zarr" if number == 1 else "nii.gz"
            write_volume(folder / f"case_{number}.{ending}", image)
        whole = (folder / "case_0.nii.gz").read_bytes()
        (folder / "a_cut.nii.gz").write_bytes(whole[: len(whole) // 2])
        (folder / "z_text.nii.gz").write_text("not a scan")
        return folder

    return made


def assert_each_is_done_once(out, scans):
    rows = ledger(out)
    names = sorted(map(scan_name, list_scans(scans)))
    assert sorted(row["name"] for row in rows) == names
    assert {row["name"] for row in rows if row["problem"]} == {"a_cut", "z_text"}
    good = {row["labels"] for row in rows if not row["problem"]}
    assert {path.name for path in out.iterdir()} == {*good, "predicted.csv"}


@pytest.mark.slow
def test_case_of_a_killed_worker_is_done_again_by_another_once(archive, finished_run, tmp_path):
    scans, out = archive(good=4), tmp_path / "out"
    with medcontext("predict", finished_run.path, scans, "--out", out, "--workers", 2) as process:
        wait_for(lambda: len(ledger(out)) >= 1)
        os.kill(workers_of(process)[0].pid, signal.SIGKILL)
        told = finished(process)
    assert process.returncode == 1, told
    assert "Predicted 4 of 6 scans; 2 could not be" in told
    assert "done again by another" in told
    assert not {"Traceback", "distributed", "KilledWorker"} & set(told.split()), told
    assert_each_is_done_once(out, scans)


def test_workers_score_as_one_process_does(study, tmp_path):
    labels = study / "labels"
    predictions = tmp_path / "predictions"
    shutil.copytree(labels, predictions)
    (predictions / "ras.nii.gz").write_bytes(b"no scan")
    alone = [score for case in evaluate_folders(predictions, labels) for score in case.scores]
    out = tmp_path / "scores.csv"
    words = ("--predictions", predictions, "--labels", labels, "--out", out, "--workers", 2)
    with medcontext("evaluate", *words) as process:
        told = finished(process)
    assert process.returncode == 1, told
    assert "No score counts “ras”" in told
    with out.open(newline="") as file:
        rows = [
            (row["case"], int(row["class_id"]), float(row["dsc"])) for row in csv.DictReader(file)
        ]
    assert rows == [(score.case, score.class_id, score.dsc) for score in alone]
    assert {case for case, _, _ in rows} == {"lps", "thick"}


def test_without_dask_a_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MedContextError, match=r"napari-medcontext\[cohort\]"):
        dask_distributed()


def test_workers_are_named_once(finished_run, study, tmp_path):
    words = ["predict", finished_run.path, study / "images", "--out", tmp_path / "out"]
    words += ["--workers", 2, "--scheduler", "tcp://127.0.0.1:8786"]
    assert isinstance(CliRunner().invoke(app, list(map(str, words))).exception, SettingsError)


@pytest.mark.slow
def test_ctrl_c_stops_and_the_next_call_does_the_rest(archive, finished_run, tmp_path):
    scans, out = archive(good=8), tmp_path / "out"
    words = ("predict", finished_run.path, scans, "--out", out, "--workers", 2)
    with medcontext(*words) as process:
        wait_for(lambda: len(ledger(out)) >= 3)
        os.killpg(process.pid, signal.SIGINT)
        told = finished(process)
    assert process.returncode == EXIT_STOPPED, told
    assert "Traceback" not in told
    done = {row["name"] for row in ledger(out) if not row["problem"]}
    assert 1 <= len(done) < 8
    assert not list(out.glob(".*"))
    with medcontext(*words) as process:
        told = finished(process)
    assert f"{len(done)} of 10 scans are predicted already" in told
    good = [row["name"] for row in ledger(out) if not row["problem"]]
    assert sorted(good) == [f"case_{number}" for number in range(8)]


@pytest.mark.slow
def test_next_call_goes_on_and_tidies_up_after_one_that_was_killed(archive, finished_run, tmp_path):
    scans, out = archive(good=6), tmp_path / "out"
    words = ("predict", finished_run.path, scans, "--out", out, "--workers", 2)
    with medcontext(*words) as process:
        wait_for(lambda: len(ledger(out)) >= 3)
        workers = workers_of(process)
        os.kill(process.pid, signal.SIGKILL)
        wait_for(lambda: not any(worker.is_running() for worker in workers))
    assert list(out.glob(".predicting-*"))
    done = {row["name"] for row in ledger(out)} - {"a_cut", "z_text"}
    with medcontext(*words) as process:
        told = finished(process)
    assert f"{len(done)} of 8 scans are predicted already" in told
    assert "Predicted" in told
    assert not list(out.glob(".*"))
    good = [row["name"] for row in ledger(out) if not row["problem"]]
    assert sorted(good) == [f"case_{number}" for number in range(6)]


@pytest.mark.slow
def test_scan_that_kills_each_worker_fails_alone(archive, finished_run, tmp_path):
    from distributed.system import MEMORY_LIMIT

    scans, out = archive(good=3), tmp_path / "out"
    shape = (1500, 1000, 500)
    header = nib.Nifti1Image(np.broadcast_to(np.float32(0), shape), np.eye(4)).header
    with (scans / "m_huge.nii").open("wb") as file:
        # Three gigabytes of nothing, of which only the header takes room on the disk.
        header.write_to(file)
        file.truncate(352 + 4 * math.prod(shape))
    share = str(1.6e9 / (MEMORY_LIMIT / 2))
    words = ("predict", finished_run.path, scans, "--out", out, "--workers", 2)
    with medcontext(*words, DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE=share) as process:
        told = finished(process, 170)
    problems = {row["name"]: row["problem"] for row in ledger(out)}
    assert "may need more memory" in problems.pop("m_huge"), told
    # In whichever order they were done.
    assert {name for name, problem in problems.items() if not problem} == {
        f"case_{number}" for number in range(3)
    }


@pytest.mark.slow
def test_workers_of_a_scheduler_predict_and_one_of_them_dies(archive, finished_run, tmp_path):
    scans, known = archive(good=6), tmp_path / "scheduler.json"
    cases = tuple(Case(name=path.name.split(".")[0], image=path) for path in list_scans(scans))
    scheduler = ("--host", "127.0.0.1", "--port", 0, "--no-dashboard", "--scheduler-file", known)
    worker = ("--scheduler-file", known, "--nthreads", 1, "--no-nanny", "--no-dashboard")
    with (
        started("distributed.cli.dask_scheduler", *scheduler),
        started("distributed.cli.dask_worker", *worker) as first,
        started("distributed.cli.dask_worker", *worker),
    ):
        address = wait_for(lambda: known.is_file() and _address(known))
        spec = PredictSpec(
            run=finished_run.path,
            scans=cases,
            out=tmp_path / "out",
            cluster=ClusterSettings(scheduler=address),
        )
        events = []
        for event in execute(PredictFolder(tmp_path / "work").create(spec).path):
            if sum(isinstance(one, PredictionSaved) for one in events) == 2:
                first.kill()
            events.append(event)
    *_, last = events
    assert isinstance(last, RunFinished)
    assert "Predicted 6 of 8 scans" in last.message
    assert len([event for event in events if isinstance(event, PredictionFailed)]) == 2
    assert_each_is_done_once(spec.out, scans)


def _address(file):
    try:
        return json.loads(file.read_text())["address"]
    except ValueError:
        return None


@pytest.mark.slow
def test_scheduler_that_does_not_answer_is_told(finished_run, study, tmp_path):
    words = ("predict", finished_run.path, study / "images", "--out", tmp_path / "out")
    with medcontext(*words, "--scheduler", "tcp://127.0.0.1:1") as process:
        told = finished(process)
    assert process.returncode == 1
    assert "No dask scheduler answers at tcp://127.0.0.1:1" in told
    assert not list((tmp_path / "out").iterdir())
