"""``--data-preset`` in train, check and compare-methods: what it sets, and what overrides it."""

import pytest
from typer.testing import CliRunner

from napari_medcontext.cli import app
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.io import write_volume
from napari_medcontext.core.method_settings import MaskingSettings
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.settings import dump
from napari_medcontext.core.study.plan import StudyFolder

GRID = ("RAS", (1.0, 1.0, 1.0), (24, 24, 20))
SMALL = ("--preset", "supervised", "--spacing", "1", "1", "1.5", "--patch-size", "32", "16", "16")


@pytest.fixture
def abdomens(make_scan, tmp_path):
    """Two scans to train on, one to test on, one that nobody lists; two organs, 2 and 5, each."""
    for name in ("img0005", "img0006", "img0001", "img0099"):
        image, labels = make_scan(name, *GRID)
        write_volume(tmp_path / "images" / f"{name}.nii.gz", image)
        write_volume(tmp_path / "labels" / f"{name}.nii.gz", labels)
    return ("--images", str(tmp_path / "images"), "--labels", str(tmp_path / "labels"))


@pytest.fixture
def config(tiny_config, tmp_path):
    # What is hidden, the method says.
    plain = tiny_config.updated({"masking": MaskingSettings().model_dump()})
    (tmp_path / "settings.yaml").write_text(dump(plain), encoding="utf-8")
    return ("--config", str(tmp_path / "settings.yaml"))


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_training_takes_classes_window_and_split_and_options_change_single_settings(
    abdomens, config, tmp_path
):
    out = tmp_path / "run"
    words = ("train", *abdomens, *config, *SMALL, "--steps", 1, "--out", out)
    result = call(*words, "--data-preset", "btcv-8")
    assert result.exit_code == 0, result.output
    spec = RunFolder(out).spec()
    assert spec.config.data.window == (-1000.0, 1000.0)
    assert spec.config.data.intensity == "window"
    assert spec.config.data.patch_size == (32, 16, 16)
    assert spec.config.data.spacing == (1.0, 1.0, 1.5)
    assert len(spec.class_names) == 8
    roles = {case.name: case.role for case in spec.cases}
    assert roles == {
        "img0005": "training",
        "img0006": "training",
        "img0001": "unused",
        "img0099": "unused",
    }
    assert "0007, 0009" in result.stderr
    assert "“img0099”; left out" in result.stderr
    # Id 5, the oesophagus, is none of the eight.
    assert "right kidney" in result.stderr
    assert "oesophagus" not in result.stderr
    assert "class 5" not in result.stderr


def test_check_looks_at_what_the_preset_trains_on(abdomens, config):
    result = call("check", *abdomens, *config, "--spacing", 1, 1, 1.5, "--data-preset", "btcv-13")
    assert "Synapse/BTCV abdomen, all 13 organs" in result.stderr
    assert "No training scan has liver (id 6)" in result.stderr
    assert "“img0001”" not in result.stderr


def test_comparison_is_scored_on_the_published_test_scans(abdomens, config, tmp_path):
    out = tmp_path / "study"
    words = ("compare-methods", *abdomens, *config, "--patch-size", 32, 16, 16)
    words += ("--spacing", 1, 1, 1.5, "--steps", 1, "--methods", "supervised", "--seeds", 0)
    result = call(*words, "--checkpoints", 1, "--data-preset", "btcv-8", "--out", out)
    assert result.exit_code == 0, result.output
    spec = StudyFolder(out).spec()
    assert [case.name for case in spec.training] == ["img0005", "img0006"]
    assert [case.name for case in spec.test] == ["img0001"]
    rows = (out / "scores.csv").read_text(encoding="utf-8").splitlines()
    scored = {row.split(",")[8]: row.split(",")[9] for row in rows[1:]}
    assert set(scored) == {"1", "2", "3", "4", "6", "7", "8", "11"}
    assert scored["2"] == "right kidney"


def test_regions_of_a_preset_are_learned_unless_options_name_others(abdomens, config, tmp_path):
    words = ("train", *abdomens, *config, *SMALL, "--steps", 1, "--data-preset", "msd-01")
    call(*words, "--out", tmp_path / "own")
    assert list(RunFolder(tmp_path / "own").spec().regions) == ["WT", "TC", "ET"]
    call(*words, "--region", "organs=2,5", "--out", tmp_path / "other")
    assert RunFolder(tmp_path / "other").spec().regions == {"organs": (2, 5)}


def test_unknown_preset_is_refused(abdomens, tmp_path):
    result = call("train", *abdomens, "--data-preset", "synapse", "--out", tmp_path / "run")
    assert isinstance(result.exception, SettingsError)
