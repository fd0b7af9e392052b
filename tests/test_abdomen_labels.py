"""Real organs at full clinical size, as they come, from opening to scores, from a terminal.

There are no scans to them: an intensity for each organ, in noise, stands for one.
"""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Layer
from terminal import medcontext

from napari_medcontext.core.io import read_volume, write_volume
from napari_medcontext.reader import read
from napari_medcontext.writer import save_labels

ABDOMENS = Path(__file__).parents[2] / "shared" / "data" / "abdomen_labels"
TRAINED, TESTED = "case_01", "case_02"
ORGANS = (
    *("spleen", "right kidney", "left kidney", "gallbladder", "oesophagus", "liver", "stomach"),
    *("aorta", "inferior vena cava", "portal and splenic veins", "pancreas"),
    *("right adrenal", "left adrenal"),
)
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(not ABDOMENS.is_dir(), reason="the real volumes are not here"),
]


@pytest.fixture
def abdomens(tmp_path):
    """Return a folder with scans of organs, the labels as they are, and what lists them."""
    for case in (TRAINED, TESTED):
        labels = ABDOMENS / f"{case}_b.nii.gz"
        organs = read_volume(labels)
        noise = np.random.default_rng(0).normal(0, 20, organs.shape).astype(np.float32)
        scan = (np.asarray(organs.array, np.float32) * 60 - 400 + noise).astype(np.int16)
        write_volume(tmp_path / "images" / f"{case}.nii.gz", organs.with_array(scan))
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / f"{case}.nii.gz").symlink_to(labels)
    files = [
        {part[:-1]: f"{part}/{case}.nii.gz" for part in ("images", "labels")}
        for case in (TRAINED, TESTED)
    ]
    names = {str(number): name for number, name in enumerate(("background", *ORGANS))}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": names, "training": files}))
    return tmp_path


def test_organs_are_checked_planned_learned_predicted_and_scored(abdomens):
    scans = ("--dataset", abdomens / "dataset.json")
    spacing = ("--spacing", 4, 4, 5)
    small = (*spacing, "--patch-size", 48, 48, 32, "--validation", TESTED)
    medcontext("check", *scans, *small, "--no-probe")
    medcontext("plan-patches", *scans, *spacing, "--no-probe", "--out", abdomens / "plan")
    assert (abdomens / "plan" / "patches.csv").is_file()
    run, out = abdomens / "run", abdomens / "predicted"
    medcontext("train", *scans, *small, "--out", run, "--steps", 40, "--device", "cpu")
    medcontext("predict", run, abdomens / "images" / f"{TESTED}.nii.gz", "--out", out)
    prediction = read_volume(out / f"{TESTED}.nii.gz")
    reference = read_volume(abdomens / "labels" / f"{TESTED}.nii.gz")
    assert prediction.shape == reference.shape
    np.testing.assert_allclose(prediction.affine, reference.affine, atol=1e-3)
    assert prediction.class_names[6] == "liver"
    kept, scores = abdomens / "kept", abdomens / "scores.csv"
    kept.mkdir()
    (kept / f"{TESTED}.nii.gz").symlink_to(ABDOMENS / f"{TESTED}_b.nii.gz")
    medcontext("evaluate", "--predictions", out, "--labels", kept, "--out", scores)
    with scores.open(newline="") as file:
        rows = {int(row["class_id"]): row for row in csv.DictReader(file)}
    for organ in range(1, 1 + len(ORGANS)):
        ml = np.count_nonzero(reference.array == organ) * reference.voxel_volume_ml
        if ml:
            assert float(rows[organ]["reference_ml"]) == pytest.approx(ml, rel=1e-4)
    # Of one scan and 40 steps little can be asked: the largest organ is found.
    assert float(rows[6]["dsc"]) > 0.3


@pytest.mark.parametrize("file", sorted(path.name for path in ABDOMENS.glob("*.nii.gz")))
def test_organs_open_and_are_saved_where_they_lie(file, tmp_path):
    ((data, attributes, kind),) = read(str(ABDOMENS / file))
    assert kind == "labels"
    source = read_volume(ABDOMENS / file)
    layer = Layer.create(data, attributes, kind)
    for ending in ("nii.gz", "seg.nrrd"):
        saved = read_volume(save_labels(tmp_path / f"saved.{ending}", layer))
        back = saved.reoriented(source.orientation)
        np.testing.assert_array_equal(back.array, source.array)
        corner = (*(side - 1 for side in source.shape), 1)
        np.testing.assert_allclose(back.affine @ corner, source.affine @ corner, atol=1e-3)
