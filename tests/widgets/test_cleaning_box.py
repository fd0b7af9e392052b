"""A prediction is tidied into a copy, and both are scored side by side."""

import numpy as np
import pytest
from dock_helpers import docked
from scipy import ndimage
from typer.testing import CliRunner

from napari_medcontext.cli import app
from napari_medcontext.core.io import list_scans, read_volume
from napari_medcontext.layer_geometry import world_matrix
from napari_medcontext.widgets.compare import CompareDock

NAMES = {1: "liver", 2: "spleen"}


@pytest.fixture
def layers(viewer):
    reference = np.zeros((10, 12, 14), np.uint8)
    reference[2:6, 2:6, 2:6] = 1
    reference[7:9, 8:11, 8:12] = 2
    predicted = reference.copy()
    predicted[9, 0, 0] = 1
    predicted[3, 3, 3] = 0
    return [
        viewer.add_labels(
            array,
            name=name,
            scale=(5.0, 2.0, 1.0),
            features={"index": list(NAMES), "class": list(NAMES.values())},
            metadata={"medcontext": noted},
        )
        for name, array, noted in (
            ("organs", reference, {}),
            ("predicted", predicted, {"prediction_of": "scan"}),
        )
    ]


@pytest.fixture
def dock(viewer, layers):
    dock = docked(viewer, CompareDock)
    dock.choose(layers[1], layers[0])
    return dock


def clean(dock, qtbot) -> None:
    with qtbot.waitSignal(dock.compared, timeout=60_000):
        dock.cleaning.clean_button.click()


def test_scores_before_and_after_stand_side_by_side(viewer, dock, qtbot, layers):
    before = layers[1].data.copy()
    assert not dock.cleaning.clean_button.isEnabled()
    dock.cleaning.largest.setChecked(True)
    dock.cleaning.holes.setChecked(True)
    assert dock.cleaning.text() == "Clean up: largest pieces, holes filled"
    clean(dock, qtbot)
    tidied = viewer.layers["predicted · cleaned"]
    np.testing.assert_array_equal(tidied.data, layers[0].data)
    np.testing.assert_array_equal(layers[1].data, before)
    np.testing.assert_array_equal(tidied.scale, layers[1].scale)
    assert tidied.features.equals(layers[1].features)
    liver = {score.case: score for score in dock.scores if score.class_name == "liver"}
    assert liver["predicted · cleaned"].dsc == 1.0
    assert liver["predicted"].dsc < 1.0
    count = len(viewer.layers)
    clean(dock, qtbot)
    assert len(viewer.layers) == count


def test_small_pieces_go_by_their_volume(viewer, dock, qtbot, layers):
    dock.cleaning.least.setValue(0.02)
    clean(dock, qtbot)
    assert viewer.layers["predicted · cleaned"].data[9, 0, 0] == 0
    assert viewer.layers["predicted · cleaned"].data[3, 3, 3] == 0


def test_nested_regions_are_refused(dock, qtbot, layers):
    noted = {"affine": np.eye(4), "shown": world_matrix(layers[1]), "regions": {"whole": (1, 2)}}
    layers[1].metadata = {"medcontext": noted}
    dock.cleaning.largest.setChecked(True)
    with qtbot.waitSignal(dock.cleaning.failed):
        dock.cleaning.clean_button.click()
    assert "nested regions" in dock.error.text()


def test_command_writes_what_is_left(finished_run, study, tmp_path):
    def called(*more):
        words = ("predict", finished_run.path, study / "images", "--out", tmp_path / "out", *more)
        return CliRunner().invoke(app, [str(word) for word in words])

    assert called().exit_code == 0
    whole = {path.name: read_volume(path).array for path in list_scans(tmp_path / "out")}
    refused = called("--largest")
    assert refused.exit_code != 0
    assert "these weights did not make" in str(refused.exception)
    assert called("--largest", "--overwrite").exit_code == 0
    connected = np.ones((3, 3, 3))
    for path in list_scans(tmp_path / "out"):
        array = read_volume(path).array
        assert set(np.unique(array)) == set(np.unique(whole[path.name]))
        for class_id in set(np.unique(array)) - {0}:
            assert ndimage.label(array == class_id, connected)[1] == 1
