"""Networks, presets, regions, unknown labels and scans without labels, from a terminal."""

import csv
import json
import shutil
import sys

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from napari_medcontext.cli import app
from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.io import read_volume, write_volume
from napari_medcontext.core.networks import NETWORKS
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.settings import dump

OWN_NETWORK = """
from torch import nn


def tiny(channels, classes):
    return nn.Conv3d(channels, classes, 3, padding=1)
"""


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def scans(study, tmp_path):
    return shutil.copytree(study, tmp_path / "study")


@pytest.fixture
def train(scans, tmp_path, tiny_config):
    """Return the function that trains for two steps and gives the run and what was printed."""
    config = tiny_config.updated({"training": {"steps": 2}})
    settings = tmp_path / "settings.yaml"
    settings.write_text(dump(config), encoding="utf-8")
    default = ("--images", scans / "images", "--labels", scans / "labels")

    def call(*words, scans=default, config=settings):
        words = ("train", *scans, "--out", tmp_path / "run", "--config", config, *words)
        result = CliRunner().invoke(app, [str(word) for word in words])
        if isinstance(result.exception, MedContextError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return RunFolder(tmp_path / "run"), " ".join(result.output.split())

    return call


def refused(train, match, *words, **changes):
    with pytest.raises(MedContextError, match=match):
        train(*words, **changes)


def config_of(train, *words):
    return train(*words)[0].spec().config


def test_network_of_ones_own_trains_by_its_name(train, tmp_path, monkeypatch):
    (tmp_path / "my_networks.py").write_text(OWN_NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    run, text = train("--network", "my_networks:tiny")
    assert run.last_step() == 2
    assert "my_networks:tiny, 0.0 million weights" in text
    del sys.modules["my_networks"]


def test_unknown_network_is_refused_with_the_known_ones_before_anything_is_written(train, tmp_path):
    refused(train, "unett.*unet, attention_unet.*package.module:function", "--network", "unett")
    refused(train, "cannot be imported.*no_such_package", "--network", "no_such_package:f")
    refused(train, "unetr", "--network", "unetr", "--patch-size", 20, 16, 16)
    assert not (tmp_path / "run").exists()


def test_help_lists_networks_and_presets():
    text = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "200"}).output
    for name in (*NETWORKS, "released-code", "structure", "--unlabelled", "--ignore-label"):
        assert name in text


def test_preset_replaces_what_a_file_says_and_single_options_change_the_preset(train):
    config = config_of(train, "--preset", "masked-loss-only", "--mask-scheme", "blocks")
    assert config.objective.consistency_weight == 0
    assert config.masking.scheme == "blocks"
    # The file's 4 is replaced: a preset says all of the masking.
    assert config.masking.block_size == 16
    assert config.training.steps == 2


def test_preset_hides_tokens_of_a_network_that_an_option_names(train):
    words = ("--network", "unetr", "--patch-size", 32, 32, 16, "--preset", "paper")
    assert config_of(train, *words, "--steps", 1).masking.site == "tokens"


def test_preset_hides_voxels_where_the_network_has_no_tokens(train):
    assert (
        config_of(train, "--preset", "paper", "--patch-size", 32, 32, 16).masking.site == "voxels"
    )


@pytest.mark.parametrize("by", ["option", "file"])
def test_weights_to_start_from_are_found_and_told(train, finished_run, tmp_path, monkeypatch, by):
    weights = tmp_path / "start" / "student.safetensors"
    weights.parent.mkdir()
    shutil.copy(finished_run.best_state() / "student.safetensors", weights)
    words, changes = (), {}
    if by == "option":
        monkeypatch.chdir(weights.parent)
        words = ("--pretrained", "student.safetensors")
    else:
        values = finished_run.spec().config.updated(
            {"network": {"pretrained": "student.safetensors"}, "training": {"steps": 1}}
        )
        changes["config"] = weights.with_name("settings.yaml")
        changes["config"].write_text(dump(values), encoding="utf-8")
    run, text = train(*words, **changes)
    assert run.spec().config.network.pretrained == weights
    assert "Starts from student.safetensors" in text
    assert "(100% of the network)" in text


def test_regions_are_learned_predicted_and_scored_from_words_or_a_file(train, scans, tmp_path):
    run, text = train("--region", "both=2,5", "--region", "small=5")
    assert run.spec().regions == {"both": (2, 5), "small": (5,)}
    assert "both, small" in text
    out, table = tmp_path / "out", tmp_path / "scores.csv"
    predicted = CliRunner().invoke(
        app, ["predict", str(run.path), str(scans / "images"), "--out", str(out)]
    )
    assert predicted.exit_code == 0, predicted.output
    words = ["--predictions", str(out), "--labels", str(scans / "labels"), "--out", str(table)]
    rows = []
    for given in (["--region", "both=2,5", "--region", "small=5"], ["--regions", run.spec_path]):
        scored = CliRunner().invoke(app, ["evaluate", *words, *map(str, given)])
        assert scored.exit_code == 0, scored.output
        rows.append(list(csv.DictReader(table.read_text().splitlines())))
        assert "both: " in scored.output
    assert rows[0] == rows[1]
    assert [(row["case"], row["class_name"]) for row in rows[0]][:2] == [
        ("lps", "both"),
        ("lps", "small"),
    ]
    reference = read_volume(scans / "labels" / "lps.nii.gz").array
    ml = np.count_nonzero(np.isin(reference, [2, 5])) / 1000
    assert float(rows[0][0]["reference_ml"]) == pytest.approx(ml, rel=1e-4)


