"""A study that is too large to be held is checked and trained on scan by scan, off the window."""

import threading

import numpy as np
import pytest
from conftest import TINY
from dock_helpers import AFFINE, anatomy, docked, finish

from napari_medcontext import lazy_study
from napari_medcontext.core.io import read_volume, write_volume
from napari_medcontext.core.volume import Volume
from napari_medcontext.widgets.train import TrainDock


@pytest.fixture
def dock(viewer, tmp_path, monkeypatch):
    """The Train dock beside a study of three scans that opened lazily; ``dock.reads`` fills."""
    for number in (1, 2, 3):
        image, organ = anatomy(number)
        # Tidy edges, and no two organs alike.
        organ[number, 8, 8] = 3
        name = f"case_{number}.nii.gz"
        write_volume(tmp_path / "study" / "images" / name, Volume(image, AFFINE))
        write_volume(tmp_path / "study" / "labels" / name, Volume(organ, AFFINE, "", {3: "box"}))
    monkeypatch.setattr(lazy_study, "HELD_BYTES", 1)
    viewer.open(str(tmp_path / "study"), plugin="napari-medcontext")
    dock = docked(viewer, TrainDock)
    dock.run_path.setText(str(tmp_path / "run"))
    dock.set_config(dock.config().updated(TINY))
    whole, dock.reads = lazy_study.read_volume, []

    def noted(path, **kwargs):
        assert threading.current_thread() is not threading.main_thread()
        dock.reads.append(path.name)
        return whole(path, **kwargs)

    monkeypatch.setattr(lazy_study, "read_volume", noted)
    return dock


def test_scans_are_read_one_by_one_beside_the_window(dock, qtbot, tmp_path):
    assert [row.role for row in dock.scans.rows()] == ["training"] * 3
    assert dock.reads == []
    with qtbot.waitSignal(dock.check._worker.done, timeout=200_000):
        dock.check.check_button.click()
    assert sorted(dock.reads) == [f"case_{number}.nii.gz" for number in (1, 2, 3)]
    assert dock.check.findings == []
    dock.reads.clear()
    finish(qtbot, dock, dock.train_button.click)
    assert "Finished 4 steps" in dock.message.text()
    assert sorted(dock.reads) == [f"case_{number}.nii.gz" for number in (1, 2, 3)]
    for number in (1, 2, 3):
        trained = read_volume(tmp_path / "run" / "scans" / f"{number - 1:02d}-image.nii")
        source = read_volume(tmp_path / "study" / "images" / f"case_{number}.nii.gz")
        np.testing.assert_array_equal(trained.reoriented(source.orientation).array, source.array)
        np.testing.assert_allclose(
            trained.reoriented(source.orientation).affine, source.affine, atol=1e-5
        )


def test_scan_that_is_damaged_is_named_and_nothing_is_trained(dock, qtbot, tmp_path):
    path = tmp_path / "study" / "images" / "case_2.nii.gz"
    path.write_bytes(path.read_bytes()[:-500])
    finish(qtbot, dock, dock.train_button.click)
    assert "case_2.nii.gz cannot be read to its end" in dock.message.text()
    assert not (tmp_path / "run" / "run.yaml").exists()
