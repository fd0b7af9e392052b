import csv
import shutil

import pytest
import torch

from napari_medcontext.core.errors import SettingsError, TrainingError
from napari_medcontext.core.events import (
    CheckpointSaved,
    Paused,
    PreviewReady,
    Resumed,
    RunFinished,
    RunStarted,
    StepFinished,
    ValidationFinished,
    Warned,
)
from napari_medcontext.core.log_table import LOG_COLUMNS
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.trainer import train


@pytest.fixture(scope="module")
def dataset(tiny_spec, loaded):
    return loaded(tiny_spec)[0]


@pytest.fixture
def run(tmp_path, tiny_spec):
    return RunFolder(tmp_path / "run").create(tiny_spec)


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def after(steps, events):
    """Return a question that says yes once so many steps are among the events."""
    return lambda: len(of(StepFinished, events)) >= steps


def test_each_step_gives_one_event_and_the_last_says_finished(tiny_config, dataset):
    events = list(train(tiny_config, dataset))
    assert isinstance(events[0], RunStarted)
    assert events[0].class_names == {2: "liver", 5: "spleen"}
    assert (events[0].mask_axis, events[0].validated) == ("z", True)
    steps = of(StepFinished, events)
    assert [event.step for event in steps] == [1, 2, 3, 4]
    assert all(set(s.losses) == {"dice_ce", "dice_ce_masked", "consistency"} for s in steps)
    assert isinstance(events[-1], RunFinished)
    assert (events[-1].reason, events[-1].step) == ("completed", 4)
    assert of(CheckpointSaved, events) == []


def test_losses_are_the_same_whatever_lay_in_memory_before(tiny_config, dataset):
    """On small patches PyTorch's gradients in bfloat16 are not, where a processor has that."""
    config = tiny_config.updated({"device": {"precision": "auto"}})
    found = []
    for _ in range(3):
        litter = [torch.full((2**size,), torch.nan) for size in range(4, 21) for _ in range(8)]
        del litter
        found.append([event.losses for event in of(StepFinished, train(config, dataset))])
    assert found[0] == found[1] == found[2]


def test_who_learns_in_bfloat16_on_a_processor_is_warned(tiny_config, dataset):
    config = tiny_config.updated({"device": {"precision": "bfloat16"}})
    work = train(config, dataset)
    first = next(work)
    work.close()
    assert isinstance(first, Warned)
    assert "float32" in first.message


def test_resumed_run_gives_the_same_losses_as_an_unbroken_one(tiny_config, dataset, run):
    config = tiny_config.updated({"data": {"augmentation": "gentle"}})
    unbroken = of(StepFinished, train(config, dataset))
    events = []
    for event in train(config, dataset, run=run, should_stop=after(2, events)):
        events.append(event)  # noqa: PERF402 - the question looks at the list meanwhile
    assert (events[-1].reason, events[-1].step) == ("stopped", 2)
    assert run.last_step() == 2
    run.append_log({"step": 3, "dice_ce": 99})
    second = list(train(config, dataset, run=run))
    assert second[0].first_step == 2
    resumed = of(StepFinished, events) + of(StepFinished, second)
    assert [s.step for s in resumed] == [1, 2, 3, 4]
    for one, other in zip(unbroken, resumed, strict=True):
        assert one.losses == pytest.approx(other.losses, rel=1e-6)
        assert (one.momentum, one.learning_rate) == (other.momentum, other.learning_rate)
    with (run.path / "log.csv").open(newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert tuple(reader.fieldnames) == LOG_COLUMNS
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4]
    assert float(rows[3]["dice_ce"]) == pytest.approx(unbroken[3].losses["dice_ce"], rel=1e-6)


def test_best_weights_are_kept_where_there_is_validation(tiny_config, dataset, run):
    config = tiny_config.updated({"training": {"validate_every": 1}})
    events = list(train(config, dataset, run=run))
    validations = of(ValidationFinished, events)
    assert [event.step for event in validations] == [1, 2, 3, 4]
    best = max(validations, key=lambda event: event.mean_dsc)
    assert run.best_state().name == f"best-{best.step:06d}"
    assert [v.best for v in validations].count(True) >= 1
    assert f"step {best.step}" in events[-1].message
    for validation in validations:
        assert set(validation.dsc) == {2, 5}
        mean = sum(validation.dsc.values()) / 2
        assert validation.mean_dsc == pytest.approx(mean)
    with (run.path / "validation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class_name"] for row in rows] == ["liver", "spleen"] * 4


