import json
import subprocess
import sys

import pytest
from rich.console import Console
from typer.testing import CliRunner

from napari_medcontext.cli import app
from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.study.plan import StudyFolder

SMALL = {
    "data": {"patch_size": [32, 16, 16], "spacing": [1.0, 1.0, 1.5]},
    "training": {"steps": 2, "warmup_steps": 1},
    "device": {"device": "cpu", "precision": "float32", "threads": 1},
}


def called(*words):
    return CliRunner().invoke(app, ["compare-methods", *map(str, words)])


@pytest.fixture
def settings(tmp_path):
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(SMALL))
    return file


@pytest.fixture
def scans(study):
    return "--images", study / "images", "--labels", study / "labels"


def test_comparison_is_done_and_done_only_once(scans, settings, tmp_path):
    out = tmp_path / "out"
    words = (*scans, "--test", "lps", "--config", settings, "--set", "masking.block_size=4")
    words += ("--seeds", "5", "--checkpoints", "1", "--out", out)
    words += ("--arm", "few:default:arm.scans=1")
    assert called(*words, "--methods", "supervised").exit_code == 0
    again = called(*words, "--methods", "supervised")
    assert again.exit_code == 0, again.output
    assert "All 2 trainings are done" in again.output
    assert "test DSC" not in again.output
    spec = StudyFolder(out).spec()
    assert [case.name for case in spec.test] == ["lps"]
    assert [case.name for case in spec.training] == ["ras", "thick"]
    assert [(arm.name, arm.scans) for arm in spec.arms] == [("supervised", None), ("few", 1)]
    assert spec.arms[1].changes == {"masking": {"block_size": 4}}
    assert (out / "report.md").is_file()


def test_data_set_says_what_is_tested_on_and_what_has_no_labels(study, settings, tmp_path):
    pair = {"image": "images/ras.nii.gz", "label": "labels/ras.nii.gz"}
    held = {"image": "images/lps.nii.gz", "label": "labels/lps.nii.gz"}
    table = {"labels": {"2": "liver"}, "training": [pair], "test": [held]}
    table["unlabeled"] = ["images/thick.nii.gz"]
    file = study / "dataset-of-study.json"
    file.write_text(json.dumps(table))
    words = (file, "--config", settings, "--ablation", "unlabelled", "--networks", "unet,unetr")
    (tmp_path / "out").mkdir()
    result = called(*words, "--seeds", "0,x", "--out", tmp_path / "out")
    assert isinstance(result.exception, MedContextError)
    assert "seeds" in str(result.exception)
    from napari_medcontext.cli_study import planned

    given = dict.fromkeys(
        ("images", "labels", "unlabelled", "test", "methods", "arm", "baseline", "set", "region")
    )
    given |= dict.fromkeys(("budget_seconds", "regions", "pretrained", "data_preset"))
    given |= {"dataset": file, "leave_one_out": False, "networks": "unet,unetr", "seeds": "0"}
    given |= {"ablation": "unlabelled", "checkpoints": 8, "config": settings}
    spec = planned(given, Console(stderr=True))
    assert [case.name for case in spec.test] == ["lps"]
    assert [(case.name, case.labels) for case in spec.unlabelled] == [("thick", None)]
    assert spec.networks == ("unet", "unetr")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "no scan to score"),
        (["--test", "nobody"], "no scan nobody to score"),
        (["--test", "lps", "--leave-one-out"], "either --test or --leave-one-out"),
        (["--test", "lps", "--methods", "papre"], "no preset “papre”"),
        (["--test", "lps", "--ablation", "losses", "--methods", "paper,default"], "one method"),
        (["--test", "lps", "--ablation", "starting-point"], "--pretrained"),
        (["--test", "lps", "--arm", "late"], "NAME:PRESET"),
        (["--test", "lps", "--baseline", "none"], "no method “none”"),
    ],
)
def test_wrong_use_is_told(words, told, scans, tmp_path):
    result = called(*scans, *words, "--out", tmp_path / "out")
    assert isinstance(result.exception, MedContextError)
    assert told in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_settings_that_presets_would_undo_are_refused(scans, tmp_path):
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"masking": {"ratio": 0.7}}))
    result = called(*scans, "--test", "lps", "--config", file, "--out", tmp_path / "out")
    assert "--set" in str(result.exception)


def test_help_imports_no_torch_and_no_matplotlib():
    code = (
        "import sys; from napari_medcontext.cli import app\n"
        "try: app(['compare-methods', '--help'])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert not {'torch', 'matplotlib', 'monai'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--leave-one-out" in done.stdout


def test_data_set_of_nnunet_with_unknown_voxels_is_compared_on(study, tmp_path):
    described = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 2, "ignore": 7}}
    described |= {"file_ending": ".nii.gz", "numTraining": 1}
    for kind, end in (("images", "_0000"), ("labels", "")):
        (tmp_path / f"{kind}Tr").mkdir()
        there = tmp_path / f"{kind}Tr" / f"ras{end}.nii.gz"
        there.write_bytes((study / kind / "ras.nii.gz").read_bytes())
    file = tmp_path / "dataset.json"
    file.write_text(json.dumps(described))
    words = (file, "--out", tmp_path / "out", "--test", "nobody")
    assert "--ignore-label 7" in str(called(*words).exception)
    asked = str(called(*words, "--ignore-label", "7").exception)
    assert asked == "There is no scan nobody to score; there are ras."
