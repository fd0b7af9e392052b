"""Whole runs with regions, with labels that are known in part, and with scans without labels."""

import csv

import numpy as np
import pytest
import torch

from napari_medcontext.core.config import Case, RunSpec
from napari_medcontext.core.errors import RunError
from napari_medcontext.core.events import PreviewReady, RunStarted, StepFinished, ValidationFinished
from napari_medcontext.core.inference import drained, load_predictor
from napari_medcontext.core.io import read_volume, write_volume
from napari_medcontext.core.jobs import execute
from napari_medcontext.core.regions import masks_of_painted
from napari_medcontext.core.run import RunFolder

REGIONS = {"both": (2, 5), "small": (5,)}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def trained(folder, spec):
    run = RunFolder(folder / "run").create(spec)
    events = list(execute(run.path))
    assert events[-1].reason == "completed", events[-1]
    return run, events


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def test_run_on_regions_validates_previews_and_predicts_nested_regions(
    tiny_config, cases, study, tmp_path
):
    config = tiny_config.updated({"training": {"preview_every": 100.0}})
    spec = RunSpec(config=config, cases=cases(ras="training", lps="validation"), regions=REGIONS)
    run, events = trained(tmp_path, spec)
    assert of(RunStarted, events)[0].class_names == {1: "both", 2: "small"}
    assert set(of(ValidationFinished, events)[-1].dsc) == {1, 2}
    preview = of(PreviewReady, events)[-1]
    for view in (preview.student, preview.student_masked, preview.teacher, preview.reference):
        assert set(np.unique(view)) <= {0, 1, 2}
    assert set(np.unique(preview.reference)) == {0, 1, 2}
    predictor = load_predictor(run, "mean")
    scan = read_volume(study / "images" / "thick.nii.gz")
    prediction = drained(predictor.predict(scan, probabilities=True), lambda: False)
    assert prediction.labels.class_names == {1: "both", 2: "small"}
    masks = masks_of_painted(prediction.labels.array, REGIONS)
    maps = prediction.probabilities
    np.testing.assert_array_equal(masks["both"], maps[1] > 0.5)
    np.testing.assert_array_equal(masks["small"], (maps[1] > 0.5) & (maps[2] > 0.5))


def test_scan_annotated_on_every_tenth_slice_trains_and_is_scored_there(
    tiny_config, make_scan, tmp_path
):
    image, labels = make_scan("a", "RAS", (1.0, 1.0, 1.0), (24, 24, 20))
    array = np.full_like(labels.array, 255)
    array[..., ::10] = labels.array[..., ::10]
    case = Case(name="a", image=tmp_path / "i.nii", labels=tmp_path / "l.nii")
    write_volume(case.image, image)
    write_volume(case.labels, labels.with_array(array))
    other = case.model_copy(update={"name": "b", "role": "validation"})
    config = tiny_config.updated({"data": {"ignore_label": 255}})
    run, events = trained(tmp_path, RunSpec(config=config, cases=(case, other)))
    assert run.spec().config.data.ignore_label == 255
    assert set(of(RunStarted, events)[0].class_names) == {2, 5}
    assert all(np.isfinite(list(step.losses.values())).all() for step in of(StepFinished, events))
    assert set(of(ValidationFinished, events)[-1].dsc) == {2, 5}


def test_scan_without_labels_trains_along_with_one_that_has_them(tiny_config, cases, tmp_path):
    labelled, other = cases(ras="training", lps="training")
    bare = other.model_copy(update={"labels": None})
    run, events = trained(tmp_path, RunSpec(config=tiny_config, cases=(labelled, bare)))
    losses = [step.losses for step in of(StepFinished, events)]
    assert all(set(step) == {"dice_ce", "dice_ce_masked", "consistency"} for step in losses)
    with (run.path / "log.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 4


def test_run_without_consistency_offers_no_teacher_to_predict_with(tiny_config, cases, tmp_path):
    config = tiny_config.updated({"objective": {"consistency_weight": 0.0}})
    run, events = trained(tmp_path, RunSpec(config=config, cases=cases(ras="training")))
    assert {event.momentum for event in of(StepFinished, events)} == {0.0}
    with pytest.raises(RunError, match="without a teacher"):
        load_predictor(run, "teacher")
    assert load_predictor(run, "student").networks
