import pytest

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.study.ablations import ABLATIONS, AblationBasis, ablation
from napari_medcontext.core.study.arms import (
    Arm,
    arms_of,
    parse_arm,
    parse_changes,
    with_common,
)
from napari_medcontext.core.study.plan import StudySpec

BASIS = AblationBasis("paper", 4, "weights.safetensors")


def configs(name, basis=BASIS):
    return {arm.name: arm.config(RunConfig(), "unet", 7) for arm in ablation(name, basis)}


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_ablation_makes_valid_settings_and_names_of_its_own(name):
    assert len(configs(name)) == len(ablation(name, BASIS)) > 1
    for config in configs(name).values():
        assert config.training.seed == 7
        assert config.training.preview_every == 0


def test_mask_ratios_are_those_of_table_7():
    ratios = [c.masking.ratio for n, c in configs("mask-ratio").items() if n != "supervised"]
    assert ratios == [0.3, 0.4, 0.5, 0.6, 0.8]


def test_losses_are_those_of_table_8():
    objectives = {name: config.objective for name, config in configs("losses").items()}
    used = {n: (o.masked_weight > 0, o.has_consistency) for n, o in objectives.items()}
    assert used == {
        "supervised": (True, False),
        "MSL": (True, False),
        "CL": (False, True),
        "MSL and CL": (True, True),
    }
    assert [n for n, o in objectives.items() if not o.has_masked_view] == ["supervised"]


def test_teacher_is_scored_beside_the_student_where_there_is_one():
    *_, without, taught = ablation("teacher", BASIS)
    assert without.weights == ("student",)
    assert not configs("teacher")[without.name].objective.has_teacher
    assert taught.weights == ("student", "teacher", "mean")
    assert configs("teacher")[taught.name].objective.has_teacher


def test_few_shots_go_up_to_all_scans_each_against_its_own_baseline():
    arms = ablation("few-shot", BASIS)
    assert [arm.scans for arm in arms] == [1, 1, 2, 2, 3, 3, 4, 4]
    for baseline, arm in zip(arms[::2], arms[1::2], strict=True):
        assert (baseline.preset, arm.preset) == ("supervised", "paper")
        assert arm.against == baseline.name


def test_starting_point_needs_weights_and_gives_them_to_two_arms():
    started = [c.network.pretrained is not None for c in configs("starting-point").values()]
    assert started == [True, False, False, True]
    with pytest.raises(SettingsError, match="--pretrained"):
        ablation("starting-point", AblationBasis("default", 4))


def test_own_changes_of_an_arm_win_over_common_ones():
    common = parse_changes(["masking.block_size=4", "training.batch_size=1"])
    arm = parse_arm("late:default:masking.block_size=8;arm.scans=2;arm.weights=[teacher]")
    (changed,) = with_common([arm], common)
    config = changed.config(RunConfig(), "unet", 0)
    assert (config.masking.block_size, config.training.batch_size) == (8, 1)
    assert (changed.scans, changed.weights) == (2, ("teacher",))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: arms_of(["papre"]), "no preset “papre”"),
        (lambda: parse_arm("late"), "NAME:PRESET"),
        (lambda: parse_arm("late:default:ratio=1"), "section.name=value"),
        (lambda: ablation("colour", BASIS), "choose one of mask-ratio"),
        (lambda: ablation("losses", AblationBasis("supervised", 4)), "varies MedContext"),
    ],
)
def test_wrong_words_are_told(make, told):
    with pytest.raises(SettingsError, match=told):
        make()


def test_plan_that_cannot_work_is_refused(cases):
    scans = cases(ras="training", lps="training")
    arm = Arm(name="a")
    for values, told in (
        ({"arms": (arm, arm), "training": scans}, "same name"),
        ({"arms": (arm,), "training": scans, "test": scans[:1]}, "both learned from and scored"),
        ({"arms": (arm,), "training": scans[:1]}, "nothing to score"),
        ({"arms": (arm,), "training": scans, "baseline": "b"}, "no method “b”"),
    ):
        with pytest.raises(SettingsError, match=told):
            StudySpec(**values)
