from pathlib import Path

import pytest
from dock_helpers import OTHER_MASKING
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QFileDialog, QLineEdit, QPushButton

from napari_medcontext.core.config import RunConfig
from napari_medcontext.widgets.forms import SectionForm

SECTIONS = {name: field.annotation for name, field in RunConfig.model_fields.items()}
OTHERS = {
    "network": {"name": "unetr", "size": "paper", "pretrained": Path("/weights/swin vit.pt")},
    "data": {
        "intensity": "window",
        "window": (-1000.0, 1000.5),
        "spacing": (1.5, 1.5, 2.0),
        "patch_size": (96, 96, 96),
        "augmentation": "paper",
        "ignore_label": 255,
        "resample": True,
        "classes": (1, 4, 11),
    },
    "masking": OTHER_MASKING,
    "objective": {
        "method": "supervised",
        "views": "one",
        "masked_weight": 0.3,
        "masked_share": 0.25,
        "masked_start": 0.125,
        "masked_ramp": 0.375,
        "consistency_weight": 0.05,
        "consistency_ramp": 1.0,
        "keep_teacher": True,
        "momentum": 0.9996,
        "momentum_schedule": "paper",
    },
    "training": {
        "steps": 100_000,
        "batch_size": 4,
        "learning_rate": 3e-5,
        "weight_decay": 1e-8,
        "warmup_steps": 0,
        "gradient_clip": 0.0,
        "seed": 12,
        "validate_every": 7,
        "preview_every": 2.5,
        "kept_previews": 7,
        "checkpoint_every": 1.25,
    },
    "device": {"device": "cpu", "precision": "float32", "threads": 3},
}


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("changed", [False, True], ids=["defaults", "others"])
def test_every_setting_survives_the_form_and_back(qtbot, section, changed):
    settings = SECTIONS[section](**(OTHERS[section] if changed else {}))
    assert set(OTHERS[section]) == set(SECTIONS[section].model_fields)
    form = SectionForm(SECTIONS[section])
    qtbot.addWidget(form)
    form.set_values(settings.model_dump())
    assert SECTIONS[section](**form.values()) == settings


def test_scrolling_over_any_editor_changes_no_setting(qtbot):
    for section in SECTIONS.values():
        form = SectionForm(section)
        qtbot.addWidget(form)
        form.show()
        before = form.values()
        for name in section.model_fields:
            widget = form.widget(name)
            widget.setFocus()
            event = QWheelEvent(
                QPointF(5, 5), QPointF(5, 5), QPoint(0, -120), QPoint(0, -120),
                Qt.NoButton, Qt.NoModifier, Qt.NoScrollPhase, False,
            )  # fmt: skip
            QApplication.sendEvent(widget, event)
        assert form.values() == before


def test_every_field_has_a_tooltip_that_says_what_it_does_and_its_unit(qtbot):
    for section in SECTIONS.values():
        form = SectionForm(section)
        qtbot.addWidget(form)
        for name, field in section.model_fields.items():
            tip = form.widget(name).toolTip()
            assert field.description in tip
            unit = (field.json_schema_extra or {}).get("unit", "")
            assert unit in tip


def test_an_empty_editor_says_what_that_means(qtbot):
    said = {
        ("data", "ignore_label"): "there is none",
        ("masking", "block_size_mm"): "as given in voxels",
        ("training", "learning_rate"): "the network's own",
        ("network", "pretrained"): "random weights",
    }
    for (section, name), words in said.items():
        form = SectionForm(SECTIONS[section], (name,))
        qtbot.addWidget(form)
        editor = form.widget(name)
        line = editor if isinstance(editor, QLineEdit) else editor.findChild(QLineEdit)
        assert line.placeholderText() == words
        assert form.values() == {name: None}


def test_a_file_is_chosen_with_a_button(qtbot, monkeypatch, tmp_path):
    form = SectionForm(SECTIONS["network"], ("pretrained",))
    qtbot.addWidget(form)
    chosen = str(tmp_path / "weights.pt")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (chosen, ""))
    with qtbot.waitSignal(form.changed):
        form.findChild(QPushButton, "setting_browse").click()
    assert form.values() == {"pretrained": tmp_path / "weights.pt"}
