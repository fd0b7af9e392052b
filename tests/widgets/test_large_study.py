"""A study that is too large to be held is checked and trained on scan by scan, off the window."""

import threading

import dask.array
import numpy as np
import pytest
from conftest import TINY
from dock_helpers import AFFINE, anatomy, docked, finish

from napari_medcontext import lazy_study
from napari_medcontext.core.io import read_volume, write_volume
from napari_medcontext.core.volume import Volume
from napari_medcontext.widgets.predict import PredictDock
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
    whole, dock.reads, dock.threads = lazy_study.read_volume, [], set()
    in_memory = dask.array.Array.__array__

    def noted(path, **kwargs):
        dock.reads.append(path.name)
        return whole(path, **kwargs)

    def asked(array, *args, **kwargs):
        dock.threads.add(threading.current_thread())
        return in_memory(array, *args, **kwargs)

    monkeypatch.setattr(lazy_study, "read_volume", noted)
    # dask reads in threads of its own, whoever asks for it.
    monkeypatch.setattr(dask.array.Array, "__array__", asked)
    return dock


@pytest.mark.slow
def test_scans_are_read_one_by_one_beside_the_window(dock, qtbot, tmp_path):
    assert [row.role for row in dock.scans.rows()] == ["training"] * 3
    assert dock.reads == []
    with qtbot.waitSignal(dock.check._worker.done, timeout=200_000):
        dock.check.check_button.click()
    assert sorted(dock.reads) == [f"case_{number}.nii.gz" for number in (1, 2, 3)]
    assert dock.check.findings == []
    assert threading.main_thread() not in dock.threads
    dock.reads.clear()
    finish(qtbot, dock, dock.train_button.click)
    assert "Finished 4 steps" in dock.message.text()
    assert threading.main_thread() not in dock.threads
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


def test_check_finds_the_damaged_scan_among_the_others(dock, qtbot, tmp_path):
    path = tmp_path / "study" / "images" / "case_2.nii.gz"
    path.write_bytes(path.read_bytes()[:-500])
    with qtbot.waitSignal(dock.check._worker.done, timeout=200_000):
        dock.check.check_button.click()
    (finding,) = [found for found in dock.check.findings if found.stops]
    assert list(finding.scans) == ["case_2"]
    assert "case_2.nii.gz cannot be read to its end" in finding.what


def test_scans_are_predicted_from_their_own_files(dock, viewer, qtbot, tmp_path, finished_run):
    dock.reads.clear()
    predict = docked(viewer, PredictDock)
    predict.run_path.setText(str(finished_run.path))
    predict.tick([viewer.layers["case_1"], viewer.layers["case_2"]])
    finish(qtbot, predict, predict.predict_button.click)
    assert "Predicted 2 scans" in predict.message.text()
    assert dock.reads == []
    made = viewer.layers["case_2 · finished student"]
    assert isinstance(made.data, np.ndarray)
    np.testing.assert_allclose(
        made.data_to_world((1, 2, 3)), viewer.layers["case_2"].data_to_world((1, 2, 3))
    )
    assert not (finished_run.path / "predicted").exists()


def test_scan_that_was_exported_again_is_not_taken_for_the_one_that_was_opened(dock, tmp_path):
    image, _ = anatomy(2)
    path = tmp_path / "study" / "images" / "case_2.nii.gz"
    write_volume(path, Volume(image, np.diag([1.0, 1.0, 1.0, 1.0])))
    dock.train_button.click()
    assert "was changed since" in dock.message.text()
    assert not (tmp_path / "run" / "run.yaml").exists()
