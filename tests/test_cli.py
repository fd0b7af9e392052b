import csv
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from napari_medcontext import __version__
from napari_medcontext.cli import EXIT_FAILED, EXIT_STOPPED, EXIT_USAGE, app, main
from napari_medcontext.cli_options import (
    SETTING_OPTIONS,
    DeviceName,
    MethodName,
    SchemeName,
    SiteName,
    SizeName,
    changed_settings,
)
from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.errors import MedContextError, ScanError
from napari_medcontext.core.io import list_scans, read_volume
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.settings import dump
from napari_medcontext.progress import say


def called(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def settings(tmp_path, tiny_config):
    file = tmp_path / "settings.yaml"
    file.write_text(dump(tiny_config), encoding="utf-8")
    return file


def test_study_is_trained_predicted_and_evaluated(study, settings, tmp_path):
    run, out, scores = tmp_path / "run", tmp_path / "out", tmp_path / "scores.csv"
    scans = ("--images", study / "images", "--labels", study / "labels")
    words = ("--config", settings, "--validation", "lps.nii.gz", "--steps", 2)
    trained = called("train", *scans, "--out", run, *words)
    assert trained.exit_code == 0, trained.output
    assert RunFolder(run).last_step() == 2
    assert [c.name for c in RunFolder(run).spec().with_role("validation")] == ["lps"]
    predicted = called("predict", run, study / "images", "--out", out)
    assert predicted.exit_code == 0, predicted.output
    for image, labels in zip(list_scans(study / "images"), list_scans(out), strict=True):
        assert image.name == labels.name
        assert read_volume(image).shape == read_volume(labels).shape
    evaluated = called(
        "evaluate", "--predictions", out, "--labels", study / "labels", "--out", scores
    )
    assert evaluated.exit_code == 0, evaluated.output
    with scores.open(newline="") as file:
        rows = [(row["case"], row["class_id"]) for row in csv.DictReader(file)]
    assert rows == [(case, k) for case in ("lps", "ras", "thick") for k in ("2", "5")]


def test_resume_goes_on_from_the_saved_state(finished_run):
    spec = finished_run.spec()
    config = spec.config.updated({"training": {"steps": 6}})
    finished_run.save_spec(spec.model_copy(update={"config": config}))
    result = called("train", "--resume", finished_run.path)
    assert result.exit_code == 0, result.output
    lines = (finished_run.path / "log.csv").read_text().splitlines()[1:]
    assert [int(line.split(",")[0]) for line in lines] == [1, 2, 3, 4, 5, 6]


def test_failed_work_exits_with_its_own_code(finished_run, study, tmp_path):
    (finished_run.best_state() / "student.safetensors").unlink()
    result = called("predict", finished_run.path, study / "images", "--out", tmp_path / "out")
    assert result.exit_code == EXIT_FAILED


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train"], "--out"),
        (["train", "--out", "x"], "Name the scans"),
        (["train", "--resume", "nowhere"], "is no run folder"),
        (["train", "--images", "a", "--labels", ".", "--out", "x"], "a is not a folder"),
        (["check", "--images", "a", "--labels", "."], "a is not a folder"),
        (["evaluate", "--predictions", "a", "--labels", "b", "--out", "c"], "is not a folder"),
    ],
)
def test_wrong_use_is_one_message_and_exit_code_2(words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["medcontext", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == EXIT_USAGE
    assert isinstance(called(*words).exception, MedContextError)
    assert told in str(called(*words).exception)


def test_exit_codes_differ():
    assert len({0, EXIT_FAILED, EXIT_USAGE, EXIT_STOPPED}) == 4


def test_version_is_printed():
    assert called("version").output.strip() == __version__


def test_evaluation_imports_no_torch(study, tmp_path):
    code = (
        "import sys; from napari_medcontext.cli import app\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules"
    )
    words = ["evaluate", "--predictions", study / "labels", "--labels", study / "labels"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words), "--out", str(tmp_path / "scores.csv")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "DSC 1.000" in done.stdout


def test_scores_replace_scores_and_nothing_else(study, tmp_path):
    labels, out = study / "labels", tmp_path / "table.csv"
    words = ("evaluate", "--predictions", labels, "--labels", labels, "--out", out)
    out.write_text("patient,age\n7,61\n")
    refused = called(*words)
    assert refused.exit_code != 0
    assert "table.csv is there already and holds no scores" in str(refused.exception)
    assert out.read_text() == "patient,age\n7,61\n"
    out.unlink()
    assert called(*words, "--classes", "1").exit_code == 0
    fewer = out.read_text()
    assert called(*words).exit_code == 0
    assert len(out.read_text()) > len(fewer)


def test_scores_of_the_others_are_kept_where_a_pair_cannot_be_compared(study, tmp_path):
    predictions, out = tmp_path / "predictions", tmp_path / "scores.csv"
    shutil.copytree(study / "labels", predictions)
    for name in ("lps", "ras"):
        (predictions / f"{name}.nii.gz").write_bytes(b"no scan")
    words = ("evaluate", "--predictions", predictions, "--labels", study / "labels", "--out", out)
    done = called(*words)
    assert done.exit_code == EXIT_FAILED
    with out.open(newline="") as file:
        assert {row["case"] for row in csv.DictReader(file)} == {"thick"}
    out.unlink()
    (predictions / "thick.nii.gz").write_bytes(b"no scan")
    none = called(*words)
    assert isinstance(none.exception, ScanError)
    assert "lps.nii.gz" in str(none.exception)
    assert "No other pair can be compared either" in str(none.exception)
    assert not out.exists()


def test_evaluation_scores_what_is_asked_by_the_definitions_that_are_asked(study, tmp_path):
    labels, out = study / "labels", tmp_path / "scores.csv"
    words = ("evaluate", "--predictions", labels, "--labels", labels, "--out", out)
    done = called(*words, "--classes", "2", "--hd95", "pooled", "--nsd-tolerance", 1)
    assert done.exit_code == 0, done.output
    assert "both directions' distances together" in done.output.replace("\n", " ")
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["class_id"] for row in rows} == {"2"}
    assert {row["hd95_definition"] for row in rows} == {"pooled"}
    assert {row["nsd_tolerance_mm"] for row in rows} == {"1"}
    refused = called(*words, "--classes", "heart")
    assert isinstance(refused.exception, ScanError)
    assert "no class “heart”" in str(refused.exception)


def test_settings_come_from_a_file_of_some_or_from_a_runs_own(finished_run, study, tmp_path):
    few = tmp_path / "few.yaml"
    few.write_text("data: {spacing: [1, 1, 2], patch_size: [32, 16, 16]}\ntraining: {steps: 1}\n")
    scans = ("--images", study / "images", "--labels", study / "labels", "--device", "cpu")
    for config in (few, finished_run.spec_path):
        run = RunFolder(tmp_path / config.stem)
        words = ("--config", config, "--steps", 1, "--out", run.path)
        assert called("train", *scans, *words).exit_code == 0
        assert run.spec().config.training.preview_every == 0
        assert run.spec().config.training.steps == 1
    assert run.spec().config.masking == finished_run.spec().config.masking


def test_every_option_of_a_setting_changes_that_setting():
    given = {
        "network": "unetr",
        "size": SizeName.paper,
        "pretrained": Path("weights.safetensors"),
        "method": MethodName.supervised,
        "mask_scheme": SchemeName.blocks,
        "mask_site": SiteName.tokens,
        "spacing": (1.0, 2.0, 5.0),
        "patch_size": (32, 32, 16),
        "ignore_label": 9,
        "resample": True,
        "steps": 7,
        "seed": 3,
        "device": DeviceName.cpu,
    }
    config = RunConfig().updated(changed_settings(given))
    assert given.keys() == SETTING_OPTIONS.keys()
    for option, (section, name) in SETTING_OPTIONS.items():
        value = getattr(getattr(config, section), name)
        assert value == given[option] != getattr(getattr(RunConfig(), section), name)
    assert changed_settings(dict.fromkeys(given)) == {}


def test_line_on_the_terminal_is_whole_and_letter_for_letter(capsys):
    path = f"/scans/[bold]/:smile:/{'long/' * 40}case 1.nii.gz"
    say(Console(width=40), path, label="Warning", style="yellow")
    assert capsys.readouterr().out == f"Warning: {path}\n"
