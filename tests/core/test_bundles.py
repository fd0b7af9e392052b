"""MONAI bundles are opened for prediction, and nothing in them is run as code."""

import json
import shutil
import warnings

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.nets import UNet
from typer.testing import CliRunner

from napari_medcontext.cli import app
from napari_medcontext.core.bundles import INFERENCE, METADATA, MODEL, BundleError, require_source
from napari_medcontext.core.bundles.opening import open_source
from napari_medcontext.core.device import Compute
from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.export import export_run
from napari_medcontext.core.inference import drained
from napari_medcontext.core.io import list_scans, read_volume

CPU = Compute(torch.device("cpu"), "float32")
UNET = {
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 3,
    "channels": [8, 16, 32],
    "strides": [2, 2],
    "norm": "batch",
}
ZOO = {
    "imports": ["$import glob", "$import os"],
    "bundle_root": ".",
    "output_dir": "$@bundle_root + '/eval'",
    "dataset_dir": "/workspace/data",
    "datalist": "$list(sorted(glob.glob(@dataset_dir + '/*.nii.gz')))",
    "device": "$torch.device('cpu')",
    "window": [16, 16, 16],
    "network_def": {"_target_": "UNet", **UNET},
    "network": "$@network_def.to(@device)",
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "image"},
            {"_target_": "EnsureChannelFirstd", "keys": "image"},
            {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
            {"_target_": "Spacingd", "keys": "image", "pixdim": [1, 1, 1.5], "mode": "bilinear"},
            {
                "_target_": "monai.transforms.intensity.dictionary.ScaleIntensityRanged",
                "keys": "image",
                "a_min": 50,
                "a_max": 350,
                "b_min": 0,
                "b_max": 1,
                "clip": True,
            },
            {"_target_": "EnsureTyped", "keys": "image"},
        ],
    },
    "inferer": {
        "_target_": "SlidingWindowInferer",
        "roi_size": "@window",
        "sw_batch_size": 4,
        "overlap": 0.25,
    },
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "Activationsd", "keys": "pred", "softmax": True},
            {
                "_target_": "Invertd",
                "keys": "pred",
                "transform": "@preprocessing",
                "orig_keys": "image",
                "meta_keys": "pred_meta_dict",
                "nearest_interp": False,
                "to_tensor": True,
            },
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            {"_target_": "KeepLargestConnectedComponentd", "_disabled_": True, "keys": "pred"},
            {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir"},
        ],
    },
}
"""An inference config as those of MONAI's model zoo are."""
OUTPUT = {"num_channels": 3, "channel_def": {"0": "background", "1": "liver", "2": "spleen"}}


def written(folder, config, output=OUTPUT, channels=()):
    torch.manual_seed(0)
    named = {str(number): name for number, name in enumerate(channels)}
    image = {"num_channels": len(channels), "channel_def": named}
    for name in ("configs", "models"):
        (folder / name).mkdir(parents=True)
    metadata = {"network_data_format": {"inputs": {"image": image}, "outputs": {"pred": output}}}
    (folder / METADATA).write_text(json.dumps(metadata))
    (folder / INFERENCE).write_text(json.dumps(config))
    network = UNet(**UNET | {"in_channels": max(1, len(channels))})
    torch.save({"model": network.state_dict()}, folder / MODEL)
    return folder


def changed(**entries):
    return {**json.loads(json.dumps(ZOO)), **entries}


def predicted(source, images, out, *words):
    given = ["predict", source, images, "--out", out, *words]
    return CliRunner().invoke(app, [str(word) for word in given])


def test_run_and_its_bundle_predict_the_same_by_the_command(finished_run, study, tmp_path):
    export_run(finished_run, "bundle", tmp_path / "bundle")
    shutil.copytree(tmp_path / "bundle", tmp_path / "elsewhere")
    for name, source in (("run", finished_run.path), ("bundle", tmp_path / "elsewhere")):
        result = predicted(source, study / "images", tmp_path / name, "--probabilities")
        assert result.exit_code == 0, result.output
    files = list_scans(tmp_path / "run")
    assert len(files) == 9
    for path in files:
        own, theirs = read_volume(path), read_volume(tmp_path / "bundle" / path.name)
        np.testing.assert_array_equal(own.array, theirs.array)
        np.testing.assert_array_equal(own.affine, theirs.affine)
        assert own.class_names == theirs.class_names
    words = (tmp_path / "elsewhere", study / "images", tmp_path / "bundle", "--probabilities")
    again = predicted(*words)
    assert "3 of 3 scans are predicted already" in again.output


@pytest.mark.parametrize("channels", [(), ("T2", "ADC")])
def test_bundle_of_the_model_zoos_shape_predicts_as_monai_does(study, tmp_path, channels):
    config = changed(network_def={"_target_": "UNet", **UNET, "in_channels": max(1, len(channels))})
    folder = written(tmp_path / "zoo", config, channels=channels)
    scans = tmp_path / "scans"
    for path in list_scans(study / "images"):
        name, ending = path.name.split(".", 1)
        for place in [f"_{number:04d}" for number in range(len(channels))] or [""]:
            scans.mkdir(exist_ok=True)
            shutil.copy(path, scans / f"{name}{place}.{ending}")
    parser = ConfigParser({**config, "imports": ["$import torch"]})
    parser["postprocessing"]["transforms"].pop()
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(torch.load(folder / MODEL, weights_only=True)["model"])
    with warnings.catch_warnings():
        # Of MONAI, about readers that are not there and a default that has changed.
        warnings.simplefilter("ignore")
        prepare, infer, finish = map(
            parser.get_parsed_content, ("preprocessing", "inferer", "postprocessing")
        )
    result = predicted(folder, scans, tmp_path / "out")
    assert result.exit_code == 0, result.output
    for path in list_scans(study / "images"):
        scan = prepare({"image": [str(path)] * max(1, len(channels))})
        with torch.inference_mode():
            scan["pred"] = infer(scan["image"][None], network.eval())[0]
        ours = read_volume(tmp_path / "out" / path.name)
        assert len(np.unique(ours.array)) > 1
        np.testing.assert_array_equal(ours.array, finish(scan)["pred"][0].numpy())
        assert ours.class_names == {1: "liver", 2: "spleen"}


