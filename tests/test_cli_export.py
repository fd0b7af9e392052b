"""``medcontext export`` writes a run in other forms, and says what is wrong."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from napari_medcontext.cli import app
from napari_medcontext.core.errors import RunError


def called(*words):
    return CliRunner().invoke(app, ["export", *map(str, words)])


def test_difference_from_the_run_is_printed(finished_run, tmp_path):
    words = (finished_run.path, "--to", "bundle", "--out", tmp_path / "organs")
    result = called(*words, "--weights", "teacher")
    assert result.exit_code == 0, result.output
    assert f"{tmp_path / 'organs'}: its logits and the run's differ by 0.0e+00" in result.output
    assert "the teacher's weights" in (tmp_path / "organs" / "docs" / "README.md").read_text()


def test_folder_that_is_no_run_or_has_no_weights_is_named(finished_run, tmp_path):
    result = called(tmp_path, "--to", "bundle", "--out", tmp_path / "organs")
    assert isinstance(result.exception, RunError)
    assert "is no run folder" in str(result.exception)
    for state in finished_run.states.iterdir():
        state.rename(tmp_path / state.name)
    result = called(finished_run.path, "--to", "bundle", "--out", tmp_path / "organs")
    assert "has no weights yet" in str(result.exception)
    assert not (tmp_path / "organs").exists()


@pytest.mark.parametrize(
    ("option", "value"), [("--to", "nnunet"), ("--weights", "mean")], ids=["form", "weights"]
)
def test_forms_and_weights_are_those_that_there_are(finished_run, tmp_path, option, value):
    words = {"--to": "bundle", "--out": tmp_path / "organs", option: value}
    result = called(finished_run.path, *[word for pair in words.items() for word in pair])
    assert result.exit_code == 2
    assert value in result.output


def test_help_waits_for_no_library_of_an_export():
    code = (
        "import sys, napari_medcontext.cli, napari_medcontext.core.bundles\n"
        "assert not {'torch', 'monai', 'onnx', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
