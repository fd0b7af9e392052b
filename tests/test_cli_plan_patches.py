"""``medcontext plan-patches`` prints a row a size, and keeps what it found where it is told."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from napari_medcontext.cli import app
from napari_medcontext.core.errors import MedContextError


def called(*words):
    return CliRunner().invoke(app, ["plan-patches", *map(str, words)])


@pytest.fixture
def scans(study):
    return "--images", study / "images", "--labels", study / "labels", "--spacing", "1", "1", "1.5"


def test_table_and_recommendation_are_printed_and_kept(scans, tmp_path):
    out = tmp_path / "out"
    result = called(*scans, "--no-probe", "--draws", 9, "--sizes", "32,32x16x16", "--out", out)
    assert result.exit_code == 0, result.output
    rows = [line for line in result.output.splitlines() if line.startswith("32×")]
    assert any(row.startswith("32×16×16") for row in rows), result.output
    assert "is the smallest that holds" in result.output
    assert "←" in result.output
    assert (out / "patches.csv").is_file()
    assert (out / "patches.png").is_file()


def test_nothing_is_left_where_no_folder_is_named(scans, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result = called(*scans, "--no-probe", "--draws", 3, "--sizes", "32")
    assert result.exit_code == 0, result.output
    assert list(tmp_path.iterdir()) == []


def test_folder_of_a_run_is_refused(scans, finished_run):
    with pytest.raises(MedContextError, match="holds a run"):
        raise called(*scans, "--no-probe", "--out", finished_run.path).exception


def test_size_that_the_network_cannot_take_fails_with_one_that_fits(scans, tmp_path):
    result = called(*scans, "--no-probe", "--sizes", "20x20x20", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "fits" in result.output


def test_help_imports_no_torch_and_no_matplotlib():
    code = (
        "import sys; from napari_medcontext.cli import app\n"
        "try: app([sys.argv[1], '--help'])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert not {'torch', 'matplotlib', 'monai'} & set(sys.modules)"
    )
    for command, option in (("plan-patches", "--no-probe"), ("study-patch-size", "--foregro")):
        words = [sys.executable, "-c", code, command]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert option in done.stdout


@pytest.mark.slow
def test_studied_sizes_and_shares_are_set_against_the_foreground(tmp_path):
    settings = tmp_path / "settings.json"
    small = {
        "training": {"steps": 1, "warmup_steps": 1, "batch_size": 1},
        "device": {"device": "cpu", "precision": "float32", "threads": 1},
    }
    settings.write_text(json.dumps(small))
    out = tmp_path / "out"
    words = ["study-patch-size", "--volumes", 4, "--side", 32, "--networks", "unet", "--seeds", 0]
    words += ["--patch-sizes", "32x16x16,32", "--config", settings, "--out", out]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    assert "All 5 trainings are done" in result.output
    again = CliRunner().invoke(app, [str(word) for word in words])
    assert "All 5 trainings are done" in again.output
    assert "test DSC" not in again.output
    rows = (out / "foreground.csv").read_text().splitlines()
    assert len(rows) == 1 + 5 * 4
    column = rows[0].split(",").index
    little = [row.split(",") for row in rows if ",little foreground," in row]
    seen = {row[column("case")]: row[column("seen")] for row in little}
    # Of shares 0.5, 2, 7.7 and 30 %, this arm trained on the first two.
    assert [seen[f"test_0{number}"] for number in (1, 3, 4)] == ["1", "0", "0"]
    shares = [float(row[column("foreground")]) for row in little]
    assert shares == pytest.approx([0.005, 0.0196, 0.0766, 0.3], rel=0.12)
    report = (out / "report.md").read_text()
    assert "foreground.png" in report
    assert (out / "foreground.png").read_bytes().startswith(b"\x89PNG")
    assert "| unet | diverse foreground |" in (out / "foreground.md").read_text()


def test_few_scans_cannot_differ_in_their_foreground(study, tmp_path):
    words = ["study-patch-size", "--images", study / "images", "--labels", study / "labels"]
    words += ["--test", "lps", "--patch-sizes", "32", "--out", tmp_path / "out"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert isinstance(result.exception, MedContextError)
    assert "4 training scans or more, not 2" in str(result.exception)
