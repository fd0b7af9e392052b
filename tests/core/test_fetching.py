"""Data sets come whole or not at all, from a server on this machine that behaves badly."""

import tarfile
from dataclasses import replace

import numpy as np
import pytest
from archive_server import SCANS, TASK, serving, small_archive

from napari_medcontext.core.cases import decathlon_cases
from napari_medcontext.core.decathlon import TASKS, find_task
from napari_medcontext.core.errors import DownloadError, RunError, SettingsError
from napari_medcontext.core.events import Fetching
from napari_medcontext.core.fetching import fetch, is_fetched
from napari_medcontext.core.folder import WorkFolder
from napari_medcontext.core.io import read_volume


@pytest.fixture
def served():
    with serving(small_archive()) as server:
        yield server


@pytest.fixture
def task(served):
    return replace(TASKS[TASK], md5=served.md5)


def done(work):
    """Return where the data set lies, and all events."""
    events = []
    while True:
        try:
            events.append(next(work))
        except StopIteration as end:
            return end.value, events


def left_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


WHOLE = sorted(
    [
        TASK,
        f"{TASK}/dataset.json",
        *(f"{TASK}/{kind}" for kind in ("imagesTr", "labelsTr")),
        *(f"{TASK}/{kind}/{scan}.nii.gz" for kind in ("imagesTr", "labelsTr") for scan in SCANS),
    ]
)


def test_data_set_is_downloaded_checked_and_unpacked_without_the_files_of_macos(
    served, task, tmp_path
):
    folder, events = done(fetch(task, tmp_path, served.url))
    assert folder == tmp_path / TASK
    assert is_fetched(task, tmp_path)
    assert left_in(tmp_path) == WHOLE
    cases, names = decathlon_cases(folder / "dataset.json")
    assert [case.name for case in cases] == list(SCANS)
    assert names == {1: "Anterior"}
    assert np.count_nonzero(read_volume(cases[0].labels).array) == 20**3
    assert {type(event) for event in events} == {Fetching}
    downloading = [event for event in events if event.message == f"Downloading {TASK}"]
    assert downloading[0].done == 0
    assert downloading[-1].done == downloading[-1].total == len(served.content)
    assert events[-1].message == f"Unpacking {TASK}"


def test_data_set_that_is_here_is_not_asked_for(served, task, tmp_path):
    done(fetch(task, tmp_path, served.url))
    served.ranges.clear()
    assert done(fetch(task, tmp_path, served.url)) == (tmp_path / TASK, [])
    assert served.ranges == []


def test_cut_connection_is_gone_on_with_by_itself(served, task, tmp_path):
    served.cut_after = [700_000, 300_000]
    _, events = done(fetch(task, tmp_path, served.url))
    begins = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in served.ranges]
    assert begins[0] == 0
    assert 0 < begins[1] <= 700_000
    assert begins[1] < begins[2] <= begins[1] + 300_000
    assert left_in(tmp_path) == WHOLE
    counts = [event.done for event in events if event.message.startswith("Downloading")]
    assert counts == sorted(counts)


def test_download_that_was_stopped_goes_on_at_the_next_call(served, task, tmp_path):
    work = fetch(task, tmp_path, served.url)
    while next(work).done < len(served.content) // 2:
        pass
    work.close()
    (partial,) = tmp_path.rglob("*.part")
    had = partial.stat().st_size
    assert 0 < had < len(served.content)
    assert not is_fetched(task, tmp_path)
    done(fetch(task, tmp_path, served.url))
    assert served.ranges[-1] == f"bytes={had}-"
    assert left_in(tmp_path) == WHOLE


def test_unpacking_that_was_stopped_begins_anew_without_another_download(served, task, tmp_path):
    work = fetch(task, tmp_path, served.url)
    while not next(work).message.startswith("Unpacking"):
        pass
    work.close()
    assert not is_fetched(task, tmp_path)
    served.ranges.clear()
    done(fetch(task, tmp_path, served.url))
    assert served.ranges == []
    assert left_in(tmp_path) == WHOLE


