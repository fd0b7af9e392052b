import math

import numpy as np
import pytest

from napari_medcontext.core.scores import ClassScore
from napari_medcontext.core.study.arms import Arm
from napari_medcontext.core.study.comparison import findings, lead
from napari_medcontext.core.study.curves import (
    after_seconds,
    at_end,
    case_curves,
    common_seconds,
    seed_curves,
)
from napari_medcontext.core.study.plan import StudySpec, checkpoint_steps
from napari_medcontext.core.study.rows import ScoreRow, Series, read_rows, write_rows

OLD, NEW = Series("unet", "supervised", "student"), Series("unet", "new", "student")


def row(series, case, step, seconds, dsc, *, seed=0, status="found", name="liver", hd95=3.0):
    score = ClassScore(case, 1, name, status, dsc, hd95, hd95 / 4, dsc, 1.0, 1.0)
    return ScoreRow(series, seed, "", step, seconds, score)


@pytest.fixture
def two_methods(cases):
    """The new method's steps take twice as long; after all of them it is ahead by 4 points."""
    rows = [
        row(series, f"case {n}", step, step * pace, 0.5 + 0.001 * n + gain * step, seed=seed)
        for series, pace, gain in ((OLD, 1.0, 0.002), (NEW, 2.0, 0.0024))
        for seed in (0, 1)
        for n in range(10)
        for step in (50, 100)
    ]
    training = cases(ras="training", lps="training")
    spec = StudySpec(
        arms=(Arm(name="supervised", preset="supervised"), Arm(name="new")),
        seeds=(0, 1),
        training=training,
    )
    return spec, rows


def test_checkpoints_are_even_and_end_with_the_last_step():
    assert checkpoint_steps(100, 4) == (25, 50, 75, 100)
    assert checkpoint_steps(3, 8) == (1, 2, 3)
    assert checkpoint_steps(1, 1) == (1,)


def test_rows_survive_their_file(tmp_path):
    rows = [
        row(OLD, "a", 5, 1.5, 0.25),
        row(NEW, "b, c", 5, 2.0, 0.0, status="missed", hd95=math.nan),
    ]
    read = read_rows(write_rows(tmp_path / "scores.csv", rows))
    assert read[0] == rows[0]
    assert read[1].score.case == "b, c"
    assert math.isnan(read[1].score.hd95_mm)
    assert read_rows(tmp_path / "none.csv") == []


def test_value_of_a_scan_is_over_the_classes_that_its_reference_has():
    rows = [
        row(OLD, "a", 5, 1.0, 0.8, name="liver"),
        row(OLD, "a", 5, 1.0, 0.0, name="spleen", status="missed", hd95=math.nan),
        row(OLD, "a", 5, 1.0, 0.0, name="kidney", status="invented", hd95=math.nan),
        row(OLD, "a", 5, 1.0, math.nan, name="vein", status="absent", hd95=math.nan),
    ]
    (curve,) = case_curves(rows)[OLD].values()
    assert curve.dsc == pytest.approx([0.4])
    assert curve.hd95_mm == pytest.approx([3.0])


def test_equal_time_is_read_between_checkpoints_and_nowhere_else():
    curves = case_curves([row(OLD, "a", 10, 4.0, 0.2), row(OLD, "a", 20, 8.0, 0.6)])[OLD]
    assert after_seconds(curves, 5.0) == {(0, "a"): pytest.approx(0.3)}
    for outside in (3.9, 8.1):
        assert math.isnan(after_seconds(curves, outside)[0, "a"])


def test_training_that_was_cut_has_no_end_and_shortens_its_seeds_curve():
    rows = [row(OLD, "a", s, float(s), 0.5) for s in (1, 2)] + [row(OLD, "b", 1, 1.0, 0.7)]
    curves = case_curves(rows)[OLD]
    assert at_end(curves, "dsc") == {(0, "a"): 0.5}
    assert seed_curves(curves)[0].steps.tolist() == [1]
    assert seed_curves(curves)[0].dsc == pytest.approx([0.6])


def test_method_that_is_ahead_after_all_steps_may_be_behind_at_equal_time(two_methods):
    spec, rows = two_methods
    found = findings(spec, rows)
    ends = {each.metric: each for each in found.at_end}
    assert ends["dsc"].verdict.word == "better"
    assert ends["dsc"].difference.mean == pytest.approx(4.0)
    assert ends["hd95_mm"].verdict.word == "cannot tell"
    curves = case_curves(rows)
    # Both have values from 100 s, the new one's first checkpoint, to 100 s, the old one's last.
    assert common_seconds(curves[OLD], curves[NEW]) == (100.0, 100.0)
    assert {each.seconds for each in found.at_equal_time} == {100.0}
    assert lead(curves, (NEW, OLD)).last == (pytest.approx(-8.0), 100.0)
    assert found.at_equal_time[0].verdict.word == "worse"


def test_named_budget_outside_of_a_curve_is_not_compared(two_methods):
    spec, rows = two_methods
    spec = spec.model_copy(update={"budgets": (60.0, 100.0)})
    early, late = findings(spec, rows).at_equal_time
    assert early.difference.cases == 0
    assert "no case was scored with both" in early.verdict.text
    assert late.difference.cases == 10


def test_missed_classes_leave_hd95_to_the_pairs_that_both_found(two_methods):
    spec, rows = two_methods
    rows = [r for r in rows if not (r.series == NEW and r.score.case == "case 3")]
    rows += [
        row(NEW, "case 3", step, 2.0 * step, 0.0, seed=seed, status="missed", hd95=math.nan)
        for seed in (0, 1)
        for step in (50, 100)
    ]
    ends = {each.metric: each.difference for each in findings(spec, rows).at_end}
    assert ends["dsc"].cases == 10
    assert ends["dsc"].by_case["case 3"] < -50
    assert ends["hd95_mm"].cases == 9


def test_nothing_measured_yields_no_findings(two_methods):
    spec, _ = two_methods
    assert findings(spec, []).all == ()
    assert np.isnan(common_seconds({}, {})).all()
