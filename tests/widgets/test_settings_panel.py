import pytest

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.widgets.settings_panel import SettingsPanel

CHANGED = {
    "network": {"name": "unetr", "size": "paper"},
    "data": {"patch_size": (96, 96, 96), "spacing": (1.5, 1.5, 2.0), "intensity": "window"},
    "masking": {"ratio": 0.35, "block_size": 8, "axis": "y"},
    "objective": {"method": "supervised", "consistency_weight": 3e-5, "momentum": 0.9999},
    "training": {"steps": 17, "learning_rate": 3e-5, "weight_decay": 1e-8, "seed": 4},
    "device": {"device": "cpu", "threads": 3},
}


@pytest.fixture
def panel(qtbot):
    panel = SettingsPanel()
    qtbot.addWidget(panel)
    return panel


def test_every_setting_survives_the_form_and_back(panel):
    config = RunConfig().updated(CHANGED)

    panel.set_config(config)

    assert panel.config() == config


def test_an_untouched_form_says_the_defaults(panel):
    assert panel.config() == RunConfig()


def test_a_folded_section_says_in_one_line_what_lies_beneath(panel):
    panel.set_config(RunConfig().updated({"training": {"batch_size": 7}, "masking": {"axis": "x"}}))

    texts = [fold.text() for fold in panel._folds.values()]
    assert any("7 patches a step" in text for text in texts)
    assert any("columns along x" in text for text in texts)


def test_a_patch_that_the_network_cannot_take_names_one_that_fits(panel):
    panel.set_config(RunConfig().updated({"data": {"patch_size": (60, 64, 32)}}))

    with pytest.raises(SettingsError, match="64"):
        panel.config()


def test_every_editor_says_what_it_does(panel):
    from qtpy.QtWidgets import QWidget

    editors = [w for w in panel.findChildren(QWidget) if w.objectName().startswith("setting_")]
    assert len(editors) >= 20
    assert all(len(editor.toolTip()) > 15 for editor in editors)