def test_settings_of_a_run_with_regions_bring_its_regions_unless_others_are_given(
    train, tmp_path, finished_run
):
    spec = finished_run.spec().model_copy(update={"regions": {"any": (2, 5)}})
    finished_run.save_spec(spec)
    changes = {"config": finished_run.spec_path}
    assert train(**changes)[0].spec().regions == {"any": (2, 5)}
    shutil.rmtree(tmp_path / "run")
    assert train("--region", "small=5", **changes)[0].spec().regions == {"small": (5,)}


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("--region", "WT"), "“WT” is no region.*TC=1,4"),
        (("--region", "WT=2,five"), "“WT=2,five” is no region"),
        (("--region", "a=2", "--region", "a=5"), "“a” is given twice"),
        (("--region", "a=2,5", "--region", "b=5,7"), "overlap"),
        (("--region", "a=5", "--region", "b=2,5"), "must come before"),
        (("--region", "a=0,2"), "must be 1 or more"),
        (("--region", "a=2", "--regions", "none.yaml"), "Name the regions once"),
        (("--regions", "none.yaml"), "none.yaml cannot be read"),
        (("--region", "a=2,5", "--ignore-label", 5), "“a” holds the label of the unknown"),
    ],
)
def test_wrong_regions_are_refused_before_anything_is_written(train, tmp_path, words, match):
    refused(train, match, *words)
    assert not (tmp_path / "run").exists()


def test_file_without_regions_is_refused(train, finished_run):
    refused(train, "holds no regions", "--regions", finished_run.spec_path)


def test_unknown_voxels_are_neither_learned_nor_scored(train, scans, tmp_path):
    for path in (scans / "labels").iterdir():
        labels = read_volume(path)
        array = np.where(labels.array == 5, 9, labels.array)
        write_volume(path, labels.with_array(array, class_names={2: "liver"}))
    run, text = train("--ignore-label", 9)
    assert run.spec().config.data.ignore_label == 9
    assert "mm; liver; columns" in text
    table = tmp_path / "scores.csv"
    words = ["--predictions", scans / "labels", "--labels", scans / "labels", "--out", table]
    scored = CliRunner().invoke(app, ["evaluate", *map(str, words), "--ignore-label", "9"])
    assert scored.exit_code == 0, scored.output
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert {row["class_id"] for row in rows} == {"2"}


def test_scans_without_labels_join_from_a_folder_that_may_hold_the_others_too(train, scans):
    (scans / "labels" / "lps.nii.gz").unlink()
    run, text = train("--unlabelled", scans / "images")
    assert [(c.name, c.labels is None) for c in run.spec().cases] == [
        ("ras", False),
        ("thick", False),
        ("lps", True),
    ]
    assert "1 of 3 training scans join without labels: “lps”" in text


def test_dataset_takes_scans_without_labels_from_its_list_and_from_a_folder(train, scans, tmp_path):
    more = tmp_path / "more"
    more.mkdir()
    shutil.move(scans / "images" / "thick.nii.gz", more)
    labelled = {"image": "images/ras.nii.gz", "label": "labels/ras.nii.gz"}
    entries = [labelled, {"image": "images/lps.nii.gz"}]
    (scans / "dataset.json").write_text(json.dumps({"training": entries}))
    _, text = train("--unlabelled", more, scans=("--dataset", scans / "dataset.json"))
    assert "2 of 3 training scans join without labels: “lps”, “thick”" in text


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("--method", "supervised"), "Set to training, but without labels: “lps”, “thick”"),
        (("--preset", "masked-loss-only"), "without labels: “lps”, “thick”"),
        (("--validation", "lps"), "Set to validation, but without labels: “lps”"),
    ],
)
def test_scans_without_labels_are_named_where_they_cannot_join(
    train, scans, tmp_path, words, match
):
    for name in ("lps", "thick"):
        (scans / "labels" / f"{name}.nii.gz").unlink()
    refused(train, match, "--unlabelled", scans / "images", *words)
    assert not (tmp_path / "run").exists()


def test_unpaired_scans_stay_an_error_unless_their_folder_is_named(train, scans, tmp_path):
    (scans / "labels" / "lps.nii.gz").unlink()
    refused(train, "no file of the same name for lps.nii.gz.*without labels")
    refused(train, "is not a folder|no file of the same", "--unlabelled", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    (scans / "images" / "lps.nii.gz").unlink()
    refused(train, "holds no scan", "--unlabelled", tmp_path / "empty")
    refused(train, "has no labels already|holds no", "--unlabelled", scans / "images")


def test_resume_goes_on_without_a_teacher(train):
    run, _ = train("--preset", "masked-loss-only", "--patch-size", 32, 32, 16)
    spec = run.spec()
    config = spec.config.updated({"training": {"steps": 3}})
    run.save_spec(spec.model_copy(update={"config": config}))
    result = CliRunner().invoke(app, ["train", "--resume", str(run.path)])
    assert result.exit_code == 0, result.output
    assert run.last_step() == 3
