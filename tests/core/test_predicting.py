"""A folder of scans is predicted to its end, whatever single files are like, and only once."""

import csv
import os
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_medcontext.cli import app
from napari_medcontext.core.config import Case
from napari_medcontext.core.events import PredictionFailed, PredictionSaved
from napari_medcontext.core.io import list_scans, read_volume, write_volume
from napari_medcontext.core.jobs import execute
from napari_medcontext.core.prediction_ledger import done_before
from napari_medcontext.core.prediction_plan import LEDGER, PredictFolder, PredictSpec


def cut_short(path, good):
    path.write_bytes(good.read_bytes()[:500])


def no_image(path, good):
    path.write_text("not a scan")


def not_finite(path, good):
    scan = read_volume(good)
    array = scan.array.astype(np.float32)
    array[0, 0, 0] = np.nan
    write_volume(path, scan.with_array(array))


BROKEN = {"b_cut": cut_short, "c_text": no_image, "e_nan": not_finite}


@pytest.fixture
def scans(study, tmp_path):
    """Four good scans, and broken ones between them."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for name, source in (("a", "ras"), ("d", "lps"), ("f", "thick"), ("g", "ras")):
        shutil.copy(study / "images" / f"{source}.nii.gz", folder / f"{name}.nii.gz")
    for name, break_it in BROKEN.items():
        break_it(folder / f"{name}.nii.gz", folder / "a.nii.gz")
    return folder


@pytest.fixture
def spec(scans, finished_run, tmp_path):
    cases = tuple(Case(name=path.name.split(".")[0], image=path) for path in list_scans(scans))
    return PredictSpec(run=finished_run.path, scans=cases, out=tmp_path / "out")


def predicted(spec, folder):
    return list(execute(PredictFolder(folder).create(spec).path))


def test_bad_scans_are_passed_over_and_named_with_reasons_at_the_end(spec, tmp_path):
    *events, last = predicted(spec, tmp_path / "work")
    saved = [event.name for event in events if isinstance(event, PredictionSaved)]
    failed = {event.name: event.reason for event in events if isinstance(event, PredictionFailed)}
    assert saved == ["a", "d", "f", "g"]
    assert list(failed) == list(BROKEN)
    assert [path.name for path in list_scans(spec.out)] == [f"{name}.nii.gz" for name in saved]
    assert last.reason == "failed"
    assert "Predicted 4 of 7 scans; 3 could not be" in last.message
    for name, reason in failed.items():
        assert f"“{name}”: {reason}" in last.message
    with (spec.out / LEDGER).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["name"]: row["problem"] for row in rows if row["problem"]} == failed
    assert len(rows) == 7


def test_fault_that_nobody_foresaw_costs_one_scan_and_is_logged(spec, tmp_path, monkeypatch):
    from napari_medcontext.core import predicted_scan

    real = predicted_scan.read_channels

    def read(case, **settings):
        if case.name == "d":
            raise IndexError("out of the blue")
        return real(case, **settings)

    monkeypatch.setattr(predicted_scan, "read_channels", read)
    *events, last = predicted(spec, tmp_path / "work")
    failed = {event.name: event.reason for event in events if isinstance(event, PredictionFailed)}
    assert "IndexError: out of the blue" in failed["d"]
    assert "Predicted 3 of 7" in last.message
    assert "Traceback" in (tmp_path / "work" / "output.log").read_text()


def test_only_what_the_same_weights_made_of_the_same_file_counts_as_done(spec, tmp_path):
    assert done_before(spec) == set()
    predicted(spec, tmp_path / "work")
    assert done_before(spec) == {"a", "d", "f", "g"}
    assert done_before(spec.model_copy(update={"weights": "teacher"})) == set()
    assert done_before(spec.model_copy(update={"probabilities": True})) == set()
    os.utime(spec.scans[0].image, (1, 1))
    (spec.out / "d.nii.gz").unlink()
    assert done_before(spec) == {"f", "g"}
    # Labels that were corrected by hand since are nothing to be done again.
    labels = read_volume(spec.out / "f.nii.gz")
    write_volume(spec.out / "f.nii.gz", labels.with_array(labels.array * 0))
    assert done_before(spec) == {"f", "g"}


def test_command_goes_on_where_it_was_left(scans, finished_run, tmp_path):
    words = ["predict", finished_run.path, scans, "--out", tmp_path / "out"]

    def called():
        return CliRunner().invoke(app, [str(word) for word in words])

    first = called()
    assert first.exit_code == 1, first.output
    assert "4 of 7 scans; 3 could not be" in first.output
    done = {path.name: path.stat().st_mtime_ns for path in list_scans(tmp_path / "out")}
    for name in BROKEN:
        shutil.copy(scans / "a.nii.gz", scans / f"{name}.nii.gz")
    second = called()
    assert second.exit_code == 0, second.output
    assert "4 of 7 scans are predicted already" in second.output
    now = {path.name: path.stat().st_mtime_ns for path in list_scans(tmp_path / "out")}
    assert len(now) == 7
    assert done.items() <= now.items()
    third = called()
    assert third.exit_code == 0, third.output
    assert "7 of 7 scans are predicted already" in third.output
