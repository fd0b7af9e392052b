"""What goes wrong in the window is told by layer or file, changes nothing, and can be mended."""

import json
import os
import signal
import sys

import numpy as np
import psutil
import pytest
from dock_helpers import AFFINE, SHAPE, anatomy, docked, finish, predict_dock
from npe2 import PluginManager
from safetensors.numpy import save_file

from napari_medcontext.core.config import RunSpec
from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.events import (
    CheckpointSaved,
    PreviewReady,
    RunFinished,
    RunStarted,
    StepFinished,
)
from napari_medcontext.core.io import read_volume, write_volume
from napari_medcontext.core.journal import JournalWriter
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.volume import Volume
from napari_medcontext.widgets.preview import PreviewDock
from napari_medcontext.widgets.session import session_of

IMAGE, LABELS = "scan 1", "scan 1 organs"
STEPS = 15
MANY = 150


@pytest.fixture
def dock(train_dock):
    train_dock.set_config(train_dock.config().updated({"training": {"steps": 3}}))
    return train_dock


def snapshot(viewer):
    """Return all that a refusal must leave alone: the layers, their voxels and their places."""
    return [
        (id(layer), layer.name, id(layer.data), layer.data.tobytes(), str(layer.extent.world))
        for layer in viewer.layers
    ]


def refusal(dock, viewer, qtbot):
    """Press Train, and return the message of a refusal that left everything as it was."""
    before = snapshot(viewer)
    dock.train_button.click()
    qtbot.waitUntil(lambda: not session_of(viewer).is_training, timeout=120_000)
    assert snapshot(viewer) == before
    assert dock.train_button.isEnabled()
    assert not dock.stop_button.isEnabled()
    return dock.message.text()


def wait_for(qtbot, viewer, kind):
    """Wait for an event of the viewer's run, and return it."""
    with qtbot.waitSignal(
        session_of(viewer).event_received,
        timeout=120_000,
        check_params_cb=lambda event: isinstance(event, kind),
    ) as signal_seen:
        pass
    return signal_seen.args[0]


# What a user may have open. Each takes the viewer and returns the row to choose, if any: image,
# labels and role.


def labels_of_another_shape(viewer):
    viewer.add_labels(np.ones((5, 6, 7), np.uint8), name="liver")
    return IMAGE, "liver", "training"


def labels_elsewhere(viewer):
    layer = viewer.add_labels(np.ones_like(viewer.layers[LABELS].data), name="liver")
    layer.translate = (0, 0, 400)
    return IMAGE, "liver", "training"


def slice_alone(viewer):
    viewer.add_image(np.ones((24, 20), np.float32), name="slice")
    viewer.add_labels(np.ones((24, 20), np.uint8), name="slice organs")
    return "slice", "slice organs", "training"


def series(viewer):
    viewer.add_image(np.ones((2, *SHAPE), np.float32), name="series")
    viewer.add_labels(np.ones((2, *SHAPE), np.uint8), name="series organs")
    return "series", "series organs", "training"


def colours(viewer):
    viewer.add_image(np.ones((*SHAPE, 3), np.uint8), rgb=True, name="photographs")
    return "photographs", None, "preview"


def with_voxel(layer, value):
    data = layer.data.astype(np.int16 if layer.name == LABELS else np.float32)
    data[3, 4, 5] = value
    layer.data = data


def not_a_number(viewer):
    with_voxel(viewer.layers[IMAGE], np.nan)


def infinite(viewer):
    with_voxel(viewer.layers[IMAGE], -np.inf)


def negative_id(viewer):
    with_voxel(viewer.layers[LABELS], -4)


def background_only(viewer):
    viewer.layers[LABELS].data = np.zeros_like(viewer.layers[LABELS].data)


def one_class_everywhere(viewer):
    viewer.layers[LABELS].data = np.full_like(viewer.layers[LABELS].data, 3)


REFUSED = {
    labels_of_another_shape: ("“liver”", "(5, 6, 7)", f"“{IMAGE}”", "Pair each scan"),
    labels_elsewhere: ("“liver”", f"“{IMAGE}”", "affines differ", "Choose the labels"),
    slice_alone: ("“slice”", "2 dimensions", "a scan must have 3"),
    series: ("“series”", "4 dimensions", "Split channels or time points"),
    colours: ("“photographs”", "colours", "convert it to grey"),
    not_a_number: (f"“{IMAGE}”", "1 voxels that are NaN", "Replace"),
    infinite: (f"“{IMAGE}”", "1 voxels that are NaN or infinite", "Replace"),
    negative_id: (f"“{LABELS}”", "negative", "-4", "whole numbers from 0 up"),
    background_only: (f"“{LABELS}”", "empty", "Paint"),
    one_class_everywhere: (f"“{LABELS}”", "one class only, 3", "Leave the background 0"),
}


