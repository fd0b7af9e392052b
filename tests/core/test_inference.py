from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import nn

from napari_medcontext.core.classes import Classes
from napari_medcontext.core.device import Compute
from napari_medcontext.core.errors import RunError, ScanError
from napari_medcontext.core.inference import (
    Cancelled,
    Predictor,
    drained,
    load_predictor,
)
from napari_medcontext.core.io import read_volume, write_volume
from napari_medcontext.core.volume import Volume
from napari_medcontext.core.windows import windowed_probabilities

CPU = Compute(torch.device("cpu"), "float32")


class Brightness(nn.Module):
    """Tell the study's classes by their intensity in a window: 100, 180 or 300."""

    def forward(self, image):
        means = torch.tensor([0.2, 0.36, 0.6]).view(1, 3, 1, 1, 1)
        return -((image - means) ** 2) * 2000


@pytest.fixture
def predictor(tiny_config):
    config = tiny_config.updated(
        {"data": {"intensity": "window", "window": (0, 500), "patch_size": (16, 16, 16)}}
    )
    classes = Classes((0, 2, 5), {2: "liver", 5: "spleen"})
    return Predictor([Brightness()], config, classes, (1.0, 1.0, 1.0), CPU)


@pytest.mark.parametrize(
    "grid",
    [
        ("RAS", (1.0, 1.0, 1.0), (24, 24, 20)),
        ("LPS", (1.0, 1.0, 1.0), (24, 24, 20)),
        ("SPL", (2.5, 1.0, 1.0), (8, 24, 24)),
        ("IAR", (1.0, 2.0, 1.0), (12, 12, 24)),
    ],
)
def test_labels_lie_exactly_on_a_scan_of_any_orientation_and_spacing(predictor, make_scan, grid):
    image, labels = make_scan("a", *grid)
    prediction = drained(predictor.predict(image, probabilities=True), lambda: False)
    assert prediction.labels.shape == image.shape
    np.testing.assert_array_equal(prediction.labels.affine, image.affine)
    assert prediction.labels.class_names == {2: "liver", 5: "spleen"}
    for class_id in (2, 5):
        found, wanted = prediction.labels.array == class_id, labels.array == class_id
        assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.75
        probability = prediction.probabilities[class_id]
        assert probability.shape == image.shape
        assert probability[wanted].mean() > 0.7 > 0.3 > probability[labels.array == 0].mean()


TURNED = Rotation.from_euler("zx", [22, 9], degrees=True).as_matrix()


@pytest.mark.parametrize("turn", [np.eye(3), TURNED], ids=["straight", "oblique"])
@pytest.mark.parametrize("orientation", ["RAS", "LPS", "SAR"])
def test_saved_prediction_has_shape_affine_and_place_of_its_source(
    predictor, make_scan, tmp_path, orientation, turn
):
    image, labels = make_scan("a", orientation, (1.2, 1.0, 1.5), (20, 24, 18))
    affine = image.affine.copy()
    affine[:3] = turn @ affine[:3]
    source = write_volume(tmp_path / "scan.nii.gz", replace(image, affine=affine))
    prediction = drained(predictor.predict(read_volume(source)), lambda: False)
    saved = nib.load(write_volume(tmp_path / "labels.nii.gz", prediction.labels))
    expected = nib.load(source)
    assert saved.shape == expected.shape
    for form in ("get_sform", "get_qform"):
        np.testing.assert_allclose(getattr(saved, form)(), affine, atol=1e-4)
    found, wanted = np.asarray(saved.dataobj) > 0, labels.array > 0
    assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.75


def test_progress_rises_to_one(predictor, make_scan):
    image, _ = make_scan("a", "RAS", (1.0, 1.0, 1.0), (24, 24, 20))
    shares = list(predictor.predict(image))
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_windows_are_averaged_without_seams():
    image = torch.randn(1, 37, 21, 18, generator=torch.Generator().manual_seed(0))
    work = windowed_probabilities([Brightness()], image, (16, 16, 16), CPU, overlap=0.5)
    answer = drained(work, lambda: False)
    torch.testing.assert_close(
        answer, Brightness()(image[None]).softmax(1)[0], rtol=1e-4, atol=1e-5
    )


def test_image_smaller_than_the_window_keeps_its_shape():
    image = torch.rand(1, 5, 16, 9)
    work = windowed_probabilities([Brightness()], image, (16, 16, 16), CPU, overlap=0.5)
    answer = drained(work, lambda: False)
    torch.testing.assert_close(
        answer, Brightness()(image[None]).softmax(1)[0], rtol=1e-4, atol=1e-5
    )


def test_stop_is_heard_between_windows(predictor, make_scan):
    image, _ = make_scan("a", "RAS", (1.0, 1.0, 1.0), (24, 24, 20))
    with pytest.raises(Cancelled):
        drained(predictor.predict(image), lambda: True)


def test_bad_scan_is_refused_by_name(predictor):
    with pytest.raises(ScanError, match="“series”"):
        next(predictor.predict(Volume(np.zeros((4, 4, 4, 2)), np.eye(4), "series")))


def test_mean_of_student_and_teacher_lies_between_both(finished_run, make_scan):
    image, _ = make_scan("a", "SPL", (2.5, 1.0, 1.0), (8, 24, 24))
    maps = {
        which: drained(
            load_predictor(finished_run, which, CPU).predict(image, probabilities=True),
            lambda: False,
        ).probabilities[2]
        for which in ("student", "teacher", "mean")
    }
    np.testing.assert_allclose(maps["mean"], (maps["student"] + maps["teacher"]) / 2, atol=1e-5)
    assert not np.array_equal(maps["student"], maps["teacher"])


def test_weights_that_do_not_fit_the_settings_are_explained(finished_run):
    spec = finished_run.spec()
    config = spec.config.updated({"network": {"size": "paper"}})
    finished_run.save_spec(spec.model_copy(update={"config": config}))
    with pytest.raises(RunError, match="do not fit the network"):
        load_predictor(finished_run, "student", CPU)


def test_supervised_run_has_no_teacher_to_predict_with(finished_run):
    spec = finished_run.spec()
    config = spec.config.updated({"objective": {"method": "supervised"}})
    finished_run.save_spec(spec.model_copy(update={"config": config}))
    with pytest.raises(RunError, match="without a teacher"):
        load_predictor(finished_run, "mean", CPU)
