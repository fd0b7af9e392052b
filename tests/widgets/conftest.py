"""A window, and the Train dock in it; what a user set before is never touched."""

import tempfile

import pytest
from dock_helpers import add_scan, docked

from napari_medcontext.widgets.train import TrainDock

TINY = {
    "data": {"patch_size": (32, 16, 16)},
    "training": {"steps": 4, "preview_every": 0.0, "batch_size": 1},
    "device": {"device": "cpu", "threads": 1},
}


@pytest.fixture(autouse=True)
def _own_preferences(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture(autouse=True)
def _nobody_is_asked(monkeypatch):
    # A test that failed in mid-run would wait for ever for somebody to answer.
    monkeypatch.setattr("napari_medcontext.widgets.session.ask_on_close", lambda *_: "stop")


@pytest.fixture(autouse=True)
def _beats_come_soon(monkeypatch):
    # However slowly this machine draws, what follows a run is drawn before a test gives up.
    monkeypatch.setattr("napari_medcontext.widgets.beat.LONGEST", 2.0)


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def train_dock(viewer, tmp_path):
    """The Train dock with two scans and settings that train on them within seconds."""
    for number in (1, 2):
        add_scan(viewer, number)
    dock = docked(viewer, TrainDock)
    dock.run_path.setText(str(tmp_path / "run"))
    dock.set_config(dock.config().updated(TINY))
    return dock


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder in which temporary ones are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder
