import csv

import numpy as np
import pytest
from dock_helpers import add_scan, docked, finish

from napari_medcontext.core.config import Case, RunConfig
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.folder import STUDY_FILE
from napari_medcontext.core.study.plan import StudyFolder, cells_of
from napari_medcontext.core.volume import Volume
from napari_medcontext.snapshots import Scan
from napari_medcontext.widgets.report_window import ReportWindow
from napari_medcontext.widgets.session import session_of
from napari_medcontext.widgets.train import TrainDock
from napari_medcontext.widgets.trial_plan import planned_study, scans_to_compare_on


def scans_of(*roles, labelled=True):
    volume = Volume(np.zeros((2, 2, 2), np.uint8), np.eye(4), "a")
    return [Scan(volume, volume if labelled else None, role) for role in roles]


def roles(scans):
    return [scan.role for scan in scans_to_compare_on(scans)]


def test_of_few_scans_each_is_trained_on_and_scored_in_turn():
    assert roles(scans_of("training", "training")) == ["training"] * 2
    assert roles(scans_of("training", "training", "training", "validation")) == ["training"] * 4


def test_of_more_scans_those_for_validation_are_scored_or_else_every_third():
    assert roles(scans_of(*["training"] * 4, "validation")) == ["training"] * 4 + ["validation"]
    held_out = ["training", "training", "validation"] * 2
    assert roles(scans_of(*["training"] * 6)) == held_out


def test_scans_without_labels_and_previews_take_no_part_and_one_scan_is_too_few():
    bare = scans_of("training", labelled=False)
    assert roles([*bare, *scans_of("training", "training", "preview")]) == ["training"] * 2
    with pytest.raises(ScanError, match="at least two scans with labels"):
        scans_to_compare_on([*bare, *scans_of("training", "preview")])


@pytest.mark.parametrize("method", ["medcontext", "supervised"])
def test_method_is_compared_as_it_is_set_or_by_default_where_it_is_switched_off(method, tmp_path):
    config = RunConfig().updated(
        {"objective": {"method": method, "masked_weight": 0.7}, "masking": {"ratio": 0.6}}
    )
    cases = [Case(name=n, image=tmp_path / n, labels=tmp_path / n) for n in ("a", "b")]
    spec = planned_study(cases, config, {})
    plain, ours = [cell.run_spec().config for cell in list(cells_of(spec))[:2]]
    assert plain.objective.method == "supervised"
    assert ours.objective.method == "medcontext"
    assert ours.objective.masked_weight == (0.7 if method == "medcontext" else 1.0)
    assert ours.masking.ratio == 0.6
    assert len(list(cells_of(spec))) == 4


@pytest.mark.slow
def test_comparison_is_done_watched_shown_stopped_and_gone_on_with(
    viewer, train_dock, qtbot, tmp_path
):
    add_scan(viewer, 3)
    dock, trial = train_dock, train_dock.trial
    assert not trial.report_button.isEnabled()
    told = []
    dock.monitor.running_told.connect(told.append)

    def stop_in_the_second(event):
        if type(event).__name__ == "StudyProgress" and event.done == 1:
            dock.stop_button.click()

    dock._session.event_received.connect(stop_in_the_second)
    finish(qtbot, dock, trial.start_button.click)
    dock._session.event_received.disconnect(stop_in_the_second)
    assert told[0] is True
    assert told[-1] is False
    assert "of 6 trainings are done" in dock.message.text()
    assert dock.trial.resume_button.isVisibleTo(dock)
    folder = tmp_path / "comparison-1"
    assert str(folder) in trial.plan.text()
    assert "each of 3 scans, left out in turn" in trial.plan.text()

    other = docked(viewer, TrainDock)
    other.run_path.setText(str(folder))
    finish(qtbot, other, other.resume_button.click)
    assert "All 6 trainings are done" in other.message.text()
    with (folder / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["method"] for row in rows} == {"supervised", "MedContext"}
    assert {row["case"] for row in rows} == {"scan 1", "scan 2", "scan 3"}
    assert other.trial.report_button.isEnabled()
    other.trial.report_button.click()
    (window,) = other.findChildren(ReportWindow)
    text = window.text.toPlainText()
    assert "What may be said" in text
    assert "cannot tell" in text
    assert (folder / "curves-time.png").is_file()
    window.close()
    assert dock.run_path.text() == str(tmp_path / "run")


def test_comparison_of_one_scan_is_refused_and_nothing_is_made(viewer, train_dock, tmp_path):
    viewer.layers.remove("scan 2")
    viewer.layers.remove("scan 2 organs")
    train_dock.trial.start()
    assert "at least two scans with labels" in train_dock.message.text()
    assert not session_of(viewer).is_training
    assert not (tmp_path / "comparison-1").exists()


def test_folder_of_a_comparison_takes_no_run(train_dock, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / STUDY_FILE).touch()
    train_dock.train_button.click()
    assert "holds a comparison of methods" in train_dock.message.text()


def test_comparison_whose_scans_are_gone_or_whose_regions_cannot_work_is_refused(
    train_dock, tmp_path
):
    case = [Case(name=n, image=tmp_path / n, labels=tmp_path / n) for n in ("a", "b")]
    spec = planned_study(case, RunConfig(), {})
    train_dock.trial.resume(StudyFolder(tmp_path / "old").create(spec).path)
    assert f"{tmp_path / 'a'} is not there any more" in train_dock.message.text()
    train_dock.set_config(train_dock.config().updated({"data": {"ignore_label": 3}}))
    train_dock.regions.set_regions({"outer": (3, 4)})
    train_dock.trial.start()
    assert "the label of the unknown" in train_dock.message.text()
    assert not (tmp_path / "comparison-1").exists()