def test_wrong_layers_are_refused_by_name_and_mended_ones_train_in_the_same_dock(
    dock, viewer, qtbot, tmp_path
):
    own = [(layer, layer.data) for layer in viewer.layers]
    unsaid = {}
    for spoil, parts in REFUSED.items():
        if row := spoil(viewer):
            image, labels, role = row
            dock.scans.choose(viewer.layers[image], labels and viewer.layers[labels], role)
        message = refusal(dock, viewer, qtbot)
        unsaid[spoil.__name__] = [part for part in parts if part not in message]
        assert not (tmp_path / "run").exists(), spoil.__name__
        mend(viewer, own)
        dock.scans.pair()
    assert not any(unsaid.values()), unsaid
    finish(qtbot, dock, dock.train_button.click)
    assert "Finished 3 steps" in dock.message.text()
    assert RunFolder(tmp_path / "run").last_step() == 3


def mend(viewer, own):
    """Remove the layers that were added, and give the others their voxels back."""
    for layer in set(viewer.layers) - {layer for layer, _ in own}:
        viewer.layers.remove(layer)
    for layer, data in own:
        layer.data = data


def test_run_folder_that_cannot_be_written_is_named(dock, viewer, qtbot, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for folder in ("file", "file/below", *(["/proc/below"] if os.path.isdir("/proc") else [])):
        dock.run_path.setText(str(tmp_path / folder))
        message = refusal(dock, viewer, qtbot)
        for part in (str(tmp_path / folder), "cannot be written", "Choose a folder"):
            assert part in message
        assert not (tmp_path / folder / "scans").exists()
    assert (tmp_path / "file").read_text() == "in the way"


# Files


@pytest.fixture
def drawn_study(tmp_path):
    """A study of two scans, one class, its labels stored as floats that are whole numbers."""
    for number in (1, 2):
        image, organ = anatomy(number)
        write_volume(tmp_path / f"study/images/case{number}.nii", Volume(image, AFFINE))
        floats = Volume(organ.astype(np.float32), AFFINE)
        write_volume(tmp_path / f"study/labels/case{number}.nii", floats)
    PluginManager.instance().discover()
    return tmp_path / "study"


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def write_a_letter(path):
    path.write_text("a letter, not a scan")


def share_a_voxel(path):
    labels = read_volume(path)
    labels.array[3, 4, 5] = 0.5
    write_volume(path, labels)


DAMAGES = (
    ("images/case2.nii", cut, ("case2.nii", "cut short", "Copy or export it again")),
    ("labels/case2.nii", cut, ("case2.nii", "cut short", "Copy or export it again")),
    ("images/case2.nii", write_a_letter, ("case2.nii", "not a NIfTI file", "Choose")),
    ("labels/case2.nii", share_a_voxel, ("“case2 labels”", "whole number", "0.5", "export")),
)


def test_study_with_a_damaged_file_opens_not_at_all_and_names_it(drawn_study, dock, viewer):
    before, rows = snapshot(viewer), [row.image for row in dock.scans.rows()]
    for file, spoil, parts in DAMAGES:
        good = (drawn_study / file).read_bytes()
        spoil(drawn_study / file)
        with pytest.raises(MedContextError) as refused:
            viewer.open(str(drawn_study), plugin="napari-medcontext")
        assert [part for part in parts if part not in str(refused.value)] == []
        assert snapshot(viewer) == before
        assert [row.image for row in dock.scans.rows()] == rows
        (drawn_study / file).write_bytes(good)


def test_one_class_and_whole_numbers_stored_as_floats_are_ready_to_train(drawn_study, dock, viewer):
    viewer.layers.clear()
    viewer.open(str(drawn_study), plugin="napari-medcontext")
    rows = dock.scans.rows()
    assert [(row.labels.name, row.labels.data.dtype, row.role) for row in rows] == [
        ("case1 labels", np.uint8, "training"),
        ("case2 labels", np.uint8, "training"),
    ]
    assert dock.preflight.text().startswith("✓ 2 to train on")


# The run's own files


def remove(path):
    path.unlink()


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def swap_for_a_foreign_one(path):
    save_file({"weight": np.zeros(3, np.float32)}, path)


@pytest.fixture
def trained(tmp_path):
    """A run folder with a weight file that is whole, as far as its form goes."""
    run = RunFolder(tmp_path / "trained").create(RunSpec())
    state = run.path / "states" / "step-000003"
    state.mkdir(parents=True)
    facts = {"napari_medcontext": "0", "class_ids": "[0, 3]"}
    save_file({"weight": np.zeros(300, np.float32)}, state / "student.safetensors", facts)
    return run


@pytest.fixture
def predict(dock, viewer, trained):
    return predict_dock(viewer, trained, IMAGE)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (halve, "is cut short or damaged"),
        # The same way as above; the file itself is read in the tests of the run folder.
        pytest.param(remove, "is missing", marks=pytest.mark.slow),
        pytest.param(
            swap_for_a_foreign_one, "not written by napari-medcontext", marks=pytest.mark.slow
        ),
    ],
)
def test_damaged_weights_are_named_and_no_layer_is_added(
    spoil, problem, predict, viewer, qtbot, trained
):
    weights = trained.newest_state() / "student.safetensors"
    spoil(weights)
    before = snapshot(viewer)
    finish(qtbot, predict, predict.predict_button.click)
    for part in (str(weights), problem):
        assert part in predict.message.text()
    assert snapshot(viewer) == before
    assert predict.predict_button.isEnabled()


