"""``medcontext fetch`` from a server on this machine: what it prints, and how it ends."""

import os
import signal
import subprocess
import sys
import time

from archive_server import TASK
from typer.testing import CliRunner

from napari_medcontext.cli import EXIT_STOPPED, app
from napari_medcontext.core import decathlon
from napari_medcontext.core.errors import DownloadError


def call(*words):
    return CliRunner().invoke(app, ["fetch", *words], catch_exceptions=True)


def test_fetch_shows_size_licence_and_source_and_prints_where_the_data_set_lies(served, tmp_path):
    result = call("hippocampus")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "data" / TASK / "dataset.json")
    assert (tmp_path / "data" / TASK / "dataset.json").is_file()
    for word in ("27 MB", "CC BY-SA 4.0", "Antonelli"):
        assert word in result.stderr
    assert "is here already" in call("hippocampus").stderr


def test_fetch_without_a_name_lists_all_and_asks_nobody(served):
    result = call()
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 10
    assert result.stdout.splitlines()[2].split()[:3] == ["Task03_Liver", "26.9", "GB"]
    assert served.ranges == []


def test_fetch_to_another_folder_from_another_mirror(served, tmp_path, monkeypatch):
    monkeypatch.delenv(decathlon.MIRROR_VARIABLE)
    result = call("Task04", "--out", str(tmp_path / "other"), "--mirror", served.url)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "other" / TASK / "dataset.json").is_file()


def test_wrong_checksum_is_an_error_of_its_own_words(served):
    served.content = served.content[:-1] + b"!"
    assert isinstance(call("hippocampus").exception, DownloadError)


def test_interrupted_download_says_that_it_goes_on_and_does(served, tmp_path):
    served.seconds_a_piece = 0.5
    # The child knows the published checksum alone, which comes after what is tested here.
    command = [sys.executable, "-m", "napari_medcontext", "fetch", "hippocampus"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    folder = tmp_path / "data" / f"{TASK}.download"
    deadline = time.monotonic() + 60
    while not any(part.stat().st_size for part in folder.glob("*.part")):
        assert child.poll() is None, child.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, told = child.communicate(timeout=30)
    assert child.returncode == EXIT_STOPPED, told
    assert "goes on where it was stopped" in told
    (partial,) = folder.glob("*.part")
    had = partial.stat().st_size
    served.seconds_a_piece = 0.0
    assert call("hippocampus").exit_code == 0
    assert served.ranges[-1] == f"bytes={had}-"
