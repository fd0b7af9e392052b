import pytest

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.presets import PRESETS, find_preset, with_preset

ODD = {
    "objective": {"method": "supervised", "views": "one", "masked_share": 0.1, "momentum": 0.1},
    "masking": {"ratio": 0.9, "block_size": 3, "scheme": "blocks"},
    "network": {"name": "unetr"},
    "training": {"steps": 7},
}


def test_default_is_what_a_new_run_has():
    assert with_preset(RunConfig(), "default") == RunConfig()


@pytest.mark.parametrize("name", PRESETS)
def test_preset_means_the_same_whatever_was_set_before(name):
    odd = with_preset(RunConfig().updated(ODD), name)
    fresh = with_preset(RunConfig().updated({"network": {"name": "unetr"}}), name)
    assert (odd.objective, odd.masking) == (fresh.objective, fresh.masking)
    assert (odd.network, odd.training.steps, odd.data) == (fresh.network, 7, fresh.data)
    assert fresh == RunConfig().updated({"network": {"name": "unetr"}}).updated(PRESETS[name])


def test_supervised_has_neither_masks_nor_teacher():
    objective = with_preset(RunConfig(), "supervised").objective
    assert not objective.has_masked_view
    assert not objective.has_teacher


@pytest.mark.parametrize(("name", "ratio"), [("paper", 0.4), ("released-code", 0.6)])
def test_published_presets_are_equation_4_with_the_published_numbers(name, ratio):
    config = with_preset(RunConfig().updated({"network": {"name": "unetr"}}), name)
    objective, masking = config.objective, config.masking
    assert (objective.method, objective.views) == ("medcontext", "two")
    assert (objective.masked_weight, objective.consistency_weight) == (1.0, 0.5)
    assert (objective.masked_share, objective.masked_start) == (1.0, 0.0)
    assert (objective.masked_ramp, objective.consistency_ramp) == (0.0, 0.0)
    assert (objective.momentum, objective.momentum_schedule) == (0.996, "paper")
    assert (masking.scheme, masking.site, masking.ratio) == ("tube", "tokens", ratio)
    assert masking.ratio_range is None


def test_published_presets_hide_voxels_where_a_network_has_no_tokens():
    assert with_preset(RunConfig(), "paper").masking.site == "voxels"


@pytest.mark.parametrize(
    ("name", "labels", "teacher"),
    [("masked-loss-only", True, False), ("consistency-only", False, True)],
)
def test_each_half_of_the_masked_objective_stands_alone(name, labels, teacher):
    objective = with_preset(RunConfig(), name).objective
    assert objective.has_masked_view
    assert (objective.masked_weight > 0, objective.has_consistency) == (labels, teacher)
    assert objective.has_teacher is teacher


def test_one_pass_masks_half_of_the_patches_without_a_teacher():
    objective = with_preset(RunConfig(), "one-pass").objective
    assert (objective.views, objective.masked_share) == ("one", 0.5)
    assert objective.has_masked_view
    assert not objective.has_teacher


def test_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(SettingsError) as error:
        find_preset("magic")
    assert all(name in str(error.value) for name in PRESETS)
