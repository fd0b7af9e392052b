"""The main job in a napari window of its own process, with the real buttons."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_medcontext.core.io import write_volume
from napari_medcontext.core.run import RunFolder

SCRIPT = Path(__file__).with_name("window_script.py")
DATA = Path(__file__).parents[2] / "shared" / "data"
LEFT_ATRIUM, BRAIN_TUMOUR = DATA / "left_atrium", DATA / "brain_tumour"
STAGES = ["1-opened", "2-training", "3-trained", "4-predicted", "5-compared", "6-errors"]
SCREEN_OF_ITS_OWN = (
    ["xvfb-run", "-a", "-s", "-screen 0 1920x1200x24"] if shutil.which("xvfb-run") else []
)
"""Tests at the same time would take the keyboard from each other on one screen."""
FEWEST_COLOURS = 16
STARTUP_SECONDS = 20

GRIDS = {"scan_1": ("LPS", (0.8, 0.8, 1.2)), "scan_2": ("RAS", (0.8, 0.9, 1.2))}
SHAPE = (32, 32, 24)
QUICK = {
    "data": {"patch_size": (32, 32, 16), "spacing": (0.8, 0.8, 1.2)},
    "masking": {"block_size": 8},
    "training": {"steps": 5000, "batch_size": 1, "warmup_steps": 5, "preview_every": 1.0},
    "device": {"device": "cpu", "threads": 1},
}
REAL = {
    "data": {"patch_size": (64, 64, 32), "spacing": (1.25, 1.25, 1.25)},
    "training": {"steps": 30, "batch_size": 2, "preview_every": 10.0},
    "device": {"device": "cpu"},
}
TUMOURS = {
    "data": {"patch_size": (48, 48, 32), "spacing": (3.0, 3.0, 3.0)},
    "training": {"steps": 80, "preview_every": 30.0},
    "device": {"device": "cpu"},
}


def work_in_a_window(
    out: Path,
    images,
    labels,
    settings,
    *,
    crowded: bool,
    patience: float,
    regions: bool = False,
    channels: str = "",
    further=(),
):
    """Run the script in a fresh process and return its report.

    ``crowded`` adds layers of the user; with ``regions`` BraTS's are learned, not classes;
    ``further`` are files of the scans' other ``channels``.
    """
    plan = {
        "images": [str(path) for path in images],
        "labels": [str(path) for path in labels],
        "settings": settings,
        "out": str(out),
        "crowded": crowded,
        "regions": regions,
        "channels": channels,
        "further": [str(path) for path in further],
        "patience": patience - STARTUP_SECONDS,
    }
    (out / "plan.json").write_text(json.dumps(plan))
    # Neither the user's own preferences nor napari's are read or written.
    own = {"XDG_CONFIG_HOME": str(out / "config"), "NAPARI_CONFIG": str(out / "napari.yaml")}
    try:
        with (out / "window.log").open("w") as log:
            ended = subprocess.run(
                [*SCREEN_OF_ITS_OWN, sys.executable, str(SCRIPT), str(out / "plan.json")],
                env=os.environ | own,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=patience,
                check=False,
            )
    finally:
        # A run outlives its window; it should not outlive this test.
        (out / "run").mkdir(exist_ok=True)
        RunFolder(out / "run").send("stop")
    assert ended.returncode == 0, (out / "window.log").read_text()[-4000:]
    return json.loads((out / "report.json").read_text())


@pytest.fixture(scope="module")
def report(tmp_path_factory, make_scan):
    """What a window with ten layers saw while a small pair was trained on and predicted."""
    out = tmp_path_factory.mktemp("window")
    images, labels = [], []
    for name, (orientation, spacing) in GRIDS.items():
        image, drawn = make_scan(name, orientation, spacing, SHAPE)
        images.append(out / "images" / f"{name}.nii.gz")
        labels.append(out / "labels" / f"{name}.nii.gz")
        write_volume(images[-1], image)
        write_volume(labels[-1], drawn)
    return work_in_a_window(out, images, labels, QUICK, crowded=True, patience=280)


def assert_pictures_show_something(report) -> None:
    assert sorted(report["pictures"]) == STAGES
    for name, picture in report["pictures"].items():
        image = Image.open(picture["path"]).convert("RGB")
        assert list(image.size) == picture["size"], name
        for part in (image, image.crop(picture["box"])):
            colours = np.unique(np.asarray(part).reshape(-1, 3), axis=0)
            assert len(colours) >= FEWEST_COLOURS, f"{name} is blank"


def assert_run_was_watched(report, steps: int, *, stopped: bool) -> None:
    assert report["runner"] == "process"
    assert report["paired"] == [True, True]
    assert report["preflight"].startswith("✓ 2 to train on")
    assert report["steps_planned"] == steps
    done = len(report["steps_drawn"])
    assert 1 <= done <= steps
    assert (done < steps) == stopped
    assert report["steps_drawn"] == list(range(1, done + 1))
    assert str(done) in report["train_message"]
    assert report["previews"] >= 1
    assert report["panels_filled"] == [True] * 4


def assert_prediction_lies_on_its_image(report) -> None:
    assert len(report["predicted"]) == 1
    image, prediction = report["places"]
    assert prediction.pop("kind") == "labels"
    assert image.pop("kind") == "image"
    assert prediction == image
    assert set(image["units"]) == {"millimeter"}


def assert_table_was_saved(report, class_names: dict[int, str]) -> None:
    with (Path(report["pictures"]["5-compared"]["path"]).parent / "metrics.csv").open() as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert {"case", "class_id", "class_name", "dsc", "hd95_mm"} <= set(reader.fieldnames)
    assert {int(row["class_id"]): row["class_name"] for row in rows} == class_names
    assert {row["case"] for row in rows} == set(report["predicted"])
    assert all(0 <= float(row["dsc"]) <= 1 for row in rows)
    assert report["compare_rows"] == len(rows)
    assert report["compare_error"] == ""
    assert report["errors_of"] == f"Errors of “{report['predicted'][0]}”: all classes"


def assert_previews_left_the_view_alone(report) -> None:
    """Between two looks, only previews happened; the user acted in between the pairs."""
    looks = report["looks"]
    for before, after in (looks[:2], looks[2:]):
        assert after["view"] == before["view"], f"{before['when']} / {after['when']}"


def test_torch_and_monai_stay_out_of_napari(report):
    assert report["heavy_modules"] == []


def test_training_is_watched_from_the_first_step_to_the_last(report):
    assert_run_was_watched(report, QUICK["training"]["steps"], stopped=True)
    assert report["preview_of"] == ["scan_2"]


def test_prediction_lies_on_its_image(report):
    assert_prediction_lies_on_its_image(report)


def test_prediction_and_its_reference_are_suggested_and_the_table_is_saved(report):
    assert report["suggested"] == [True, True]
    assert_table_was_saved(report, {2: "liver", 5: "spleen"})


def test_layers_of_the_user_are_as_they_were(report):
    assert len(report["layers_before"]) == 10
    assert report["layers_after"] == report["layers_before"]


def test_previews_leave_layers_selection_camera_slice_and_focus_alone(report):
    assert report["added_while_training"]
    assert_previews_left_the_view_alone(report)
    before, after = report["looks"][2:]
    assert after["shown"] - before["shown"] >= 2
    names = [layer["name"] for layer in after["view"]["layers"]]
    assert names == [*(layer["name"] for layer in report["layers_before"]), "added in mid-run"]
    assert after["view"]["focus"] == "notes of the user"


def test_pictures_of_each_stage_show_something(report):
    assert_pictures_show_something(report)


def test_nothing_complains(report):
    assert report["complaints"] == []


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.timeout(1000)
@pytest.mark.skipif(not LEFT_ATRIUM.is_dir(), reason="the left atria are not beside the checkout")
def test_left_atria_are_trained_on_predicted_and_compared(tmp_path):
    names = ("la_001.nii.gz", "la_002.nii.gz")
    images = [LEFT_ATRIUM / "imagesTr" / name for name in names]
    labels = [LEFT_ATRIUM / "labelsTr" / name for name in names]
    report = work_in_a_window(tmp_path, images, labels, REAL, crowded=False, patience=900)
    assert report["heavy_modules"] == []
    assert report["complaints"] == []
    assert_run_was_watched(report, REAL["training"]["steps"], stopped=False)
    assert_previews_left_the_view_alone(report)
    assert_prediction_lies_on_its_image(report)
    assert report["layers_after"] == report["layers_before"]
    with (tmp_path / "metrics.csv").open() as file:
        assert [row["class_id"] for row in csv.DictReader(file)] == ["1"]
    assert_pictures_show_something(report)


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.timeout(1000)
@pytest.mark.skipif(not BRAIN_TUMOUR.is_dir(), reason="the tumours are not beside the checkout")
def test_regions_of_one_tumour_are_trained_on_and_compared_on_the_other(tmp_path):
    images, further, labels = (
        [BRAIN_TUMOUR / f"case_{number:02}_{kind}.nii.gz" for number in (1, 2)]
        for kind in ("flair", "t1gd", "label")
    )
    report = work_in_a_window(
        tmp_path,
        images,
        labels,
        TUMOURS,
        crowded=False,
        patience=900,
        regions=True,
        channels="FLAIR, T1GD",
        further=further,
    )
    assert RunFolder(tmp_path / "run").spec().channels == ("FLAIR", "T1GD")
    assert report["regions"] == {"WT": [1, 2, 3, 4], "TC": [1, 3, 4], "ET": [4]}
    assert report["heavy_modules"] == []
    assert report["complaints"] == []
    assert_run_was_watched(report, TUMOURS["training"]["steps"], stopped=False)
    assert_prediction_lies_on_its_image(report)
    assert_table_was_saved(report, {1: "WT", 2: "TC", 3: "ET"})
    with (tmp_path / "metrics.csv").open() as file:
        dsc = {row["class_name"]: float(row["dsc"]) for row in csv.DictReader(file)}
    # Of one scan and few steps little can be asked; all of the brain would have a Dice of 0.2.
    assert dsc["WT"] > 0.25
