import pytest

from napari_medcontext.core.config import RunConfig
from napari_medcontext.widgets import pace
from napari_medcontext.widgets.pace import Pace, about_text, expected_seconds, minutes_text


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    return now


def test_the_time_left_counts_the_steps_to_come_at_the_pace_of_the_last(clock):
    run = Pace(RunConfig())
    for step in range(1, 11):
        clock[0] += 2.0
        run.step(step, 0.5)

    assert run.seconds_left(40) == pytest.approx(60.0)


def test_a_pause_is_no_part_of_the_pace(clock):
    run = Pace(RunConfig())
    run.step(1, 0.5)
    run.wait()
    clock[0] += 1000.0
    for step in range(2, 5):
        clock[0] += 1.0
        run.step(step, 0.5)

    assert run.seconds_left(14) == pytest.approx(10.0)


def test_two_steps_are_too_few_to_tell(clock):
    run = Pace(RunConfig())
    run.step(1, 0.5)
    run.step(2, 0.5)

    assert run.seconds_left(10) is None


def test_a_later_run_is_expected_to_cost_its_share_of_voxels_and_steps(clock):
    small = RunConfig().updated({"data": {"patch_size": (32, 32, 32)}, "training": {"steps": 10}})
    large = small.updated({"data": {"patch_size": (64, 32, 32)}, "training": {"steps": 30}})
    assert expected_seconds(large) is None

    run = Pace(small)
    run.step(1, 0.5)
    run.remember()

    assert expected_seconds(large) == pytest.approx(0.5 * 2 * 30)
    assert expected_seconds(large.updated({"objective": {"method": "supervised"}})) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": {"views": "one"}},
        {"objective": {"masked_share": 0.5}},
        {"objective": {"consistency_weight": 0.0}},
        {"objective": {"consistency_weight": 0.0, "keep_teacher": True}},
        {"masking": {"site": "tokens"}},
        {"network": {"name": "unetr"}},
        {"device": {"precision": "bfloat16"}},
        {"device": {"threads": 1}},
    ],
)
def test_a_run_of_other_steps_is_not_expected_to_take_as_long(changes):
    run = Pace(RunConfig())
    run.step(RunConfig().training.steps, 0.5)
    run.remember()
    assert expected_seconds(RunConfig()) is not None
    assert expected_seconds(RunConfig().updated(changes)) is None


def test_what_changes_no_step_changes_no_expectation():
    run = Pace(RunConfig())
    run.step(RunConfig().training.steps, 0.5)
    run.remember()
    others = {"masking": {"ratio": 0.6}, "objective": {"momentum": 0.9}, "training": {"seed": 5}}
    assert expected_seconds(RunConfig().updated(others)) == expected_seconds(RunConfig())
    supervised = RunConfig().updated({"objective": {"method": "supervised"}})
    alike = {"objective": {"masked_weight": 0.0, "consistency_weight": 0.0}}
    Pace(supervised).remember()
    assert expected_seconds(supervised) is None
    run = Pace(supervised)
    run.step(1, 0.25)
    run.remember()
    assert expected_seconds(RunConfig().updated(alike)) == expected_seconds(supervised)


def test_steps_before_masking_has_risen_tell_nothing_of_later_runs():
    late = RunConfig().updated({"objective": {"masked_start": 0.25, "masked_ramp": 0.25}})
    run = Pace(late)
    run.step(late.training.steps // 2 - 1, 0.5)
    run.remember()
    assert expected_seconds(late) is None
    run.step(late.training.steps // 2, 0.5)
    run.remember()
    assert expected_seconds(late) is not None


def test_times_are_told_in_words():
    assert minutes_text(59.2) == "1:00"
    assert minutes_text(3723) == "1:02:03"
    assert about_text(31) == "about 30 s"
    assert about_text(239) == "about 4 min"
    assert about_text(9000) == "about 2.5 h"