def test_archive_that_was_whole_before_it_was_checked_is_not_loaded_again(served, task, tmp_path):
    work = fetch(task, tmp_path, served.url)
    while not next(work).message.startswith("Checking"):
        pass
    work.close()
    done(fetch(task, tmp_path, served.url))
    assert served.ranges[-1] == f"bytes={len(served.content)}-"
    assert left_in(tmp_path) == WHOLE


def test_server_that_cannot_go_on_in_the_middle_sends_it_anew(served, task, tmp_path):
    served.resumes, served.cut_after = False, [700_000]
    done(fetch(task, tmp_path, served.url))
    assert left_in(tmp_path) == WHOLE


def test_wrong_checksum_is_told_and_what_came_is_deleted(served, task, tmp_path):
    good = served.content
    served.content = good[:-1000] + bytes(1000)[:-1] + b"!"
    with pytest.raises(DownloadError, match=r"not what was published.*deleted"):
        done(fetch(task, tmp_path, served.url))
    assert not is_fetched(task, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    served.content = good
    done(fetch(task, tmp_path, served.url))
    assert left_in(tmp_path) == WHOLE


def test_refusal_is_told_at_once(served, task, tmp_path):
    served.status = 404
    with pytest.raises(DownloadError, match="404"):
        done(fetch(task, tmp_path, served.url))
    assert len(served.ranges) == 1


def test_server_that_never_answers_is_given_up(task, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_medcontext.core.download.WAITS", (0.0, 0.01))
    with pytest.raises(DownloadError, match="cannot be downloaded"):
        done(fetch(task, tmp_path, "http://127.0.0.1:9"))


def test_disk_without_room_is_told_before_anything_is_written(served, task, tmp_path):
    served.said_length = 10**18
    with pytest.raises(DownloadError, match=r"2000000000\.0 GB are needed"):
        done(fetch(task, tmp_path, served.url))
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    ("name", "link"),
    [
        ("../outside.txt", None),
        (f"{TASK}/../../outside.txt", None),
        (f"{TASK}/outside.txt", "/etc/passwd"),
        (f"{TASK}/outside.txt", "../../../up"),
    ],
)
def test_archive_that_reaches_elsewhere_is_refused(tmp_path, name, link):
    stranger = tarfile.TarInfo(name)
    if link is not None:
        stranger.type, stranger.linkname = tarfile.SYMTYPE, link
    with serving(small_archive(stranger)) as served:
        task = replace(TASKS[TASK], md5=served.md5)
        with pytest.raises(DownloadError, match="cannot be unpacked"):
            done(fetch(task, tmp_path / "data", served.url))
    assert not is_fetched(task, tmp_path / "data")
    assert not list(tmp_path.rglob("outside.txt"))


def test_two_do_not_download_one_data_set_at_once(served, task, tmp_path):
    with WorkFolder(tmp_path / f"{TASK}.download").claimed(), pytest.raises(RunError):
        done(fetch(task, tmp_path, served.url))


def test_folder_of_that_name_is_left_alone(served, task, tmp_path):
    (tmp_path / TASK).mkdir()
    with pytest.raises(DownloadError, match="Move it away"):
        done(fetch(task, tmp_path, served.url))


@pytest.mark.parametrize("words", ["Task09_Spleen", "spleen", "TASK09"])
def test_tasks_go_by_several_names(words):
    assert find_task(words) is TASKS["Task09_Spleen"]


def test_unknown_task_is_refused_with_those_that_there_are():
    with pytest.raises(SettingsError, match="Task10_Colon"):
        find_task("task")


def test_addresses_and_checksums_are_those_that_monai_lists():
    from monai.apps import DecathlonDataset

    from napari_medcontext.core.decathlon import BASE_URL

    assert {name: task.md5 for name, task in TASKS.items()} == DecathlonDataset.md5
    archives = {name: f"{BASE_URL}/{task.archive}" for name, task in TASKS.items()}
    assert archives == DecathlonDataset.resource
