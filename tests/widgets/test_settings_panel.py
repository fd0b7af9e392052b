import sys
from pathlib import Path

import pytest
from dock_helpers import OTHER_MASKING
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.networks import NETWORKS
from napari_medcontext.core.presets import PRESETS, with_preset
from napari_medcontext.widgets.method_box import WORDS
from napari_medcontext.widgets.settings_panel import SettingsPanel

CHANGED = {
    "network": {"name": "unetr", "size": "paper", "pretrained": Path("/weights/vit.pt")},
    "data": {"patch_size": (96, 96, 96), "spacing": (1.5, 1.5, 2.0), "intensity": "window"},
    "masking": OTHER_MASKING,
    "objective": {"method": "supervised", "consistency_weight": 3e-5, "momentum": 0.9999},
    "training": {"steps": 17, "learning_rate": 3e-5, "weight_decay": 1e-8, "seed": 4},
    "device": {"device": "cpu", "threads": 3},
}
OBJECTIVE = {
    "views": "one",
    "masked_weight": 0.3,
    "masked_share": 0.25,
    "masked_start": 0.125,
    "masked_ramp": 0.375,
    "consistency_ramp": 0.5,
    "keep_teacher": True,
}
PATCH = {"data": {"patch_size": (64, 64, 32)}}


@pytest.fixture
def panel(qtbot):
    panel = SettingsPanel()
    qtbot.addWidget(panel)
    return panel


@pytest.mark.parametrize("changes", [CHANGED, CHANGED | {"objective": OBJECTIVE}])
def test_every_setting_survives_the_form_and_back(panel, changes):
    config = RunConfig().updated(changes)

    panel.set_config(config)

    assert panel.config() == config


def test_an_untouched_form_says_the_defaults(panel):
    assert panel.config() == RunConfig()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training": {"batch_size": 7}}, "7 patches a step"),
        ({"masking": {"axis": "x"}}, "Masking: columns along x"),
        ({}, "Masking: columns along the slice axis"),
        ({"masking": {"scheme": "blocks"}}, "Masking: boxes"),
        (
            {"network": {"name": "unetr"}, "masking": {"scheme": "blocks", "site": "tokens"}},
            "Masking: boxes, in tokens",
        ),
        ({"masking": {"scheme": "structure"}}, "Masking: a structure among decoys"),
        ({"masking": {"ratio_range": (0.2, 0.6)}}, "20 to 60 %"),
        ({"masking": {"block_size_mm": 12.5}}, "12.5 mm wide"),
        ({"objective": {"method": "supervised"}}, "Masking: none"),
        ({"objective": {"method": "supervised"}}, "Objective: labels on whole patches, no teacher"),
        ({}, "Objective: two views, teacher λ from 0.996, run length"),
        (
            {"objective": {"views": "one", "masked_share": 0.5, "consistency_weight": 0.0}},
            "Objective: one view, 50 % masked, no teacher",
        ),
        ({"objective": {"masked_start": 0.25}}, "masking after 25 % of the run"),
        (
            {"objective": {"masked_start": 0.25, "masked_ramp": 0.5}},
            "masking rises between 25 and 75 % of the run",
        ),
        ({"objective": {"masked_weight": 0.3}}, "masked loss × 0.3"),
        ({"objective": {"consistency_ramp": 0.3}}, "β rising"),
        ({}, "Network: starts from random weights"),
        ({"network": {"pretrained": "/weights/vit.pt"}}, "Network: starts from vit.pt"),
        ({"data": {"ignore_label": 255}}, "id 255 is unknown"),
        ({"data": {"resample": True}}, "labels resampled onto scans"),
    ],
)
def test_a_folded_section_says_in_one_line_what_lies_beneath(panel, changes, words):
    panel.set_config(RunConfig().updated(changes))

    assert any(words in fold.text() for fold in panel._folds.values())


def test_a_patch_that_the_network_cannot_take_names_one_that_fits(panel):
    panel.set_config(RunConfig().updated({"data": {"patch_size": (60, 64, 32)}}))

    with pytest.raises(SettingsError, match="64"):
        panel.config()