def test_folder_or_scan_that_cannot_be_predicted_is_refused_by_name(
    predict, viewer, qtbot, trained, tmp_path
):
    series(viewer)
    slice_alone(viewer)
    colours(viewer)
    not_a_number(viewer)
    before = snapshot(viewer)
    cases = (
        (tmp_path / "none", IMAGE, (str(tmp_path / "none"), "is no run folder", "Choose")),
        (trained.path, None, ("No scan is ticked", "Tick")),
        (trained.path, "photographs", ("“photographs”", "colours", "grey")),
        (trained.path, IMAGE, (f"“{IMAGE}”", "NaN", "Replace")),
    )
    for run, image, parts in cases:
        predict.run_path.setText(str(run))
        predict.tick([viewer.layers[image]] if image else [])
        predict.predict_button.click()
        qtbot.waitUntil(predict.predict_button.isEnabled, timeout=120_000)
        assert [part for part in parts if part not in predict.message.text()] == []
        assert snapshot(viewer) == before
    offered = {predict.scans.item(index).text() for index in range(predict.scans.count())}
    assert not offered & {"series", "slice"}


# While it trains


@pytest.mark.slow
def test_run_goes_on_when_its_layers_are_removed(dock, viewer, qtbot, tmp_path):
    preview = docked(viewer, PreviewDock)
    dock.set_config(dock.config().updated({"training": {"steps": STEPS, "preview_every": 60.0}}))
    dock.train_button.click()
    removed_at = wait_for(qtbot, viewer, StepFinished).step
    viewer.layers.remove(IMAGE)
    viewer.layers.remove(LABELS)
    assert [row.image.name for row in dock.scans.rows()] == ["scan 2"]
    if session_of(viewer).is_training:
        finish(qtbot, dock, lambda: None)
    assert removed_at < STEPS
    assert f"Finished {STEPS} steps" in dock.message.text()
    assert dock.curves.points("dice_ce")[0] == list(range(1, STEPS + 1))
    assert session_of(viewer).recent[PreviewReady].step == STEPS
    assert preview.header.text().startswith(f"step {STEPS} of {STEPS}")
    assert [layer.name for layer in viewer.layers] == ["scan 2", "scan 2 organs"]
    assert dock.train_button.isEnabled()


@pytest.mark.slow
def test_killed_training_is_told_within_seconds_and_gone_on_with(dock, viewer, qtbot, tmp_path):
    long = {"training": {"steps": 100_000, "checkpoint_every": 0.5}}
    dock.set_config(dock.config().updated(long))
    run = RunFolder(tmp_path / "run")
    dock.train_button.click()
    wait_for(qtbot, viewer, CheckpointSaved)
    pid = json.loads((run.path / "heartbeat.json").read_text())["pid"]
    assert psutil.Process(pid).ppid() == os.getpid()
    before = snapshot(viewer)
    kill = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL
    finish(qtbot, dock, lambda: os.kill(pid, kill), seconds=10)
    for part in (str(run.path), "was killed", "What was saved is kept", "Resume"):
        assert part in dock.message.text()
    assert snapshot(viewer) == before
    assert dock.train_button.isEnabled()
    assert not dock.stop_button.isEnabled()
    saved = run.last_step()
    assert saved > 0
    dock.resume_button.click()
    assert wait_for(qtbot, viewer, RunStarted).first_step == saved
    assert wait_for(qtbot, viewer, StepFinished).step > saved
    finish(qtbot, dock, dock.stop_button.click)
    assert run.last_step() > saved
    assert dock.train_button.isEnabled()


def test_run_that_was_killed_and_gone_on_with_elsewhere_is_told_in_order_to_its_last_end(
    dock, viewer, qtbot, trained
):
    journal = JournalWriter(trained.path)
    for attempt in range(2):
        first = attempt * MANY
        journal.write(run_started(first))
        for step in range(first + 1, first + MANY + 1):
            journal.write(StepFinished(step, {"dice_ce": 1.0}, 0.9, 1e-3, 0.1))
        journal.write(RunFinished("stopped", first + MANY, f"Stopped after {first + MANY}."))
    journal.close()
    ends = []
    dock.finished.connect(lambda: ends.append(dock.message.text()))
    finish(qtbot, dock, lambda: session_of(viewer).attach(trained.path))
    qtbot.wait(300)
    assert dock.curves.points("dice_ce")[0] == list(range(1, 2 * MANY + 1))
    assert ends == [f"Stopped after {2 * MANY}."]
    assert dock.message.text() == ends[0]
    assert dock.train_button.isEnabled()


def run_started(first_step):
    return RunStarted(
        first_step, 2 * MANY, "cpu", "float32", 1, "unet", "medcontext", "z",
        {3: "box"}, (1.0, 1.0, 2.0), False,
    )  # fmt: skip
