"""The context probe tells what is known from the surroundings from what is seen itself."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from napari_medcontext.core.classes import UNKNOWN, Classes
from napari_medcontext.core.device import Compute
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.inference import Predictor, drained
from napari_medcontext.core.masking.structure import box_round
from napari_medcontext.core.metrics import dice
from napari_medcontext.core.prepared import PreparedScan
from napari_medcontext.core.probe.measure import (
    box_elsewhere,
    box_target,
    organ_target,
    probe_target,
)
from napari_medcontext.core.probe.shape import average_shape, pasted, training_shapes
from napari_medcontext.core.subject import Subject, load_networks

CPU = Compute(torch.device("cpu"), "float32")
SIZE, SHIFT = (32, 32, 32), 12
LANDMARK = 100.0
ORGAN = 50.0
ORGAN_BOX = (slice(16, 26), slice(7, 17), slice(11, 21))


def done(work):
    return drained(work, lambda: False)


def ball(centre, radius, size=SIZE):
    offset = np.indices(size) - np.array(centre)[:, None, None, None]
    return (offset**2).sum(0) < radius**2


def logits(found):
    return torch.cat([1 - found, found], dim=1) * 20


class FromNeighbour(nn.Module):
    """Say that the organ lies so far to the right of every landmark, whatever is there."""

    def forward(self, image):
        return logits((image > 75).float().roll(SHIFT, dims=2))


class FromIntensity(nn.Module):
    """Say that whatever is as bright as the organ is the organ."""

    def forward(self, image):
        return logits(((image > 25) & (image < 75)).float())


@pytest.fixture
def subject_of(tiny_config):
    """Return the function that shows a scan of a landmark and an organ to a network."""
    landmark, organ = ball((9, 12, 16), 4), ball((9 + SHIFT, 12, 16), 4)
    image = np.random.default_rng(0).uniform(0, 5, SIZE).astype(np.float32)
    image[landmark], image[organ] = LANDMARK, ORGAN
    config = tiny_config.updated({"data": {"patch_size": SIZE}})
    labels = torch.as_tensor(organ.astype(np.uint8))
    scan = PreparedScan("scan", torch.as_tensor(image)[None], labels, np.eye(4), (1.0, 1.0, 1.0))

    def make(network, **changes):
        classes = Classes((0, 3), {3: "organ"})
        predictor = Predictor([network], config, classes, (1.0, 1.0, 1.0), CPU)
        return Subject(SimpleNamespace(), predictor, replace(scan, **changes))

    return make


def by_kind(rows):
    return {(row.place, row.condition): row for row in rows}


def probed(subject, draws=3, shapes=None):
    target = organ_target(subject, 3, draws, seed=0)
    return by_kind(done(probe_target(subject, target, shapes or {}, seed=0)))


def test_network_that_looks_at_the_neighbour_still_knows_the_hidden_organ(subject_of):
    rows = probed(subject_of(FromNeighbour()))
    assert rows["nowhere", "visible"].dsc == 1.0
    for hiding in ("mean", "noise"):
        row = rows["organ", hiding]
        assert (row.draws, row.class_name) == (3, "organ")
        assert row.ratio > 0.95


def test_network_that_looks_at_the_organ_alone_knows_nothing_of_a_hidden_one(subject_of):
    rows = probed(subject_of(FromIntensity()))
    assert rows["nowhere", "visible"].dsc == 1.0
    assert rows["organ", "mean"].ratio == 0.0
    assert rows["organ", "noise"].ratio < 0.2
    # What is lost is lost with the organ: as large a box elsewhere costs little.
    assert rows["elsewhere", "mean"].ratio > 0.95


def test_control_tells_that_it_is_the_neighbour_that_is_needed(subject_of):
    subject = subject_of(FromNeighbour())
    landmark = (slice(5, 14), slice(8, 17), slice(12, 21))
    (visible, *hidden) = done(probe_target(subject, box_target(subject, ORGAN_BOX, 1), {}, 0))
    assert visible.dsc == 1.0
    assert {row.condition: row.dsc for row in hidden if row.place == "box"}["mean"] == 1.0
    mask = subject.seen.grid.boxed(landmark)
    answer = done(subject.seen.masked(mask, "mean", np.random.default_rng(0)))
    decided = subject.decided(answer, done(subject.student()))
    assert subject.dice(decided)[3] == 0.0


def test_average_shape_is_pasted_where_the_box_is(subject_of):
    organ = ball((9, 9, 9), 4, (20, 20, 20))
    rows = probed(subject_of(FromIntensity()), shapes={3: average_shape([organ])})
    row = rows["organ", "average shape"]
    assert row.draws == 3
    # The shape is right; its place is as far off as the boxes are uneven.
    assert 0.5 < row.dsc <= 1.0


def test_single_draw_has_no_deviation(subject_of):
    row = probed(subject_of(FromIntensity()), draws=1)["organ", "mean"]
    assert (row.draws, row.dsc) == (1, 0.0)
    assert np.isnan(row.deviation)


def test_unknown_voxels_are_not_scored(subject_of):
    plain = subject_of(FromNeighbour())
    labels = plain.scan.labels.clone()
    labels[:21] = UNKNOWN
    subject = subject_of(FromNeighbour(), labels=labels)
    subject.predictor = replace(subject.predictor, classes=replace(plain.classes, unknown_id=9))
    student = done(subject.student())
    assert student[:21].any()
    assert subject.dice(student) == {3: 1.0}
    assert subject.labelled_ids() == (3,)


def test_class_that_is_not_in_the_labels_is_refused_by_name(subject_of):
    with pytest.raises(SettingsError, match="hold no class 7; there are 3"):
        organ_target(subject_of(FromIntensity()), 7, 1, 0)


def test_scan_without_labels_cannot_be_probed(subject_of):
    subject = subject_of(FromIntensity(), labels=None)
    with pytest.raises(SettingsError, match="has no labels"):
        organ_target(subject, 3, 1, 0)
    assert subject.dice(done(subject.student())) == {}


def test_boxes_hold_all_of_the_organ_and_vary(subject_of):
    subject = subject_of(FromIntensity())
    target = organ_target(subject, 3, 8, seed=1)
    for box in target.boxes:
        assert subject.mask_of(3)[box].sum() == subject.mask_of(3).sum()
    assert len({str(box) for box in target.boxes}) > 4
    again = organ_target(subject_of(FromNeighbour()), 3, 8, seed=1)
    assert again.boxes == target.boxes


def test_organ_that_fills_most_of_the_scan_gets_the_tightest_box():
    mask = np.zeros((10, 10, 10), dtype=bool)
    mask[1:9, :, 1:] = True
    assert box_round(mask, np.random.default_rng(0)) == (slice(1, 9), slice(0, 10), slice(1, 10))


def test_box_elsewhere_is_as_large_and_touches_nothing_that_is_spared():
    rng, spared = np.random.default_rng(0), ball((9, 12, 16), 5)
    image = np.zeros(SIZE, dtype=np.float32)
    image[:, :, 18:] = 1.0
    box = (slice(3, 14), slice(6, 17), slice(20, 30))
    for _ in range(20):
        found = box_elsewhere(box, spared, image, rng)
        assert [side.stop - side.start for side in found] == [11, 11, 10]
        assert not spared[found].any()
        assert found[2].start + 5 >= 18


def test_no_box_is_laid_where_there_is_no_room():
    spared = np.ones(SIZE, dtype=bool)
    image = np.random.default_rng(0).normal(size=SIZE)
    box = (slice(0, 4),) * 3
    assert box_elsewhere(box, spared, image, np.random.default_rng(0)) is None


def test_average_shape_of_moved_copies_is_the_shape():
    one = ball((8, 10, 12), 5)
    shape = average_shape([one, np.roll(one, (7, -3, 4), (0, 1, 2)), np.zeros(SIZE, dtype=bool)])
    assert np.array_equal(shape, ball((4, 4, 4), 5, (9, 9, 9)))


def test_average_shape_is_what_half_of_the_masks_cover():
    masks = []
    for side in (2, 4, 8):
        mask = np.zeros(SIZE, dtype=bool)
        mask[5 : 5 + side, 9:11, 9:11] = True
        masks.append(mask)
    shape = average_shape(masks)
    assert shape.shape == (8, 2, 2)
    assert np.array_equal(shape.any((1, 2)), [0, 0, 1, 1, 1, 1, 0, 0])


def test_there_is_no_average_of_nothing():
    assert average_shape([np.zeros(SIZE, dtype=bool)]) is None


def test_shape_is_pasted_at_the_centre_of_the_box_and_cut_at_the_edge():
    shape = np.ones((4, 2, 2), dtype=bool)
    laid = pasted(shape, (slice(2, 8), slice(0, 2), slice(4, 8)), (12, 8, 8))
    assert np.argwhere(laid).min(0).tolist() == [3, 0, 5]
    assert np.argwhere(laid).max(0).tolist() == [6, 1, 6]
    cut = pasted(shape, (slice(10, 12), slice(0, 2), slice(0, 2)), (12, 8, 8))
    assert cut.sum() == 3 * 2 * 2
    reference = pasted(shape, (slice(0, 4), slice(0, 2), slice(0, 2)), (12, 8, 8))
    assert dice(reference, reference) == 1.0


def test_shapes_come_from_the_training_scans_that_are_left(finished_run):
    predictor = load_networks(finished_run)
    shapes = training_shapes(finished_run, predictor)
    assert set(shapes) == {2, 5}
    x, y, z = np.multiply(shapes[2].shape, predictor.spacing)
    # A ball of 5 mm radius, drawn on voxels of 1 × 1 × 1.5 mm.
    assert (x, y) == pytest.approx((9, 9), abs=2)
    assert z == pytest.approx(9, abs=3)
    spec = finished_run.spec()
    gone = [case.model_copy(update={"image": case.image / "gone"}) for case in spec.cases]
    finished_run.save_spec(spec.model_copy(update={"cases": tuple(gone)}))
    assert training_shapes(finished_run, predictor) == {}
