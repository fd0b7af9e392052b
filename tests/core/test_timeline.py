import shutil

import numpy as np
import pytest

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.errors import RunError
from napari_medcontext.core.events import PreviewReady
from napari_medcontext.core.jobs import execute
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.timeline import Timeline, surplus_steps

SHAPE = (10, 9, 8)
NAMES = {2: "liver", 300: "spleen"}


def preview(step, **changes):
    rng = np.random.default_rng(step)
    image = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    masked = image.copy()
    masked[:4] = 0.25
    arrays = {
        name: rng.choice([0, 2, 300], SHAPE).astype(np.uint16)
        for name in ("student_masked", "student", "teacher")
    }
    arrays["reference"] = np.random.default_rng(1).choice([0, 2], SHAPE).astype(np.uint8)
    return PreviewReady(step, "scan", np.diag([1, 2, 3, 1.0]), image, masked, **(arrays | changes))


def test_kept_preview_comes_back_with_the_same_labels_and_nearly_the_same_image(tmp_path):
    told = preview(40)
    Timeline(tmp_path, 3).keep(told, NAMES)
    timeline = Timeline(tmp_path)
    read = timeline.read(40)
    for name in ("student_masked", "student", "teacher", "reference", "affine"):
        np.testing.assert_array_equal(getattr(read, name), getattr(told, name))
    inside = np.abs(told.image) < 2.5
    assert np.abs(read.image - told.image)[inside].max() < np.ptp(told.image) / 255
    np.testing.assert_array_equal(read.masked != read.image, told.masked != told.image)
    assert (read.step, read.name) == (40, "scan")
    assert timeline.class_names == NAMES
    assert timeline.read(40).image is read.image


def test_what_there_was_not_is_not_there_afterwards(tmp_path):
    Timeline(tmp_path, 3).keep(preview(1, teacher=None, reference=None), {})
    read = Timeline(tmp_path).read(1)
    assert read.teacher is None
    assert read.reference is None


def test_steps_are_thinned_evenly_and_the_ends_stay(tmp_path):
    timeline = Timeline(tmp_path, 8)
    for step in range(10, 1010, 10):
        timeline.keep(preview(step), NAMES)
    steps = timeline.steps()
    assert len(steps) == 8
    assert (steps[0], steps[-1]) == (10, 1000)
    gaps = np.diff(steps)
    assert gaps.max() <= 4 * gaps.min()


@pytest.mark.parametrize(("most", "left"), [(1, [5]), (2, [1, 5]), (5, [1, 2, 3, 4, 5])])
def test_few_steps_keep_the_newest(most, left):
    steps = [1, 2, 3, 4, 5]
    assert [step for step in steps if step not in surplus_steps(steps, most)] == left


def test_nothing_is_kept_where_none_are_asked_for(tmp_path):
    Timeline(tmp_path, 0).keep(preview(1), NAMES)
    assert not (tmp_path / "timeline").exists()


def test_compact_against_the_arrays_themselves(tmp_path):
    labels = np.zeros((64, 64, 32), np.uint8)
    labels[20:40, 20:40, 10:20] = 2
    told = preview(1)
    image = np.random.default_rng(0).normal(size=labels.shape).astype(np.float32)
    told = PreviewReady(1, "scan", told.affine, image, image, labels, labels, labels, labels)
    Timeline(tmp_path, 1).keep(told, NAMES)
    assert (tmp_path / "timeline" / "000001.npz").stat().st_size < labels.nbytes / 50


def test_unreadable_or_missing_steps_say_what_to_do(tmp_path):
    timeline = Timeline(tmp_path, 4)
    with pytest.raises(RunError, match="folder is gone"):
        timeline.read(3)
    timeline.keep(preview(3), NAMES)
    (tmp_path / "timeline" / "000003.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(RunError, match="cannot be read"):
        timeline.read(3)
    (tmp_path / "timeline" / "000003.npz").write_bytes(b"")
    with pytest.raises(RunError, match="cannot be read"):
        timeline.read(3)


def test_a_disk_that_takes_nothing_does_not_end_the_training(tmp_path):
    (tmp_path / "timeline").write_text("in the way")
    Timeline(tmp_path, 4).keep(preview(1), NAMES)
    assert Timeline(tmp_path).steps() == []


def test_run_keeps_its_previews_and_a_resumed_one_does_the_later_ones_again(tiny_spec, tmp_path):
    run = RunFolder(tmp_path / "run").create(tiny_spec)
    every = tiny_spec.config.updated({"training": {"preview_every": 1e-3, "steps": 3}})
    run.save_spec(tiny_spec.model_copy(update={"config": every}))
    *_, last = execute(run.path)
    assert last.reason == "completed", last
    steps = Timeline(run.path).steps()
    assert steps[-1] == 3
    assert Timeline(run.path).read(3).step == 3
    shutil.copy(run.path / "timeline" / "000003.npz", run.path / "timeline" / "000009.npz")
    longer = every.updated({"training": {"steps": 4}})
    run.save_spec(tiny_spec.model_copy(update={"config": longer}))
    *_, last = execute(run.path)
    assert last.reason == "completed", last
    assert Timeline(run.path).steps()[-1] == 4


def test_default_keeps_some():
    assert RunConfig().training.kept_previews > 1
