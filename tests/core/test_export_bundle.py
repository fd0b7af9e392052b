"""A run exported as a MONAI bundle predicts what the run predicts, without this package."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle.properties import InferProperties
from typer.testing import CliRunner

from napari_medcontext.cli import app
from napari_medcontext.core.bundles import INFERENCE, METADATA, MODEL, channels_of
from napari_medcontext.core.bundles.opening import open_source
from napari_medcontext.core.classes import Classes
from napari_medcontext.core.device import Compute
from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.export import ExportError, export_run, require_equal
from napari_medcontext.core.export.bundle import network_config, write
from napari_medcontext.core.export.trained import Trained, load_trained
from napari_medcontext.core.inference import Predictor, drained
from napari_medcontext.core.io import list_scans, read_volume, write_volume
from napari_medcontext.core.networks import NETWORKS, build_network
from napari_medcontext.core.volume import Volume

ALONE = """
import sys
sys.modules["napari_medcontext"] = None
from monai.bundle import run, verify_net_in_out
for folder in sys.argv[1:]:
    files = {"config_file": f"{folder}/configs/inference.json",
             "meta_file": f"{folder}/configs/metadata.json"}
    verify_net_in_out(net_id="network_def", device="cpu", **files)
    run(bundle_root=folder, **files)
"""
"""Runs bundles by MONAI alone: importing this package is an error there."""


CHANNELS = ("FLAIR", "T1")


def tried(config, classes, spacing=(1.0, 1.0, 1.5), channels=()) -> Trained:
    """Return a network with random weights, whose answers are as good as a trained one's here."""
    torch.manual_seed(3)
    network = build_network(
        config.network,
        channels=max(1, len(channels)),
        classes=classes.outputs,
        patch_size=config.data.patch_size,
    ).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)
    return Trained("tried", "student", network, config, classes, spacing, channels)


def own_labels(trained, *channels):
    compute = Compute(torch.device("cpu"), "float32")
    predictor = Predictor(
        [trained.network],
        trained.config,
        trained.classes,
        trained.spacing,
        compute,
        channels=trained.channels,
    )
    return drained(predictor.predict(*channels), lambda: False).labels


def second_channel(scan: Volume) -> Volume:
    """Return another scan on a scan's grid, dark where that is bright, and partly outside."""
    array = scan.array.max() - scan.array
    array[:, :9] = 0
    return replace(scan, array=array)


def oblique(make_scan) -> Volume:
    """Return a turned and sheared scan whose first voxel lies at the origin; outside it is 0."""
    image, _ = make_scan("turned", "RAS", (0.7, 0.8, 1.1), (40, 36, 20))
    turn = np.eye(4)
    turn[:3, :3] = [[0.98, -0.17, 0.05], [0.17, 0.98, 0.0], [0.0, 0.1, 1.0]]
    affine = turn @ image.affine
    affine[:3, 3] = 0
    array = image.array.copy()
    array[:8] = 0
    return Volume(array, affine, "turned")


@pytest.fixture(scope="module")
def variants(tiny_config):
    """Networks that between them use every part of the config."""

    def config(**data):
        return tiny_config.updated({"data": {**data, "patch_size": (32, 16, 16)}})

    gaps = Classes((0, 2, 5), {2: "liver", 5: "spleen"})
    nested = Classes((0, 1, 2, 4), {1: "WT", 2: "TC", 3: "ET"}, ((1, 2, 4), (1, 4), (4,)))
    coarse = config(intensity="percentile").updated({"network": {"name": "dynunet"}})
    return {
        "zscore": tried(config(intensity="zscore"), gaps),
        "percentile": tried(coarse, Classes((0, 1), {1: "x"}), (2.0, 2.0, 2.0)),
        "window": tried(config(intensity="window", window=(80.0, 250.0)), nested),
        "channels": tried(config(intensity="percentile", resample=True), nested, channels=CHANNELS),
    }


@pytest.fixture(scope="module")
def bundles(variants, study, make_scan, tmp_path_factory):
    """The networks as bundles, after MONAI alone has predicted with each."""
    parent = tmp_path_factory.mktemp("bundles")
    for name, trained in variants.items():
        write(trained, parent / name)
        scans = {path.name: read_volume(path) for path in list_scans(study / "images")}
        scans["turned.nii.gz"] = oblique(make_scan)
        for file, scan in scans.items():
            path = parent / name / "scans" / file
            if trained.channels:
                write_volume(numbered(path, 0), scan)
                write_volume(numbered(path, 1), second_channel(scan))
            else:
                write_volume(path, scan)
    monai_alone([parent / name for name in variants], parent)
    return parent


