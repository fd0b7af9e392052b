"""A known data set brings its settings, channels, regions and split into the Train dock."""

import numpy as np

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.data_presets import data_presets
from napari_medcontext.core.run import RunFolder


def choose(dock, name):
    box = dock.data_set.box
    box.setCurrentIndex(box.findData(name))
    box.activated.emit(box.currentIndex())


def test_settings_are_those_of_the_data_set_and_nothing_stays_of_the_one_before(train_dock):
    train_dock.set_config(RunConfig().updated({"training": {"steps": 77}}))
    choose(train_dock, "btcv-8")
    config = train_dock.config()
    assert config.data.classes == (1, 2, 3, 4, 6, 7, 8, 11)
    assert (config.data.window, config.data.patch_size) == ((-1000, 1000), (96, 96, 96))
    assert config.training.steps == 77
    choose(train_dock, "brats-2021")
    config = train_dock.config()
    assert config.data.classes is None
    assert config.data.intensity == "zscore"
    assert config.data.window == RunConfig().data.window
    assert train_dock.scans.channels == ("FLAIR", "T1", "T1-Gd", "T2")
    assert train_dock.regions.regions() == data_presets()["brats-2021"].regions
    choose(train_dock, "msd-09")
    assert train_dock.scans.channels == ()
    assert train_dock.regions.regions() == {}
    assert "no published split" in train_dock.data_set.message.text()
    choose(train_dock, None)
    assert train_dock.config().data.window == (-175, 250)


def test_published_split_says_which_scans_are_trained_on(train_dock, viewer):
    choose(train_dock, "btcv-13")
    # None of the layers is called by a number of the split: nothing is changed, and it is said.
    assert train_dock.data_set.message.text().startswith("⚠ The data preset trains on the scans")
    assert {row.role for row in train_dock.scans.rows()} == {"training"}
    viewer.layers["scan 1"].name, viewer.layers["scan 2"].name = "img0005", "img0001"
    choose(train_dock, "btcv-13")
    roles = {row.image.name: row.role for row in train_dock.scans.rows()}
    assert roles == {"img0005": "training", "img0001": "unused"}
    assert (
        "1 of these scans are to train on; 1 are to test on" in train_dock.data_set.message.text()
    )


def test_run_knows_the_classes_by_the_names_of_the_data_set(train_dock, qtbot):
    choose(train_dock, "msd-09")
    config = train_dock.config().updated(
        {
            "data": {"patch_size": (32, 16, 16)},
            "training": {"steps": 1, "preview_every": 0.0},
            "device": {"device": "cpu", "threads": 1},
        }
    )
    train_dock.set_config(config)
    with qtbot.waitSignal(train_dock.finished, timeout=120_000):
        train_dock.train_button.click()
    spec = RunFolder(train_dock.run_path.text()).spec()
    assert spec.class_names == {1: "spleen"}
    assert np.allclose(spec.config.data.window, (-175, 250))
