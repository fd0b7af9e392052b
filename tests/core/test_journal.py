from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from napari_medcontext.core import events as e
from napari_medcontext.core.journal import KEPT_PREVIEWS, JournalReader, JournalWriter


def preview(step, teacher=True):
    grid = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    ids = (grid + step).astype(np.uint8)
    return e.PreviewReady(
        step, "scan", np.diag([1.0, 2, 3, 1]), grid, grid / 2, ids, ids, ids if teacher else None
    )


def reconstruction(ask):
    grid = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    ids = (grid + ask).astype(np.uint8)
    return e.Reconstructed(
        ask, "scan", np.eye(4), grid, grid / 2, ids, ids, ids > 3, 0.5, 0.7, {2: 0.25}, {2: 0.5}
    )


def disagreement(ask):
    values = np.full((2, 3, 4), ask, dtype=np.float32)
    by_slice = np.array([0.5, 0.25], dtype=np.float32)
    return e.DisagreementFound(
        ask, "scan", np.eye(4), values, "x", by_slice, np.array([0, 1]), 2, True, 0.1
    )


EXAMPLES = [
    e.Preparing("Looking at “Schädel”", 1, 6),
    e.Fetching("Downloading Task04_Hippocampus", 1_000, 27_000_000),
    e.RunStarted(
        0, 9, "CPU", "float32", 7, "unet", "medcontext", "z", {2: "a"}, (1.0, 1.0, 2.5), True
    ),
    e.StepFinished(1, {"dice_ce": 1.5, "consistency": 0.25}, 0.1, 1e-3, 0.2),
    e.ValidationFinished(4, {2: 0.5, 5: 0.75}, 0.625, True),
    preview(4),
    e.CheckpointSaved(4),
    e.Paused(4),
    e.Resumed(4),
    e.PredictionProgress("scan", 0, 2, 0.5),
    e.PredictionFailed("scan 2", "It is cut short."),
    e.PredictionSaved("scan", Path("/a/b.nii.gz"), None, 1.5),
    e.PredictionSaved("scan", Path("/a/b.nii.gz"), Path("/a"), 1.5),
    e.Warned("odd"),
    e.StudyProgress("unet · default · seed 0", 1, 6),
    e.TrainingScored("unet · default · seed 0", 50, 12.5, 0.81),
    e.InspectionReady(
        *("scan", 9, "CPU", {2: "a"}, ("token", "mean", "noise"), True, "z", (1.0, 1.0, 2.5)),
        *(np.eye(4), np.zeros((2, 3, 4), np.float32), np.ones((2, 3, 4), np.uint8)),
    ),
    e.InspectionProgress(3, 0.5),
    reconstruction(3),
    disagreement(4),
    e.ProbeFinished(5, "scan", ({"class_id": 2, "dsc": 0.5}, {"class_id": 3, "dsc": 0.25}), 2.5),
    e.AskFailed(6, "there is no class 9"),
    e.AskDropped(7),
    e.ProbeProgress("run · scan", 1, 6, 0.25),
    e.RunFinished("failed", 3, "no “more”", "/a/output.log"),
]


@pytest.fixture
def writer(tmp_path):
    writer = JournalWriter(tmp_path)
    yield writer
    writer.close()


def same(one, two):
    if isinstance(one, np.ndarray):
        return one.dtype == two.dtype and np.array_equal(one, two)
    return one == two and type(one) is type(two)


def test_examples_cover_every_kind_of_event():
    assert {type(example).__name__ for example in EXAMPLES} == set(e.EVENTS)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_event_comes_back_as_it_was_written(tmp_path, writer, event):
    writer.write(event)
    (back,) = JournalReader(tmp_path).read()
    assert type(back) is type(event)
    for field in fields(event):
        assert same(getattr(event, field.name), getattr(back, field.name)), field.name


def test_preview_without_teacher_has_none(tmp_path, writer):
    writer.write(preview(1, teacher=False))
    (back,) = JournalReader(tmp_path).read()
    assert back.teacher is None
    assert back.reference is None


def test_loss_that_is_no_number_survives(tmp_path, writer):
    writer.write(e.StepFinished(1, {"dice_ce": float("nan")}, 0.0, 0.1, 0.1))
    (back,) = JournalReader(tmp_path).read()
    assert np.isnan(back.losses["dice_ce"])