def monai_alone(folders: list[Path], place: Path) -> None:
    """Let MONAI predict with bundles, in a process that cannot import this package."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ALONE, *map(str, folders)],
        capture_output=True,
        text=True,
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr


def numbered(path: Path, channel: int) -> Path:
    return path.with_name(path.name.replace(".nii", f"_{channel:04d}.nii"))


@pytest.mark.parametrize("name", ["zscore", "percentile", "window", "channels"])
def test_monai_alone_predicts_the_same_labels_at_every_voxel(name, bundles, variants):
    answers = list_scans(bundles / name / "predicted")
    assert [path.name for path in answers] == [
        f"{scan}.nii.gz" for scan in ("lps", "ras", "thick", "turned")
    ]
    for path in answers:
        file = bundles / name / "scans" / path.name
        files = [numbered(file, n) for n in range(2)] if variants[name].channels else [file]
        scan, *further = map(read_volume, files)
        own, theirs = own_labels(variants[name], scan, *further), read_volume(path)
        assert len(np.unique(own.array)) > 1
        np.testing.assert_allclose(theirs.affine, scan.affine, atol=1e-5)
        np.testing.assert_array_equal(theirs.array, own.array, err_msg=path.name)


def test_own_bundle_of_several_channels_knows_them(bundles, variants, tmp_path):
    words = ["predict", bundles / "channels", bundles / "channels" / "scans", "--out", tmp_path]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    assert channels_of(bundles / "channels") == CHANNELS
    assert open_source(bundles / "channels", "student").resamples
    answers = list_scans(tmp_path)
    assert len(answers) == 4
    for path in answers:
        theirs = read_volume(bundles / "channels" / "predicted" / path.name)
        np.testing.assert_array_equal(read_volume(path).array, theirs.array)


def test_one_file_with_all_channels_is_a_scan_too(bundles, variants, tmp_path):
    folder = shutil.copytree(bundles / "channels", tmp_path / "bundle")
    shutil.rmtree(folder / "predicted")
    first, second = (folder / "scans" / f"thick_000{n}.nii.gz" for n in range(2))
    images = [nibabel.load(path) for path in (first, second)]
    whole = np.stack([np.asarray(image.dataobj) for image in images], axis=-1)
    affine = images[0].affine
    shutil.rmtree(folder / "scans")
    (folder / "scans").mkdir()
    nibabel.save(nibabel.Nifti1Image(whole, affine), folder / "scans" / "all.nii.gz")
    monai_alone([folder], tmp_path)
    theirs = read_volume(folder / "predicted" / "all.nii.gz")
    known = read_volume(bundles / "channels" / "predicted" / "thick.nii.gz")
    np.testing.assert_array_equal(theirs.array, known.array)


def fitting(config, name) -> Trained:
    patch_size = NETWORKS[name].fitting((32, 16, 16))
    changes = {"network": {"name": name}, "data": {"patch_size": patch_size}}
    return tried(config.updated(changes), Classes((0, 1), {1: "x"}))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_built_by_monai_alone_unless_it_is_ours(name, tiny_config, tmp_path):
    trained = fitting(tiny_config, name)
    assert write(trained, tmp_path / "bundle") < 1e-5
    config = json.loads((tmp_path / "bundle" / INFERENCE).read_text())
    metadata = json.loads((tmp_path / "bundle" / METADATA).read_text())
    monais = config["network_def"]["_target_"].startswith("monai.")
    assert monais == (name not in {"nnformer", "pcrlv2"})
    assert ("napari-medcontext" not in metadata["required_packages_version"]) == monais


def test_network_of_the_users_own_is_built_by_name(tiny_config, tmp_path, monkeypatch):
    (tmp_path / "my_exported.py").write_text(
        "from torch import nn\ndef tiny(channels, classes):\n"
        "    return nn.Conv3d(channels, classes, 3, padding=1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = tiny_config.updated({"network": {"name": "my_exported:tiny"}})
    trained = tried(config, Classes((0, 1), {1: "x"}))
    assert write(trained, tmp_path / "bundle") == 0
    assert network_config(trained)["name"] == "my_exported:tiny"


def test_bundle_holds_what_monai_asks_for_and_no_path_of_scans(finished_run, tmp_path):
    folder = tmp_path / "organs"
    exported = export_run(finished_run, "bundle", folder)
    assert exported.difference == 0
    assert str(folder) in exported.text
    metadata = json.loads((folder / METADATA).read_text())
    # What MONAI's schema of bundles requires (meta_schema_20240725.json).
    assert metadata.keys() >= {
        "schema",
        "version",
        "monai_version",
        "pytorch_version",
        "numpy_version",
        "required_packages_version",
        "task",
        "description",
        "authors",
        "copyright",
        "network_data_format",
    }
    output = metadata["network_data_format"]["outputs"]["pred"]
    tensor = {"type", "format", "num_channels", "spatial_shape", "dtype", "value_range"}
    assert output.keys() >= tensor
    assert metadata["network_data_format"]["inputs"]["image"].keys() >= tensor
    assert output["channel_def"] == {"0": "background", "1": "liver", "2": "spleen"}
    config = json.loads((folder / INFERENCE).read_text())
    assert config.keys() >= {name for name, rest in InferProperties.items() if rest["required"]}
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {INFERENCE, METADATA, MODEL, "docs/README.md", "LICENSE"}
    words = "".join((folder / name).read_text() for name in files - {MODEL})
    assert str(finished_run.path.parent) not in words
    assert "| 5 | spleen |" in words
    own = load_trained(finished_run, "student").network.state_dict()
    assert torch.load(folder / MODEL, weights_only=True).keys() == own.keys()


def test_what_is_there_is_kept(finished_run, tmp_path):
    (tmp_path / "organs").mkdir()
    with pytest.raises(MedContextError, match="is there already, and is not replaced"):
        export_run(finished_run, "bundle", tmp_path / "organs")


class Drifting(torch.nn.Conv3d):
    """Answers differently each time, as no network in evaluation mode may."""

    def forward(self, image):
        return super().forward(image) + torch.rand(1) + 1


def test_bundle_that_would_answer_differently_is_not_kept(tiny_config, tmp_path):
    trained = fitting(tiny_config, "pcrlv2")
    drifting = replace(trained, network=Drifting(1, 2, 1))
    with pytest.raises(ExportError, match="answers differently from the run"):
        write(drifting, tmp_path / "x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("difference", [1.0, float("nan")])
def test_difference_is_told(difference):
    with pytest.raises(ExportError, match="answers differently from the run"):
        require_equal(difference, "bundle")
