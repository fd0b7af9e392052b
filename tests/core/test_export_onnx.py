"""A run exported as ONNX answers as the run does, and says how to use it."""

import json

import numpy as np
import pytest
import torch

from napari_medcontext.core.classes import Classes
from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.export import ExportError, export_run, onnx_file
from napari_medcontext.core.export.trained import Trained, load_trained
from napari_medcontext.core.networks import NETWORKS, build_network

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def answered(path, patch):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"image": patch.numpy()})[0]


def tried(config, name) -> Trained:
    patch_size = NETWORKS[name].fitting((32, 32, 32))
    config = config.updated({"network": {"name": name}, "data": {"patch_size": patch_size}})
    classes = Classes((0, 2, 5), {2: "liver", 5: "spleen"})
    torch.manual_seed(1)
    network = build_network(config.network, channels=1, classes=3, patch_size=patch_size).eval()
    return Trained("tried", "student", network, config, classes, (1.0, 1.0, 1.5))


def test_file_answers_as_the_run_for_any_number_of_patches(finished_run, tmp_path):
    path = tmp_path / "organs.onnx"
    exported = export_run(finished_run, "onnx", path, "teacher")
    assert exported.difference < 1e-4
    onnx.checker.check_model(path, full_check=True)
    trained = load_trained(finished_run, "teacher")
    for samples in (1, 3):
        patch = torch.rand(samples, 1, 32, 16, 16)
        np.testing.assert_allclose(answered(path, patch), trained.logits(patch).numpy(), atol=1e-4)
    facts = json.loads(
        {p.key: p.value for p in onnx.load(path).metadata_props}["napari_medcontext"]
    )
    assert facts["weights"] == "teacher"
    assert facts["class_names"] == {"2": "liver", "5": "spleen"}
    assert (facts["spacing_mm"], facts["patch_size"]) == ([1.0, 1.0, 1.5], [32, 16, 16])
    assert (facts["intensity"], facts["activation"]) == ("zscore", "softmax")
    assert str(finished_run.path.parent) not in json.dumps(facts)


class Forgetful(torch.nn.Conv3d):
    """Answers as it should when it is converted, and otherwise from then on."""

    def forward(self, image):
        answer = super().forward(image)
        return answer if torch.compiler.is_exporting() else answer + 1


def test_file_that_would_answer_differently_is_not_kept(tiny_config, tmp_path):
    network = Forgetful(1, 2, 1)
    trained = Trained("x", "student", network, tiny_config, Classes((0, 1)), (1, 1, 1))
    with pytest.raises(ExportError, match=r"answers differently from the run.*by up to 1\.0e\+00"):
        onnx_file.write(trained, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


class Unsayable(torch.nn.Module):
    def forward(self, image):
        return image * float(image.sum().item())


def test_network_that_onnx_cannot_say_is_refused_with_a_way_out(tiny_config, tmp_path):
    trained = Trained("x", "student", Unsayable(), tiny_config, Classes((0, 1)), (1, 1, 1))
    with pytest.raises(ExportError, match=r"cannot be written as ONNX.*Export a bundle instead"):
        onnx_file.write(trained, tmp_path / "x.onnx")


def test_missing_library_is_named_with_its_extra(finished_run, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MedContextError, match=r"needs onnxruntime.*napari-medcontext\[export\]"):
        export_run(finished_run, "onnx", tmp_path / "x.onnx")


def test_file_of_another_ending_is_refused(finished_run, tmp_path):
    with pytest.raises(ExportError, match=r"must end in \.onnx"):
        export_run(finished_run, "onnx", tmp_path / "x.pt")


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_can_be_written(name, tiny_config, tmp_path):
    trained = tried(tiny_config, name)
    assert onnx_file.write(trained, tmp_path / "x.onnx") < 1e-4