def test_reader_gives_each_event_once_in_order(tmp_path, writer):
    reader = JournalReader(tmp_path)
    assert list(reader.read()) == []
    writer.write(e.Paused(1))
    assert list(reader.read()) == [e.Paused(1)]
    writer.write(e.Resumed(1))
    writer.write(e.Paused(2))
    assert list(reader.read()) == [e.Resumed(1), e.Paused(2)]
    assert list(reader.read()) == []


def test_reader_that_skips_sees_only_what_is_new(tmp_path, writer):
    writer.write(e.Paused(1))
    reader = JournalReader(tmp_path)
    reader.skip_to_end()
    writer.write(e.Paused(2))
    assert list(reader.read()) == [e.Paused(2)]


def test_line_still_being_written_is_read_when_it_is_whole(tmp_path):
    reader, file = JournalReader(tmp_path), tmp_path / "events.jsonl"
    line = '{"event": "Paused", "step": 3}\n'
    file.write_text(line[:12])
    assert list(reader.read()) == []
    file.write_text(line)
    assert list(reader.read()) == [e.Paused(3)]


def test_line_cut_by_a_kill_is_skipped_and_spoils_no_other(tmp_path, writer):
    writer.write(e.Paused(1))
    writer.close()
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"event": "StepFinished", "st')
    second = JournalWriter(tmp_path)
    second.write(e.Paused(2))
    second.close()
    assert list(JournalReader(tmp_path).read()) == [e.Paused(1), e.Paused(2)]


def test_events_of_a_newer_version_are_skipped(tmp_path, writer):
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"event": "Sung", "song": 1}\n{"event": "Paused", "step": 1, "why": 2}\n')
    writer.write(e.Warned("known"))
    assert list(JournalReader(tmp_path).read()) == [e.Warned("known")]


def test_old_previews_are_dropped_and_left_out_of_reading(tmp_path, writer):
    for step in range(1, 6):
        writer.write(preview(step))
    back = list(JournalReader(tmp_path).read())
    assert [event.step for event in back] == [4, 5][-KEPT_PREVIEWS:]
    own = [path.name for path in (tmp_path / "previews").glob("0*")]
    assert {name[:6] for name in own} == {"000004", "000005"}
    assert np.array_equal(back[-1].student, preview(5).student)


def test_previews_of_an_earlier_attempt_are_dropped_too(tmp_path, writer):
    for step in (8, 9):
        writer.write(preview(step))
    writer.close()
    second = JournalWriter(tmp_path)
    for step in (9, 10):
        second.write(preview(step))
    second.close()
    own = {path.name[:6] for path in (tmp_path / "previews").glob("0*")}
    assert own == {"000009", "000010"}
    assert np.load(tmp_path / "previews" / "000009-student.npy").shape == (2, 3, 4)


def test_old_preview_that_cannot_be_removed_ends_nothing(tmp_path, writer):
    for step in (1, 2):
        writer.write(preview(step))
    file = tmp_path / "previews" / "000001-student.npy"
    file.unlink()
    (file / "in the way").mkdir(parents=True)
    writer.write(preview(3))
    assert [event.step for event in JournalReader(tmp_path).read()] == [2, 3]


def test_each_kind_of_event_with_arrays_keeps_its_own_newest(tmp_path, writer):
    for number in range(1, 5):
        writer.write(reconstruction(number))
        writer.write(disagreement(number))
    writer.write(preview(1))
    back = list(JournalReader(tmp_path).read())
    assert [(type(event), getattr(event, "ask", 0)) for event in back] == [
        (e.Reconstructed, 3),
        (e.DisagreementFound, 3),
        (e.Reconstructed, 4),
        (e.DisagreementFound, 4),
        (e.PreviewReady, 0),
    ]
    kept = sorted(path.name for path in (tmp_path / "previews").glob("*-mask.npy"))
    assert kept == ["reconstructed-000003-mask.npy", "reconstructed-000004-mask.npy"]


def test_answers_of_an_earlier_attempt_are_dropped_too(tmp_path, writer):
    writer.write(reconstruction(1))
    writer.close()
    second = JournalWriter(tmp_path)
    for number in (2, 3):
        second.write(reconstruction(number))
    second.close()
    kept = sorted(path.name for path in (tmp_path / "previews").glob("*-mask.npy"))
    assert kept == ["reconstructed-000002-mask.npy", "reconstructed-000003-mask.npy"]