def test_tokens_of_a_network_that_has_none_are_refused_at_once(panel):
    panel.set_config(RunConfig().updated({"masking": {"site": "tokens"}}))

    with pytest.raises(SettingsError, match="unet has no tokens"):
        panel.config()


def test_every_editor_says_what_it_does(panel):
    editors = [w for w in panel.findChildren(QWidget) if w.objectName().startswith("setting_")]
    assert len(editors) >= 35
    assert all(len(editor.toolTip()) > 15 for editor in editors)


# Networks


def test_all_networks_are_offered_by_their_titles(panel):
    box = panel.network
    offered = {box.itemData(index): box.itemText(index) for index in range(box.count())}
    assert {name: entry.title for name, entry in NETWORKS.items()}.items() <= offered.items()


def test_a_network_of_somebody_elses_is_kept_and_never_imported(panel, tmp_path, monkeypatch):
    (tmp_path / "somebodys_network.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    odd = {"network": {"name": "somebodys_network:build"}, "data": {"patch_size": (61, 7, 32)}}
    config = RunConfig().updated(odd)

    panel.set_config(config)
    assert panel.config() == config
    for name in WORDS:
        panel.method.setCurrentIndex(panel.method.findData(name))
        assert panel.config().network == config.network
    panel.network.choose("unet")
    panel.network.choose("somebodys_network:build")
    assert panel.config().network == config.network
    assert "somebodys_network" not in sys.modules


# Ways to train


def choose(panel, method):
    panel.method.setCurrentIndex(panel.method.findData(method))


def test_every_preset_is_offered_in_words_with_what_it_does_and_costs(panel):
    assert set(WORDS) == set(PRESETS)
    box = panel.method
    tips = [box.itemData(index, Qt.ItemDataRole.ToolTipRole) for index in range(box.count())]
    assert len(set(tips)) == len(PRESETS)
    assert all("step" in tip for tip in tips)
    assert box.toolTip() == tips[box.currentIndex()]


@pytest.mark.parametrize("network", ["unet", "unetr"])
@pytest.mark.parametrize("name", PRESETS)
def test_choosing_a_way_to_train_sets_what_its_preset_does(panel, name, network):
    config = RunConfig().updated(PATCH | {"network": {"name": network}, "training": {"steps": 7}})
    panel.set_config(config.updated({"masking": {"ratio": 0.9}, "objective": OBJECTIVE}))
    assert panel.method.currentData() == "custom"

    choose(panel, name)

    assert panel.config() == with_preset(config, name)
    assert panel.method.currentData() == name


@pytest.mark.parametrize("name", PRESETS)
def test_settings_of_a_preset_are_told_by_its_name(panel, name):
    panel.set_config(with_preset(RunConfig(), name))

    assert panel.method.currentData() == name


def test_a_changed_setting_makes_it_a_way_of_ones_own_which_a_look_at_another_does_not_lose(panel):
    panel._main["masking"].widget("ratio").setValue(0.55)
    assert panel.method.currentData() == "custom"
    own = panel.config()
    choose(panel, "supervised")
    assert panel.config().objective.method == "supervised"
    choose(panel, "custom")
    assert panel.config() == own
    panel._main["masking"].widget("ratio").setValue(0.4)
    assert panel.method.currentData() == "default"


def test_a_published_way_hides_tokens_wherever_the_network_has_them(panel):
    choose(panel, "paper")
    assert panel.config().masking.site == "voxels"
    panel.network.choose("unetr")
    assert panel.config().masking.site == "tokens"
    panel.network.choose("unet")
    assert panel.config().masking.site == "voxels"
    assert panel.method.currentData() == "paper"


def test_another_network_leaves_masks_of_ones_own_alone(panel):
    panel.set_config(RunConfig().updated({"masking": {"ratio": 0.55, "block_size": 8}}))
    before = panel.config()
    panel.network.choose("unetr")
    assert panel.config() == before.updated({"network": {"name": "unetr"}})