def test_pause_saves_waits_and_goes_on(tiny_config, dataset, run):
    asked = iter([False, True, True, False])
    events = list(train(tiny_config, dataset, run=run, should_pause=lambda: next(asked, False)))
    assert of(Paused, events) == [Paused(1)]
    assert of(Resumed, events) == [Resumed(1)]
    paused = events.index(Paused(1))
    assert events[paused - 1] == CheckpointSaved(1)
    assert len(of(StepFinished, events)) == 4


def test_preview_shows_every_view_with_the_users_ids(tiny_config, dataset):
    config = tiny_config.updated({"training": {"steps": 1, "preview_every": 100.0}})
    (preview,) = of(PreviewReady, train(config, dataset))
    views = (preview.student, preview.student_masked, preview.teacher, preview.reference)
    for view in views:
        assert view.shape == preview.image.shape == preview.masked.shape
        assert set(view.ravel().tolist()) <= {0, 2, 5}
    assert (preview.masked != preview.image).mean() == pytest.approx(0.4, abs=0.1)


def test_supervised_run_has_one_loss_and_a_preview_without_teacher(tiny_config, dataset):
    config = tiny_config.updated(
        {"objective": {"method": "supervised"}, "training": {"steps": 1, "preview_every": 9.0}}
    )
    events = list(train(config, dataset))
    assert set(of(StepFinished, events)[0].losses) == {"dice_ce"}
    assert of(PreviewReady, events)[0].teacher is None


def test_patch_size_that_the_network_cannot_take_is_refused(tiny_config, dataset):
    config = tiny_config.updated({"data": {"patch_size": (30, 16, 16)}})
    with pytest.raises(SettingsError, match=r"\(32, 16, 16\) fits"):
        next(train(config, dataset))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_device_that_is_not_there_is_refused(tiny_config, dataset):
    config = tiny_config.updated({"device": {"device": "cuda"}})
    with pytest.raises(SettingsError, match="cuda"):
        next(train(config, dataset))


def test_mask_block_as_large_as_the_patch_is_refused_unless_nothing_is_masked(tiny_config, dataset):
    config = tiny_config.updated({"masking": {"block_size": 32}, "training": {"steps": 1}})
    with pytest.raises(SettingsError, match="to 31 or less"):
        next(train(config, dataset))
    supervised = config.updated({"objective": {"method": "supervised"}})
    assert list(train(supervised, dataset))[-1].reason == "completed"


def test_stop_during_a_pause_does_no_further_step(tiny_config, dataset, run):
    events = []
    paused = lambda: bool(of(StepFinished, events))  # noqa: E731
    stopped = lambda: bool(of(Paused, events))  # noqa: E731
    for event in train(tiny_config, dataset, run=run, should_pause=paused, should_stop=stopped):
        events.append(event)  # noqa: PERF402 - the questions look at the list meanwhile
    assert len(of(StepFinished, events)) == 1
    assert of(Resumed, events) == []
    assert (events[-1].reason, events[-1].step) == ("stopped", 1)
    # Saved after the first step already, and so not again for the pause.
    assert of(CheckpointSaved, events) == [CheckpointSaved(1)]


def test_each_new_best_is_saved_with_a_state_to_go_on_from(tiny_config, dataset, run):
    config = tiny_config.updated({"training": {"validate_every": 1}})
    for event in train(config, dataset, run=run):
        if isinstance(event, StepFinished) and run.best_state() is not None:
            assert run.last_step() >= int(run.best_state().name.removeprefix("best-"))


def test_resumed_run_whose_best_weights_are_gone_keeps_its_next_best(tiny_config, dataset, run):
    events = []
    for event in train(tiny_config, dataset, run=run, should_stop=after(2, events)):
        events.append(event)  # noqa: PERF402 - the question looks at the list meanwhile
    step, weights, rest = run.load_state()
    rest = {**rest, "best_mean_dsc": 1.0, "best_step": 2}
    shutil.rmtree(run.newest_state())
    run.save_state(step, weights, {"napari_medcontext": "0"}, rest)
    (validation,) = of(ValidationFinished, train(tiny_config, dataset, run=run))
    assert validation.best
    assert run.best_state().name == "best-000004"


def test_loss_that_is_no_number_ends_the_training_with_what_to_lower(tiny_config, dataset, run):
    config = tiny_config.updated(
        {"training": {"learning_rate": 1e30, "warmup_steps": 0, "gradient_clip": 0}}
    )
    with pytest.raises(TrainingError, match=r"Lower the learning rate.*is kept"):
        list(train(config, dataset, run=run))
