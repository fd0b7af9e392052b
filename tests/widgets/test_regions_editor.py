from pathlib import Path

import pytest
from napari.layers import Image, Labels
from qtpy.QtWidgets import QPushButton

from napari_medcontext.core.errors import ScanError, SettingsError
from napari_medcontext.core.io import read_volume
from napari_medcontext.layer_data import labels_layer_data
from napari_medcontext.widgets.regions_editor import RegionsEditor, brats_regions
from napari_medcontext.widgets.scan_choice import present_classes
from napari_medcontext.widgets.scan_table import ScanRow

TUMOURS = Path(__file__).parents[3] / "shared" / "data" / "brain_tumour"

BRATS = {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}


@pytest.fixture
def present():
    return {1: "", 2: "", 4: ""}


@pytest.fixture
def editor(qtbot, present):
    editor = RegionsEditor(lambda: present)
    qtbot.addWidget(editor)
    return editor


def press(editor, name):
    editor.findChild(QPushButton, f"train_regions_{name}").click()


def test_without_regions_the_table_is_empty_and_the_line_says_so(editor):
    assert editor.regions() == {}
    assert "none" in editor.text()


def test_regions_survive_the_table_and_back_in_their_order(editor, qtbot):
    with qtbot.waitSignal(editor.changed):
        editor.set_regions(BRATS)
    assert list(editor.regions().items()) == list(BRATS.items())
    assert editor.text() == "Regions: WT, TC, ET"


def test_a_typed_region_is_taken_and_a_row_left_empty_is_none(editor):
    press(editor, "add")
    press(editor, "add")
    editor.table.item(0, 0).setText(" heart ")
    editor.table.item(0, 1).setText("3,5 , 7")
    assert editor.regions() == {"heart": (3, 5, 7)}
    editor.table.setCurrentCell(0, 0)
    press(editor, "remove")
    assert editor.regions() == {}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("TC", "1, 4"), ("WT", "1, 2, 4")], "“WT” holds “TC” and must come before it"),
        ([("a", "1, 2"), ("b", "2, 3")], "overlap"),
        ([("a", "1, x")], "not “1, x”"),
        ([("a", "1"), ("a", "2")], "two regions “a”"),
        ([("", "1")], "needs a name"),
        ([("a", "")], "needs class ids"),
        ([("a", "0")], "whole numbers from 1 up"),
    ],
)
def test_a_table_that_cannot_be_learned_says_why_below_it(editor, rows, words):
    for index, (name, ids) in enumerate(rows):
        press(editor, "add")
        editor.table.item(index, 0).setText(name)
        editor.table.item(index, 1).setText(ids)
    assert words in editor.message.text()
    assert not editor.message.isHidden()
    assert "to be mended" in editor.text()
    with pytest.raises(SettingsError):
        editor.regions()
    editor.set_regions({})
    assert editor.message.isHidden()


@pytest.mark.parametrize(
    ("classes", "core", "enhancing"),
    [
        ({1: "", 2: "", 4: ""}, (1, 4), (4,)),
        ({1: "", 2: "", 3: "", 4: ""}, (1, 3, 4), (4,)),
        ({1: "", 2: "", 3: ""}, (1, 3), (3,)),
        ({1: "edema", 2: "non-enhancing tumour", 3: "enhancing tumour"}, (2, 3), (3,)),
        ({1: "necrosis", 2: "Oedema", 4: "enhancing", 255: ""}, (1, 4), (4,)),
        ({}, (1, 4), (4,)),
        ({1: ""}, (1, 4), (4,)),
    ],
)
def test_tumour_regions_follow_the_ids_and_names_that_are_there(classes, core, enhancing):
    tumour = tuple(k for k in classes if k < 5) if len(classes) > 2 else (1, 2, 4)
    assert brats_regions(classes) == {"WT": tumour, "TC": core, "ET": enhancing}


def test_brats_button_fills_in_by_what_the_labels_hold(editor, present):
    press(editor, "brats")
    assert editor.regions() == BRATS
    present[3] = present.pop(4)
    press(editor, "brats")
    assert editor.regions() == {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}


def test_brats_button_tells_of_labels_that_are_none(qtbot):
    def fail():
        raise ScanError("“map” cannot be labels")

    editor = RegionsEditor(fail)
    qtbot.addWidget(editor)
    press(editor, "brats")
    assert "“map” cannot be labels" in editor.message.text()


def test_every_control_says_what_it_does(editor):
    assert editor.table.toolTip()
    own = [b for b in editor.findChildren(QPushButton) if b.objectName()]
    assert len(own) == 3
    assert all(button.toolTip() for button in own)


@pytest.mark.realdata
@pytest.mark.skipif(not TUMOURS.is_dir(), reason="the tumours are not beside the checkout")
def test_regions_of_a_real_tumour_follow_from_its_labels():
    data, attributes, _ = labels_layer_data(read_volume(TUMOURS / "case_01_label.nii.gz"))
    labels = Labels(data, **attributes)
    unused = Labels(data * 0 + 9)
    rows = [
        ScanRow(Image(data), labels, "training"),
        ScanRow(Image(data), None, "training"),
        ScanRow(Image(data), unused, "preview"),
    ]
    regions = brats_regions(present_classes(rows))
    assert regions == {"WT": (1, 2, 3, 4), "TC": (1, 3, 4), "ET": (4,)}
