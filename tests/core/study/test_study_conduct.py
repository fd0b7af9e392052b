import sys

import pytest

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.events import RunFinished, StepFinished, TrainingScored, Warned
from napari_medcontext.core.jobs import execute
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.study import scoring
from napari_medcontext.core.study.arms import Arm, arms_of
from napari_medcontext.core.study.plan import StudyFolder, StudySpec, cells_of
from napari_medcontext.core.study.rows import read_rows

COMMON = {"masking": {"block_size": 4}}


@pytest.fixture
def spec(tiny_config, cases):
    return StudySpec(
        config=tiny_config.updated({"masking": RunConfig().masking.model_dump()}),
        arms=arms_of(["supervised", "default"], COMMON),
        seeds=(3,),
        training=cases(ras="training", thick="training"),
        test=cases(lps="unused"),
        class_names={2: "liver", 5: "spleen"},
        checkpoints=2,
        command="medcontext compare-methods somewhere",
    )


@pytest.fixture
def folder(tmp_path, spec):
    return StudyFolder(tmp_path / "study").create(spec)


def done(folder):
    return list(execute(folder.path))


def trained_steps(events):
    return [event.step for event in events if isinstance(event, StepFinished)]


def measured(folder):
    return {
        (row.series.method, row.step, row.score.class_id): row.score.dsc
        for row in read_rows(folder.path / "scores.csv")
    }


def states_of_runs(folder):
    return {path: path.stat().st_mtime_ns for path in (folder.path / "runs").rglob("*")}


def test_study_scores_every_arm_at_its_checkpoints_and_reports(folder):
    events = done(folder)
    assert events[-1].reason == "completed", events[-1]
    assert trained_steps(events) == [1, 2, 3, 4] * 2
    assert [e.step for e in events if isinstance(e, TrainingScored)] == [2, 4, 2, 4]
    methods = ("supervised", "default")
    assert set(measured(folder)) == {(m, s, k) for m in methods for s in (2, 4) for k in (2, 5)}
    report = (folder.path / "report.md").read_text()
    assert "medcontext compare-methods somewhere" in report
    assert "1 case among" in report or "1 case can never show" in report
    assert "Cannot tell default and supervised apart" in report
    for name in ("curves-time.png", "curves-steps.png"):
        assert (folder.path / name).read_bytes().startswith(b"\x89PNG")
        assert name in report
    seconds = [row.seconds for row in read_rows(folder.path / "scores.csv")]
    assert 0 < min(seconds) < max(seconds)


def test_arms_of_one_seed_see_the_same_settings_but_for_the_method(folder):
    supervised, default = (cell.run_spec() for cell in cells_of(folder.spec()))
    assert supervised.cases == default.cases
    for section in ("network", "data", "training", "device"):
        assert getattr(supervised.config, section) == getattr(default.config, section)


def test_second_call_does_nothing_again(folder):
    done(folder)
    before, scores = states_of_runs(folder), measured(folder)
    events = done(folder)
    assert trained_steps(events) == []
    assert events[-1].reason == "completed"
    assert states_of_runs(folder) == before
    assert measured(folder) == scores


@pytest.mark.slow
def test_second_call_with_one_more_method_trains_that_alone(folder, spec):
    done(folder)
    more = (*spec.arms, *arms_of(["one-pass"], COMMON))
    events = done(folder.create(spec.model_copy(update={"arms": more})))
    assert trained_steps(events) == [1, 2, 3, 4]
    assert {method for method, _, _ in measured(folder)} == {"supervised", "default", "one-pass"}


@pytest.mark.slow
def test_study_that_was_stopped_goes_on_to_the_same_scores(folder, spec, tmp_path):
    whole = StudyFolder(tmp_path / "whole").create(spec)
    done(whole)
    events = []
    for event in execute(folder.path):
        events.append(event)
        if isinstance(event, StepFinished) and event.step == 3:
            folder.send("stop")
    assert events[-1].reason == "stopped"
    assert trained_steps(events) == [1, 2, 3]
    # It was scored once, but half of a training is no match for a whole one.
    assert "Trainings done: 0 of" in folder.report.read_text()
    folder.send("run")
    assert trained_steps(done(folder)) == [4, 1, 2, 3, 4]
    assert measured(folder) == measured(whole)


