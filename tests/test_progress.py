"""What a terminal shows of a run."""

import io

import pytest
from rich.console import Console

from napari_medcontext.core.events import Preparing, RunFinished, RunStarted, StepFinished
from napari_medcontext.progress import shown


def started(**changes):
    values = {
        "first_step": 0,
        "steps": 3,
        "device": "cpu",
        "precision": "float32",
        "parameters": 1_500_000,
        "network": "unet",
        "method": "medcontext",
        "mask_axis": "z",
        "class_names": {1: "WT", 2: "TC"},
        "spacing": (1.0, 1.0, 2.5),
        "validated": False,
    }
    return RunStarted(**{**values, **changes})


def step(number, seconds=0.5, **losses):
    return StepFinished(number, losses, momentum=0.9, learning_rate=1e-3, seconds=seconds)


def printed(*events, width=200):
    console = Console(width=width, file=io.StringIO())
    last = RunFinished("completed", 3, "Done.")
    assert shown([*events, last], console) == last
    return console.file.getvalue()


def test_loss_that_a_step_lacks_stays_as_it_came_last():
    whole, masked = {"dice_ce": 0.75}, {"dice_ce": 0.5, "dice_ce_masked": 0.625}
    text = printed(started(), step(1, **whole), step(2, **masked), step(3, **whole))
    assert "2.0 steps/s · loss 0.750 · masked 0.625" in text
    assert "· teacher" not in text


def test_narrow_terminal_cuts_the_losses_and_not_the_steps_and_times():
    losses = {"dice_ce": 0.75, "dice_ce_masked": 0.625, "consistency": 0.125}
    text = printed(started(steps=12000), step(1180, **losses), width=80)
    (line,) = [line for line in text.splitlines() if "1180/12000" in line]
    assert "2.0 steps/s · loss 0.7" in line
    assert line.count(":") == 4


def test_step_without_labels_in_sight_shows_what_it_learned_from_the_teacher():
    text = printed(started(), step(1, consistency=0.125))
    assert "2.0 steps/s · teacher 0.125" in text


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.1, "10.0 steps/s"), (1, "1.0 steps/s"), (40, "40.0 s/step")]
)
def test_slow_steps_are_told_by_what_one_takes(seconds, told):
    assert told in printed(started(), step(1, seconds, dice_ce=0.5))


@pytest.mark.parametrize(
    ("scheme", "told"),
    [("tube", "columns hidden along z"), ("blocks", "blocks hidden"), ("", "nothing hidden")],
)
def test_run_begins_with_what_it_learns_and_hides(scheme, told):
    text = printed(started(mask_scheme=scheme))
    assert (
        f"unet, 1.5 million weights, medcontext, on cpu in float32; 1 × 1 × 2.5 mm; WT, TC; {told}"
        in text
    )


def test_what_a_preparation_ends_with_stays_on_the_screen():
    text = printed(Preparing("Looking at a", 0, 2), Preparing("Starts from w.pt: all", 1, 1))
    assert text.startswith("Starts from w.pt: all\n")
    assert "Looking at a" not in text
