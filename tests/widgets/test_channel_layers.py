"""Layers of one channel each are one scan: trained on, predicted and looked into together."""

import pytest
from dock_helpers import AFFINE, anatomy, docked, finish

from napari_medcontext.core.io import read_volume
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.volume import Volume
from napari_medcontext.layer_channels import channel_layers
from napari_medcontext.layer_data import image_layer_data, labels_layer_data
from napari_medcontext.widgets.inspector import Inspector
from napari_medcontext.widgets.predict import PredictDock

NAMES = ("FLAIR", "T1")


def add_image(viewer, array, name):
    data, attributes, _ = image_layer_data(Volume(array, AFFINE, name))
    return viewer.add_image(data, **attributes)


@pytest.fixture
def dock(viewer, train_dock):
    """The Train dock with two scans of two channels, and no other."""
    viewer.layers.clear()
    for number in (1, 2):
        image, organ = anatomy(number)
        # The second channel first: names say the order, not the list of layers.
        add_image(viewer, -image, f"case {number}_t1")
        add_image(viewer, image, f"case {number}_FLAIR")
        organs = Volume(organ, AFFINE, f"case {number} organs", {3: "box"})
        data, attributes, _ = labels_layer_data(organs)
        viewer.add_labels(data, **attributes)
    train_dock.channels.setText("FLAIR, T1")
    train_dock.channels.editingFinished.emit()
    return train_dock


def test_each_scan_has_one_row_and_its_labels(dock):
    rows = [(row.image.name, row.labels.name, row.role) for row in dock.scans.rows()]
    assert rows == [
        ("case 1_FLAIR", "case 1 organs", "training"),
        ("case 2_FLAIR", "case 2 organs", "training"),
    ]
    assert "channels FLAIR, T1" in dock.preflight.text()
    dock.channels.setText("")
    dock.channels.editingFinished.emit()
    assert len(dock.scans.rows()) == 4


def test_missing_double_and_unnamed_channels_are_told_by_their_layers(dock, viewer):
    viewer.layers["case 2_t1"].name = "case 2_T2"
    assert "“case 2” has no layer of the channel T1" in dock.preflight.text()
    viewer.layers["case 2_T2"].name = "case 2_T1"
    assert dock.preflight.text().startswith("✓ 2 to train on")
    twin = add_image(viewer, anatomy(3)[0], "case 2_t1")
    dock.train()
    assert "are the same channel of “case 2”" in dock.message.text()
    viewer.layers.remove(twin)
    dock.channels.setText("FLAIR, flair")
    dock.channels.editingFinished.emit()
    assert "named twice" in dock.preflight.text()


@pytest.mark.slow
def test_training_prediction_and_inspection_take_all_channels(dock, viewer, qtbot):
    finish(qtbot, dock, dock.train_button.click)
    run = RunFolder(dock.run_path.text())
    spec = run.spec()
    assert spec.channels == NAMES
    for case in spec.cases:
        first, second = (read_volume(path) for path in (case.image, *case.further))
        assert (first.array == -second.array).all()
    predict = docked(viewer, PredictDock)
    predict.run_path.setText(str(run.path))
    # Whichever of its layers is ticked, or both: it is one scan.
    predict.tick([viewer.layers["case 1_t1"], viewer.layers["case 1_FLAIR"]])
    with qtbot.waitSignal(predict.finished, timeout=120_000):
        predict.predict_button.click()
    assert "Predicted 1 scan" in predict.message.text()
    assert f"case 1_FLAIR · {run.name} student" in viewer.layers
    predict.tick([viewer.layers["case 1_FLAIR"]])
    viewer.layers.remove("case 1_t1")
    predict.predict()
    assert "“case 1” has no layer of the channel T1" in predict.message.text()
    from napari_medcontext.widgets.inspect import InspectDock

    inspect = docked(viewer, InspectDock)
    inspect.inputs.run_path.setText(str(run.path))
    inspect.inputs.choose(viewer.layers["case 2_FLAIR"])
    question = Inspector(viewer, inspect.inputs).load()
    with qtbot.waitSignal(question.answered, timeout=120_000) as answered:
        pass
    assert answered.args[0].image.ndim == 3


def test_layer_of_no_channel_is_told_what_to_be_called(viewer):
    image = add_image(viewer, anatomy(1)[0], "scan")
    assert channel_layers(image, viewer.layers, ()) == (image,)
    with pytest.raises(Exception, match="Rename the layer, for example to “scan_FLAIR”"):
        channel_layers(image, viewer.layers, NAMES)
