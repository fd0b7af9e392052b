"""Nested regions on real tumours, from a terminal: train on one case, score on the other.

The labels are stored as floating-point numbers: 1 necrosis, 2 oedema, 3 non-enhancing and 4
enhancing tumour.
"""

import csv
from pathlib import Path

import numpy as np
import pytest
from terminal import medcontext

from napari_medcontext.core.io import read_volume
from napari_medcontext.core.run import RunFolder

TUMOURS = Path(__file__).parents[2] / "shared" / "data" / "brain_tumour"
REGIONS = ("--region", "WT=1,2,3,4", "--region", "TC=1,3,4", "--region", "ET=4")


@pytest.fixture
def tumours(tmp_path):
    """Return a folder with one case to train on and one to score, as a user would lay them out."""
    for number, part in ((1, "train"), (2, "test")):
        for kind, name in (("flair", "images"), ("t1gd", "images"), ("label", "labels")):
            folder = tmp_path / part / name
            folder.mkdir(parents=True, exist_ok=True)
            file = TUMOURS / f"case_{number:02}_{kind}.nii.gz"
            end = f"_{kind}" if name == "images" else ""
            (folder / f"case_{number:02}{end}.nii.gz").symlink_to(file)
    return tmp_path


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.skipif(not TUMOURS.is_dir(), reason="the real volumes are not beside the checkout")
def test_regions_of_one_tumour_are_learned_and_scored_on_another(tumours):
    run, out, scores = tumours / "run", tumours / "predicted", tumours / "scores.csv"
    train, test = tumours / "train", tumours / "test"
    scans = ("--images", train / "images", "--labels", train / "labels")
    scans += ("--channels", "FLAIR,T1GD")
    settings = ("--spacing", 2, 2, 2, "--patch-size", 64, 64, 32, "--steps", 60, "--device", "cpu")
    told = medcontext("train", *scans, "--out", run, *REGIONS, *settings)
    assert "WT, TC, ET" in told
    assert RunFolder(run).last_step() == 60
    medcontext("predict", run, test / "images", "--out", out)
    prediction = read_volume(out / "case_02.nii.gz")
    assert prediction.shape == (240, 240, 155)
    assert set(np.unique(prediction.array)) <= {0, 1, 2, 3}
    told = medcontext(
        "evaluate", "--predictions", out, "--labels", test / "labels", "--out", scores, *REGIONS
    )
    assert "WT: DSC" in told
    with scores.open(newline="") as file:
        rows = {row["class_name"]: row for row in csv.DictReader(file)}
    reference = read_volume(test / "labels" / "case_02.nii.gz").array
    assert list(rows) == ["WT", "TC", "ET"]
    for name, ids in (("WT", (1, 2, 3, 4)), ("TC", (1, 3, 4)), ("ET", (4,))):
        ml = np.count_nonzero(np.isin(reference, ids)) / 1000
        assert float(rows[name]["reference_ml"]) == pytest.approx(ml, rel=1e-4)
    # Of one scan and 60 steps little can be asked; all of the brain would have a Dice of 0.2.
    assert float(rows["WT"]["dsc"]) > 0.25
