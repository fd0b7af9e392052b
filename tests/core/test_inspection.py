"""Questions about a run and a scan are answered, in the order that serves who asks."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import psutil
import pytest
import torch

from napari_medcontext.core import events as e
from napari_medcontext.core.config import RunSpec
from napari_medcontext.core.errors import RunError
from napari_medcontext.core.folder import ProcessId
from napari_medcontext.core.inspection import (
    DisagreeAsk,
    InspectFolder,
    InspectSpec,
    ProbeAsk,
    ReconstructAsk,
    serve,
)
from napari_medcontext.core.jobs import execute
from napari_medcontext.core.journal import JournalReader
from napari_medcontext.core.method_settings import MaskingSettings
from napari_medcontext.core.probe import ProbeRow
from napari_medcontext.core.run import RunFolder

BLOCKS = MaskingSettings(block_size=4, ratio=0.3)


class Inspection:
    """An inspection under way in this thread: it goes on as far as its next event."""

    def __init__(self, folder):
        self.folder, self.events = folder, execute(folder.path)

    def next(self, kind):
        """Return the next event that tells more than progress, which must be of a kind."""
        for event in self.events:
            if not isinstance(event, (e.Preparing, e.InspectionProgress)):
                assert isinstance(event, kind), event
                return event
        raise AssertionError("it has ended")

    def wait_for_progress(self):
        return next(event for event in self.events if isinstance(event, e.InspectionProgress))


@pytest.fixture(autouse=True)
def _every_progress(monkeypatch):
    monkeypatch.setattr(serve, "PROGRESS_SECONDS", 0.0)


@pytest.fixture
def inspect(tmp_path, finished_run, cases):
    """Return the function that begins an inspection of a scan with labels."""
    begun = []

    def begin(run=finished_run, **changes):
        (scan,) = cases(lps="unused")
        spec = InspectSpec(run=run.path, scan=scan, **changes)
        folder = InspectFolder(tmp_path / f"inspect-{len(begun)}").create(spec)
        begun.append(Inspection(folder))
        return begun[-1]

    yield begin
    for inspection in begun:
        inspection.folder.send("stop")
        list(inspection.events)


def test_ready_tells_all_that_a_form_needs(inspect):
    ready = inspect().next(e.InspectionReady)
    assert ready.class_names == {2: "liver", 5: "spleen"}
    assert ready.hidings == ("token", "mean", "noise")
    assert (ready.name, ready.step, ready.has_teacher, ready.mask_axis) == ("lps", 4, True, "z")
    assert ready.image.shape == ready.reference.shape == (24, 24, 13)
    assert set(np.unique(ready.reference)) == {0, 2, 5}
    np.testing.assert_allclose(np.abs(np.diag(ready.affine)), (1, 1, 1.5, 1))


def test_reconstruction_shows_what_is_hidden_and_scores_it(inspect):
    inspection = inspect()
    ready = inspection.next(e.InspectionReady)
    number = inspection.folder.ask(ReconstructAsk(masking=BLOCKS, seed=3))
    found = inspection.next(e.Reconstructed)
    assert found.ask == number == 1
    assert found.mask.mean() == pytest.approx(found.share)
    assert 0.1 < found.share < 0.6
    for class_id in (2, 5):
        organ = ready.reference == class_id
        assert found.hidden[class_id] == pytest.approx(found.mask[organ].mean())
    visible = ~found.mask
    np.testing.assert_array_equal(found.masked[visible], ready.image[visible])
    assert not np.array_equal(found.masked, ready.image)
    for array in (found.student_masked, found.student, found.teacher):
        assert array.shape == ready.image.shape
        assert set(np.unique(array)) <= {0, 2, 5}
    for scores in (found.dsc_inside, found.dsc_outside, found.dsc_visible):
        assert set(scores) == {2, 5}
        assert all(np.isnan(dsc) or 0 <= dsc <= 1 for dsc in scores.values())


def test_same_seed_hides_the_same_and_another_does_not(inspect):
    inspection = inspect()
    inspection.next(e.InspectionReady)
    masks = []
    for seed in (1, 1, 2):
        inspection.folder.ask(ReconstructAsk(masking=BLOCKS, seed=seed))
        masks.append(inspection.next(e.Reconstructed).mask)
    assert np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0], masks[2])


@pytest.mark.parametrize("hiding", [None, "mean", "noise"])
def test_organ_is_hidden_to_its_last_voxel(inspect, hiding):
    inspection = inspect()
    inspection.folder.ask(ReconstructAsk(class_id=5, hiding=hiding))
    ready, found = inspection.next(e.InspectionReady), inspection.next(e.Reconstructed)
    assert found.hidden[5] == 1.0
    assert found.mask[ready.reference == 5].all()
    assert not found.mask.all()


def test_box_is_hidden_as_it_was_drawn(inspect):
    inspection = inspect()
    inspection.folder.ask(ReconstructAsk(box=((2, 9), (3, 8), (4, 90))))
    inspection.next(e.InspectionReady)
    expected = np.zeros((24, 24, 13), dtype=bool)
    expected[2:9, 3:8, 4:] = True
    assert np.array_equal(inspection.next(e.Reconstructed).mask, expected)


def test_disagreement_is_a_map_with_its_worst_slices_first(inspect):
    inspection = inspect()
    inspection.folder.ask(DisagreeAsk(draws=2, masking=BLOCKS, axis="x"))
    inspection.next(e.InspectionReady)
    found = inspection.next(e.DisagreementFound)
    assert found.disagreement.dtype == np.float32
    assert 0 <= found.disagreement.min() < found.disagreement.max() <= 1
    np.testing.assert_allclose(found.by_slice, found.disagreement.mean((1, 2)), rtol=1e-5)
    assert sorted(found.worst) == list(range(24))
    assert all(a >= b for a, b in pairwise(found.by_slice[found.worst]))
    assert (found.draws, found.with_teacher) == (2, True)


def test_map_with_draws_is_the_mean_of_both_comparisons(inspect):
    inspection = inspect()
    inspection.next(e.InspectionReady)
    maps = []
    for with_teacher, draws in ((True, 0), (False, 3), (True, 3)):
        ask = DisagreeAsk(draws=draws, masking=BLOCKS, with_teacher=with_teacher)
        inspection.folder.ask(ask)
        maps.append(inspection.next(e.DisagreementFound).disagreement)
    np.testing.assert_allclose(maps[2], (maps[0] + maps[1]) / 2, atol=1e-6)
    assert not np.allclose(maps[0], maps[1])


def test_networks_that_are_the_same_do_not_disagree(inspect, finished_run):
    weights, facts, _ = finished_run.load_weights("student", "teacher")
    student = {k: v for k, v in weights["student"].items() if k != "mask_token"}
    finished_run.save_state(9, {**weights, "teacher": student}, facts, None)
    inspection = inspect()
    inspection.folder.ask(DisagreeAsk())
    inspection.next(e.InspectionReady)
    assert inspection.next(e.DisagreementFound).disagreement.max() < 1e-6


def test_distance_is_the_total_variation_of_the_classes(finished_run, cases):
    from napari_medcontext.core.subject import load_networks, load_subject

    (scan,) = cases(lps="unused")
    subject = load_subject(finished_run, load_networks(finished_run), scan)
    one = np.array([[1.0, 0.5, 0.2], [0.0, 0.5, 0.3], [0.0, 0.0, 0.5]], np.float32)
    other = np.array([[0.0, 0.5, 0.4], [0.0, 0.5, 0.3], [1.0, 0.0, 0.3]], np.float32)
    shape = (3, 3, 1, 1)
    found = subject.distance(one.reshape(shape), other.reshape(shape)).ravel()
    np.testing.assert_allclose(found, [1.0, 0.0, 0.2], atol=1e-6)


def test_probe_of_a_scan_has_a_row_for_each_condition(inspect):
    inspection = inspect()
    inspection.folder.ask(ProbeAsk(class_ids=(5,), draws=2))
    inspection.next(e.InspectionReady)
    found = inspection.next(e.ProbeFinished)
    rows = [ProbeRow(**row) for row in found.rows]
    assert {row.class_id for row in rows} == {5}
    assert [(row.place, row.condition) for row in rows] == [
        ("nowhere", "visible"),
        *(("organ", hiding) for hiding in ("token", "mean", "noise")),
        *(("elsewhere", hiding) for hiding in ("token", "mean", "noise")),
        ("organ", "average shape"),
    ]
    assert rows[-1].dsc > 0.4
    assert {row.draws for row in rows[1:4]} == {2}


def test_probe_of_a_box_scores_each_organ_in_it(inspect):
    inspection = inspect()
    inspection.folder.ask(ProbeAsk(box=((0, 24), (5, 19), (2, 11)), draws=1))
    inspection.next(e.InspectionReady)
    rows = [ProbeRow(**row) for row in inspection.next(e.ProbeFinished).rows]
    assert {row.class_id for row in rows} == {2, 5}
    assert {row.place for row in rows} == {"nowhere", "box", "elsewhere"}


def test_of_several_asks_of_a_kind_the_newest_is_answered(inspect):
    inspection = inspect()
    for seed in (1, 2, 3):
        inspection.folder.ask(ReconstructAsk(masking=BLOCKS, seed=seed))
    inspection.next(e.InspectionReady)
    assert [inspection.next(e.AskDropped).ask for _ in range(2)] == [1, 2]
    assert inspection.next(e.Reconstructed).ask == 3


def test_newer_ask_takes_the_place_of_one_under_way(inspect):
    inspection = inspect()
    inspection.folder.ask(ReconstructAsk(masking=BLOCKS))
    assert inspection.wait_for_progress().ask == 1
    inspection.folder.ask(ReconstructAsk(masking=BLOCKS, seed=1))
    assert inspection.next(e.AskDropped).ask == 1
    assert inspection.next(e.Reconstructed).ask == 2


def test_ask_of_another_kind_need_not_wait_for_a_long_one(inspect):
    inspection = inspect()
    inspection.folder.ask(ProbeAsk(draws=1))
    assert inspection.wait_for_progress().ask == 1
    inspection.folder.ask(ReconstructAsk(masking=BLOCKS))
    assert inspection.next(e.Reconstructed).ask == 2
    assert inspection.next(e.ProbeFinished).ask == 1


def test_ask_can_be_withdrawn_before_and_under_way(inspect):
    inspection = inspect()
    inspection.folder.withdraw(inspection.folder.ask(DisagreeAsk()))
    inspection.next(e.InspectionReady)
    assert inspection.next(e.AskDropped).ask == 1
    number = inspection.folder.ask(ProbeAsk())
    assert inspection.wait_for_progress().ask == number == 2
    inspection.folder.withdraw(number)
    assert inspection.next(e.AskDropped).ask == 2


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (ReconstructAsk(class_id=9), "hold no class 9; there are 2, 5"),
        (ReconstructAsk(box=((50, 60), (0, 5), (0, 5))), "lies outside of “lps”"),
        (ReconstructAsk(box=((0, 50), (0, 50), (0, 50)), hiding="mean"), "smaller part"),
        (DisagreeAsk(with_teacher=False), "nothing to compare"),
        (ProbeAsk(class_ids=(2, 9)), "hold no class 9"),
        (ProbeAsk(box=((0, 2), (0, 2), (0, 2))), "no labelled organ"),
    ],
)
def test_what_cannot_be_answered_is_said_and_the_next_is_answered(inspect, ask, message):
    inspection = inspect()
    inspection.folder.ask(ask)
    inspection.next(e.InspectionReady)
    failed = inspection.next(e.AskFailed)
    assert failed.ask == 1
    assert message in failed.message
    inspection.folder.ask(ReconstructAsk(masking=BLOCKS))
    assert inspection.next(e.Reconstructed).ask == 2


def test_file_that_is_no_ask_is_named(inspect):
    inspection = inspect()
    inspection.folder.asks.mkdir()
    file = inspection.folder.asks / "000001.yaml"
    file.write_text("kind: reconstruct\nseed: -1\n")
    inspection.next(e.InspectionReady)
    assert str(file) in inspection.next(e.AskFailed).message


def test_supervised_run_has_neither_token_nor_teacher(inspect, tmp_path, tiny_spec):
    changes = {"objective": {"method": "supervised"}, "training": {"steps": 1}}
    spec = RunSpec(
        config=tiny_spec.config.updated(changes),
        cases=tiny_spec.cases,
        class_names=tiny_spec.class_names,
    )
    run = RunFolder(tmp_path / "supervised").create(spec)
    *_, last = execute(run.path)
    assert last.reason == "completed", last
    inspection = inspect(run)
    ready = inspection.next(e.InspectionReady)
    assert (ready.hidings, ready.has_teacher) == (("mean", "noise"), False)
    inspection.folder.ask(ReconstructAsk(hiding="token"))
    assert "no mask token" in inspection.next(e.AskFailed).message
    inspection.folder.ask(ReconstructAsk(masking=BLOCKS))
    assert inspection.next(e.Reconstructed).teacher is None
    inspection.folder.ask(DisagreeAsk())
    assert "no teacher" in inspection.next(e.AskFailed).message


def test_scan_without_labels_can_be_looked_into_but_not_probed(tmp_path, finished_run, cases):
    (scan,) = cases(lps="unused")
    spec = InspectSpec(run=finished_run.path, scan=scan.model_copy(update={"labels": None}))
    inspection = Inspection(InspectFolder(tmp_path / "inspect").create(spec))
    assert inspection.next(e.InspectionReady).reference is None
    inspection.folder.ask(ReconstructAsk(masking=BLOCKS))
    found = inspection.next(e.Reconstructed)
    assert (found.hidden, found.dsc_inside, found.reference) == ({}, {}, None)
    inspection.folder.ask(ProbeAsk())
    assert "has no labels" in inspection.next(e.AskFailed).message
    inspection.folder.send("stop")
    assert inspection.next(e.RunFinished).reason == "stopped"


def test_stop_ends_it_even_in_the_middle_of_an_answer(inspect):
    inspection = inspect()
    inspection.folder.ask(ProbeAsk())
    inspection.wait_for_progress()
    inspection.folder.send("stop")
    assert inspection.next(e.RunFinished).reason == "stopped"
    assert not list(inspection.events)
    assert not inspection.folder.is_alive()


def test_end_of_the_watcher_ends_it(inspect, monkeypatch):
    monkeypatch.setattr(serve, "LOOK_SECONDS", 0.0)
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        started = psutil.Process(process.pid).create_time()
        own = ProcessId.own()
        watcher = own.model_copy(update={"pid": process.pid, "started": started})
        inspection = inspect(watcher=watcher)
        inspection.next(e.InspectionReady)
        inspection.folder.ask(ReconstructAsk(masking=BLOCKS))
        inspection.next(e.Reconstructed)
        process.stdin.close()
        process.wait()
    last = inspection.next(e.RunFinished)
    assert (last.reason, last.message) == ("completed", "The program that asked has ended.")


def test_nobody_asking_ends_it(inspect):
    inspection = inspect(idle_minutes=0.1 / 60)
    inspection.next(e.InspectionReady)
    assert "Nothing was asked" in inspection.next(e.RunFinished).message


def test_folder_that_is_removed_ends_it(inspect):
    inspection = inspect()
    inspection.next(e.InspectionReady)
    inspection.folder.spec_path.unlink()
    assert inspection.next(e.RunFinished).reason == "stopped"


def test_scan_that_is_gone_is_named(tmp_path, finished_run, cases):
    (scan,) = cases(lps="unused")
    spec = InspectSpec(
        run=finished_run.path, scan=scan.model_copy(update={"image": tmp_path / "gone.nii"})
    )
    *_, last = execute(InspectFolder(tmp_path / "inspect").create(spec).path)
    assert last.reason == "failed"
    assert "gone.nii does not exist" in last.message


def test_folder_serves_one_scan_alone(inspect):
    inspection = inspect()
    with pytest.raises(RunError, match="holds an inspection already"):
        inspection.folder.create(inspection.folder.spec())


def test_watcher_reads_the_answers_from_the_folder(inspect):
    inspection = inspect()
    inspection.folder.ask(ReconstructAsk(masking=BLOCKS))
    inspection.next(e.InspectionReady)
    told = inspection.next(e.Reconstructed)
    (read,) = (
        event
        for event in JournalReader(inspection.folder.path).read()
        if isinstance(event, e.Reconstructed)
    )
    assert np.array_equal(read.mask, told.mask)
    assert read.hidden == told.hidden


@pytest.mark.slow
def test_child_process_answers_and_imports_of_the_asking_side_need_no_torch(inspect):
    from napari_medcontext.runners import ProcessRunner

    inspection = inspect(watcher=ProcessId.own())
    runner = ProcessRunner(inspection.folder)
    inspection.folder.ask(ReconstructAsk(masking=BLOCKS))
    runner.start()
    for event in runner.events():
        if isinstance(event, e.Reconstructed):
            runner.stop()
    assert event.reason == "stopped"
    code = "import napari_medcontext.core.inspection, napari_medcontext.core.probe, sys;"
    code += "raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_threads_are_those_of_the_run(inspect):
    inspect().next(e.InspectionReady)
    assert torch.get_num_threads() == 1