CODE = {"_target_": "os.system", "command": "touch ran"}
STEP = {"_target_": "Lambdad", "keys": "image", "func": "@ran"}
NOT_UNDERSTOOD = {
    "a function": ({"network_def": CODE}, "network_def asks for os.system"),
    "an expression": (
        {"network_def": "$__import__('pathlib').Path('ran').touch()"},
        "network_def holds the expression",
    ),
    "an expression in an argument": (
        {"network_def": {"_target_": "UNet", **UNET, "act": "$open('ran', 'w')"}},
        "network_def holds the expression",
    ),
    "a transform that calls": (
        {"preprocessing": {"_target_": "Compose", "transforms": [STEP]}},
        "preprocessing asks for Lambdad",
    ),
    "a class of the same name": (
        {"network_def": {"_target_": "mine.UNet", **UNET}},
        "network_def asks for mine.UNet",
    ),
    "a way to call": (
        {"network_def": {"_target_": "UNet", **UNET, "_mode_": "debug"}},
        "network_def has _mode_",
    ),
    "a missing entry": ({"inferer": "@windows"}, "refers to @windows, which is not there"),
    "a circle": ({"inferer": "@window", "window": "@inferer"}, "refers to itself"),
    "a circle inside": ({"window": ["@window"]}, "refers to itself"),
    "a way that is gone": (
        {"network_def": {"_target_": "UNet", **UNET, "dimensions": 3}},
        "asks for UNet in a way that MONAI",
    ),
    "several channels": (
        {"network_def": {"_target_": "UNet", **UNET, "in_channels": 4}},
        "takes 4 channels by its network_def, and 1 by what its metadata tell",
    ),
    "another size": (
        {"network_def": {"_target_": "UNet", **UNET, "channels": [4, 8, 16]}},
        "does not fit network_def",
    ),
    "no way back": (
        {"postprocessing": {"_target_": "Compose", "transforms": []}},
        "has no Invertd",
    ),
}


@pytest.mark.parametrize("what", NOT_UNDERSTOOD)
def test_what_is_not_understood_is_named_and_not_run(what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entries, problem = NOT_UNDERSTOOD[what]
    folder = written(tmp_path / "zoo", changed(**entries))
    with pytest.raises(BundleError) as raised:
        open_source(folder, "student", CPU)
    assert problem in str(raised.value)
    assert not (tmp_path / "ran").exists()


def test_own_bundle_names_no_code_to_import(finished_run, tmp_path, monkeypatch):
    export_run(finished_run, "bundle", tmp_path / "bundle")
    path = tmp_path / "bundle" / METADATA
    metadata = json.loads(path.read_text())
    metadata["napari_medcontext"]["network"]["name"] = "touching:build"
    path.write_text(json.dumps(metadata))
    (tmp_path / "touching.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BundleError, match="would be imported as code"):
        open_source(tmp_path / "bundle", "student", CPU)
    del metadata["napari_medcontext"]["spacing_mm"]
    path.write_text(json.dumps(metadata))
    with pytest.raises(MedContextError, match=r"metadata\.json: spacing_mm is missing"):
        open_source(tmp_path / "bundle", "student", CPU)


def test_bundle_that_is_not_whole_says_what_is_missing(tmp_path):
    folder = written(tmp_path / "zoo", ZOO)
    (folder / INFERENCE).write_text("{")
    with pytest.raises(BundleError, match=r"inference\.json cannot be read as JSON"):
        open_source(folder, "student", CPU)
    (folder / INFERENCE).unlink()
    with pytest.raises(BundleError, match=r"neither configs/inference\.json nor"):
        open_source(folder, "student", CPU)
    (folder / MODEL).unlink()
    with pytest.raises(BundleError, match=r"has no models/model\.pt"):
        require_source(folder)
    with pytest.raises(MedContextError, match="is no run folder"):
        require_source(tmp_path)


def test_bundle_has_one_network_and_others_give_labels_alone(study, tmp_path):
    folder = written(tmp_path / "zoo", ZOO)
    with pytest.raises(BundleError, match="holds one network"):
        open_source(folder, "mean", CPU)
    scan = read_volume(study / "images" / "ras.nii.gz")
    predictor = open_source(folder, "student", CPU)
    with pytest.raises(BundleError, match="gives labels alone"):
        drained(predictor.predict(scan, probabilities=True), lambda: False)


def test_outputs_that_overlap_are_refused(study, tmp_path):
    steps = json.loads(json.dumps(ZOO["postprocessing"]))
    steps["transforms"][0] = {"_target_": "Activationsd", "keys": "pred", "sigmoid": True}
    steps["transforms"][2] = {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5}
    folder = written(tmp_path / "zoo", changed(postprocessing=steps))
    scan = read_volume(study / "images" / "ras.nii.gz")
    predictor = open_source(folder, "student", CPU)
    with pytest.raises(BundleError, match="Outputs that overlap are not supported"):
        drained(predictor.predict(scan), lambda: False)
