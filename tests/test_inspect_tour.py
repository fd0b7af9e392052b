"""Every control that looks inside, used through its widget in a real window, with pictures."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from terminal import medcontext
from test_window import SCREEN_OF_ITS_OWN

from napari_medcontext.core.phantom import write_study

TOUR = Path(__file__).parents[1] / "docs" / "inspect_tour.py"
LEFT_ATRIUM = Path(__file__).parents[2] / "shared" / "data" / "left_atrium"
PICTURES = {
    *("mask-columns", "mask-blocks-3d", "mask-structure", "timeline-first", "timeline-last"),
    *("reconstruction-mask", "reconstruction-organ", "reconstruction-figure", "probe"),
    *("disagreement", "disagreement-coronal"),
    *("compare-class", "compare-outline", "compare-figure", "compare-all"),
}
FEWEST_COLOURS = 16


def assert_tour_shows_all(
    images: Path, labels: Path, settings: dict, folder: Path, *options: str
) -> None:
    """Train on one scan of two, predict the other, and take the tour of that."""
    config, run, predicted, out = (folder / n for n in ("few.json", "run", "predicted", "out"))
    config.write_text(json.dumps(settings))
    scan = sorted(images.glob("*.nii.gz"))[1]
    scans = ("--images", images, "--labels", labels, "--validation", scan.name.split(".")[0])
    medcontext("train", *scans, "--out", run, "--config", config)
    medcontext("predict", run, scan, "--out", predicted)
    own = {"XDG_CONFIG_HOME": str(folder / "config"), "NAPARI_CONFIG": str(folder / "napari.yaml")}
    files = (run, scan, labels / scan.name, predicted / scan.name, out)
    done = subprocess.run(
        [*SCREEN_OF_ITS_OWN, sys.executable, TOUR, *files, *options],
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert {path.stem for path in out.glob("*.png")} == PICTURES
    for path in out.glob("*.png"):
        colours = Image.open(path).convert("RGB").getcolors(maxcolors=2**24)
        assert len(colours) >= FEWEST_COLOURS, f"{path.name} is blank"
    with (out / "probe.csv").open(newline="") as file:
        assert {row["place"] for row in csv.DictReader(file)} >= {"nowhere", "organ"}
    with (out / "scores.csv").open(newline="") as file:
        assert all(row["hd95_definition"] == "directed" for row in csv.DictReader(file))


@pytest.mark.timeout(900)
def test_tour_of_the_sample_study(tmp_path):
    study = write_study(tmp_path / "study", count=2).parent
    settings = {
        "data": {"patch_size": [32, 32, 16], "spacing": [6.0, 6.0, 8.0]},
        "masking": {"block_size": 8},
        "training": {"steps": 40, "batch_size": 1, "preview_every": 1.0},
        "device": {"device": "cpu", "threads": 1},
    }
    # Nobody looks at these pictures; those of the left atrium are looked at.
    hurried = ("--settling", "0.3")
    assert_tour_shows_all(study / "imagesTr", study / "labelsTr", settings, tmp_path, *hurried)


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.skipif(not LEFT_ATRIUM.is_dir(), reason="the real volumes are not beside the checkout")
def test_tour_of_a_left_atrium(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
        for file in sorted((LEFT_ATRIUM / f"{part}Tr").glob("*.nii.gz"))[:2]:
            (tmp_path / part / file.name).symlink_to(file)
    settings = {
        "data": {"patch_size": [64, 64, 32], "spacing": [2.0, 2.0, 2.0]},
        "training": {"steps": 60, "batch_size": 2, "preview_every": 10.0},
        "device": {"device": "cpu"},
    }
    assert_tour_shows_all(tmp_path / "images", tmp_path / "labels", settings, tmp_path)