def test_state_that_was_saved_but_not_scored_is_scored_before_training_goes_on(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(scoring, "scores_of_run", _killed)
        with pytest.raises(KeyboardInterrupt):
            done(folder)
    events = done(folder)
    assert events[-1].reason == "completed"
    assert trained_steps(events)[:2] == [3, 4]
    assert len(measured(folder)) == 8


def _killed(*_):
    raise KeyboardInterrupt


def test_arm_that_fails_is_told_and_the_others_go_on(folder, spec):
    arms = (Arm(name="greedy", scans=9, changes=COMMON), *spec.arms)
    networks = ("unet", "no_such_network")
    events = done(folder.create(spec.model_copy(update={"arms": arms, "networks": networks})))
    told = [event.message for event in events if isinstance(event, Warned)]
    assert len([text for text in told if "failed, the others go on" in text]) == 4
    assert events[-1].reason == "failed"
    assert "4 of 6 trainings failed" in events[-1].message
    assert {method for method, _, _ in measured(folder)} == {"supervised", "default"}
    report = (folder.path / "report.md").read_text()
    assert "| unet | greedy | greedy asks for 9 training scans, but there are 2. | –" in report
    assert "no_such_network" in report


def test_failure_while_training_is_told_and_leaves_the_rest(folder, spec, monkeypatch):
    real, calls = scoring.scores_of_run, []

    def breaks_once(*args):
        calls.append(args)
        if len(calls) == 1:
            raise RuntimeError("the disk is on fire")
        return real(*args)

    monkeypatch.setattr(scoring, "scores_of_run", breaks_once)
    events = done(folder)
    assert "RuntimeError: the disk is on fire" in (folder.path / "report.md").read_text()
    assert {method for method, _, _ in measured(folder)} == {"default"}
    assert isinstance(events[-1], RunFinished)
    assert "Traceback" in folder.log.read_text()
    assert done(folder)[-1].reason == "completed"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"training": {"steps": 8}}, "config.training.steps: 4 then, 8 now"),
        ({"data": {"spacing": (1, 1, 2)}}, "config.data.spacing"),
    ],
)
def test_other_settings_are_not_mixed_with_earlier_scores(folder, spec, changes, told):
    done(folder)
    config = spec.config.updated(changes)
    folder.create(spec.model_copy(update={"config": config}))
    events = done(folder)
    assert trained_steps(events) == []
    assert told in (folder.path / "report.md").read_text()
    assert measured(folder) == {}


def test_checkpoints_that_have_passed_are_not_made_up(folder, spec):
    done(folder)
    folder.create(spec.model_copy(update={"checkpoints": 4}))
    events = done(folder)
    assert trained_steps(events) == []
    assert "was not scored as asked now at step 1, 3" in (folder.path / "report.md").read_text()


def test_each_scan_is_left_out_in_turn_and_never_learned_from(folder, spec):
    folder.create(spec.model_copy(update={"test": (), "arms": spec.arms[:1]}))
    assert done(folder)[-1].reason == "completed"
    rows = read_rows(folder.path / "scores.csv")
    assert {(row.fold, row.score.case) for row in rows} == {("ras", "ras"), ("thick", "thick")}
    for cell in cells_of(folder.spec()):
        learned = [case.name for case in RunFolder(folder.run_path(cell)).spec().cases]
        assert learned == [name for name in ("ras", "thick") if name != cell.fold]


def test_teacher_and_mean_are_scored_where_they_are_asked_for(folder, spec):
    arm = Arm(name="taught", changes=COMMON, weights=("student", "teacher", "mean"))
    folder.create(spec.model_copy(update={"arms": (arm,), "checkpoints": 1}))
    assert done(folder)[-1].reason == "completed"
    rows = read_rows(folder.path / "scores.csv")
    assert {row.series.weights for row in rows} == {"student", "teacher", "mean"}
    assert "taught (teacher) and taught apart" in (folder.path / "report.md").read_text()


def test_regions_are_scored_as_regions(folder, spec):
    folder.create(spec.model_copy(update={"arms": spec.arms[:1], "regions": {"both": (2, 5)}}))
    assert done(folder)[-1].reason == "completed"
    assert {row.score.class_name for row in read_rows(folder.path / "scores.csv")} == {"both"}


def test_without_matplotlib_the_tables_are_there_and_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    events = done(folder)
    assert events[-1].reason == "completed"
    assert any("napari-medcontext[figures]" in e.message for e in events if isinstance(e, Warned))
    assert "napari-medcontext[figures]" in (folder.path / "report.md").read_text()
    assert len(measured(folder)) == 8
