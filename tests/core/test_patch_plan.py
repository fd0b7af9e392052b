"""The patch planner: what is counted is what a training would draw, and the advice follows it."""

import math
import sys

import numpy as np
import pytest

from napari_medcontext.core.classes import Classes
from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.events import Preparing, Warned
from napari_medcontext.core.jobs import execute
from napari_medcontext.core.patch_plan import ClassSight, PatchPlan, PlanFolder, SizeSight, StepCost
from napari_medcontext.core.patch_plan.advice import advised
from napari_medcontext.core.patch_plan.measure import scan_sight, size_sights
from napari_medcontext.core.patch_plan.plan import PlanSpec
from napari_medcontext.core.patch_plan.sizes import candidate_sizes, parsed_sizes
from napari_medcontext.core.prepared import PreparedScan
from napari_medcontext.core.sampler import PatchSampler
from napari_medcontext.core.volume import Volume

SPACING = (1.0, 1.0, 2.0)
AFFINE = np.diag([*SPACING, 1.0])


@pytest.fixture
def labels():
    """A box of 12 × 8 × 4 voxels, id 7, and a speck of it far away, in 40 × 40 × 24."""
    array = np.zeros((40, 40, 24), np.uint8)
    array[10:22, 14:22, 8:12] = 7
    array[38, 38, 22] = 7
    return Volume(array, AFFINE, "labels", {7: "box"})


def sight_of(labels, size, **options):
    scan = scan_sight(labels, SPACING, [size], 60, **options)
    return size_sights([scan], [size], SPACING, {7: "box"})[0]


def test_organ_is_measured_by_its_largest_piece(labels):
    sight = sight_of(labels, (16, 16, 8))
    (box,) = sight.classes
    assert (box.class_id, box.name, box.length_mm) == (7, "box", 12.0)
    assert sight.extent_mm == (16.0, 16.0, 16.0)
    assert (box.whole, box.ample) == (1.0, 0.0)
    # 2 of 16 voxels on each side along x, 4 along y, 2 of 2 mm along z.
    assert box.context_mm == 2.0
    (cut,) = sight_of(labels, (8, 16, 8)).classes
    assert (cut.whole, cut.context_mm) == (0.0, -2.0)


def test_context_is_ample_with_a_quarter_of_the_length_or_where_the_patch_spans_the_scan(labels):
    (ample,) = sight_of(labels, (18, 18, 8)).classes
    assert ample.ample == 1.0
    (spanning,) = sight_of(labels, (18, 18, 24)).classes
    assert spanning.ample == 1.0
    narrow = labels.with_array(labels.array).reoriented("RAS")
    narrow = Volume(narrow.array[:, :, 8:12], AFFINE, "labels")
    (all_there_is,) = sight_of(narrow, (18, 18, 4)).classes
    assert all_there_is.ample == 1.0


def test_shares_are_those_of_the_patches_that_a_training_draws(labels):
    config = RunConfig().updated(
        {
            "data": {"patch_size": (16, 16, 8), "augmentation": "none"},
            "training": {"batch_size": 64},
        }
    )
    import torch

    indices = torch.as_tensor(Classes((0, 7)).to_indices(labels.array))
    scan = PreparedScan("labels", indices.float()[None], indices, AFFINE, SPACING)
    batch = PatchSampler([scan], config).batch(0).labels
    trained = batch.flatten(1).mean(1).numpy()
    seen = scan_sight(labels, SPACING, [(16, 16, 8)], 400).shares[16, 16, 8][:, 0]
    # Half of both are centred on the box; other random numbers, the same distribution.
    for percent in (50, 75, 90):
        expected = np.percentile(trained, percent)
        assert np.percentile(seen, percent) == pytest.approx(expected, abs=0.05)
    assert seen.max() <= 12 * 8 * 4 / (16 * 16 * 8) + 1e-9
    assert seen.max() == pytest.approx(12 * 8 * 4 / (16 * 16 * 8))


def test_labels_are_seen_at_the_spacing_of_the_training_whatever_their_axes(labels):
    turned = labels.reoriented("SPL")
    coarse = scan_sight(turned, (2.0, 2.0, 2.0), [(8, 8, 8)], 5)
    assert coarse.shape == (20, 20, 24)
    assert coarse.organs[7].tolist() == [6.0, 4.0, 4.0]


def test_unknown_voxels_are_no_foreground_and_no_organ(labels):
    array = labels.array.copy()
    array[:, :, :6] = 9
    sight = sight_of(labels.with_array(array), (40, 40, 24), unknown=9)
    assert [each.class_id for each in sight.classes] == [7]
    share = (12 * 8 * 4 + 1) / array.size
    assert sight.foreground == pytest.approx((share,) * 5)


def test_patch_beyond_the_scan_is_told(labels):
    sight = sight_of(labels, (80, 40, 24))
    assert sight.beyond == pytest.approx(0.5)


def test_labels_that_vanish_are_refused(labels):
    array = np.zeros_like(labels.array)
    array[3, 3, 3] = 7
    with pytest.raises(MedContextError, match="finer spacing"):
        scan_sight(labels.with_array(array), (8.0, 8.0, 8.0), [(8, 8, 8)], 5)


def test_sizes_have_fewer_voxels_along_thick_slices_and_fit_the_network():
    assert candidate_sizes([64, 48], (1.5, 1.5, 3.0), "unet") == [(48, 48, 32), (64, 64, 32)]
    assert parsed_sizes("64x48x32, 32", (1, 1, 1), "unet") == [(32, 32, 32), (64, 48, 32)]
    for words, told in (("40x40x40", "multiples of 16"), ("big", "64x64x32"), (" ,", "is named")):
        with pytest.raises(MedContextError, match=told):
            parsed_sizes(words, (1, 1, 1), "unet")


def planned(*sizes, costs=(), **facts):
    """Return a plan: of each size its side, the share of organs with ample context, and beyond."""
    sights = [
        SizeSight(
            size=(side,) * 3,
            extent_mm=(side,) * 3,
            foreground=(0.01, 0.02, 0.03, 0.04, 0.05),
            beyond=beyond,
            classes=(
                ClassSight(
                    class_id=1,
                    name="liver",
                    share=(0.01,) * 5,
                    whole=ample,
                    ample=ample,
                    length_mm=60.0,
                    context_mm=3.0,
                ),
            ),
        )
        for side, ample, beyond in sizes
    ]
    return PatchPlan(
        network="unet",
        batch_size=2,
        spacing=(1, 1, 1),
        scans=3,
        sights=tuple(sights),
        costs=costs,
        **facts,
    )


def cost(side, seconds=1.0, gibibytes=1.0, problem=""):
    return StepCost(size=(side,) * 3, seconds=seconds, gibibytes=gibibytes, problem=problem)


def test_smallest_size_with_ample_context_is_advised():
    plan = advised(planned((32, 0, 0), (64, 0.95, 0), (96, 1, 0)), 5)
    assert plan.advised == (64, 64, 64)
    assert "96×96×96 has 3.4 times as many voxels" in plan.reason
    assert "1 to 5 % foreground" in plan.reason
    assert "not measured" in plan.reason


@pytest.mark.parametrize(
    ("dear", "told"),
    [
        (cost(96, gibibytes=9.0), "9.0 GiB, and 10.0 GiB are free"),
        (cost(96, seconds=6.0), "a step takes 6.0 s, more than 5 s"),
        (cost(96, None, None, "The device ran out of memory."), "ran out of memory"),
    ],
)
def test_largest_that_can_be_afforded_is_advised_where_none_is_ample(dear, told):
    costs = (cost(32), cost(64), dear)
    plan = planned((32, 0, 0), (64, 0.5, 0), (96, 1, 0), costs=costs, available_gib=10.0)
    plan = advised(plan, 5)
    assert plan.advised == (64, 64, 64)
    assert told in plan.reason
    assert "50% of “liver” whole" in plan.reason


def test_size_that_lies_mostly_beyond_the_scans_is_never_advised():
    assert advised(planned((32, 0, 0), (64, 1, 0.6)), 5).advised == (32, 32, 32)


def test_no_size_is_advised_where_none_can_be_afforded():
    plan = advised(planned((32, 0, 0), costs=(cost(32, seconds=9.0),), available_gib=9.0), 5)
    assert plan.advised is None
    assert "9.0 s" in plan.reason


@pytest.fixture
def folder(tmp_path, tiny_config, cases):
    spec = PlanSpec(
        config=tiny_config,
        cases=cases(ras="training", thick="training", lps="validation"),
        class_names={2: "liver"},
        sizes="32x16x16,32",
        draws=20,
        # Not a matter of how busy the machine is.
        most_seconds=1000,
    )
    return PlanFolder(tmp_path / "plan").create(spec)


@pytest.mark.slow
def test_plan_is_made_from_files_with_real_steps(folder):
    *before, last = execute(folder.path)
    assert last.reason == "completed", last
    assert any(isinstance(event, Preparing) for event in before)
    plan = folder.plan()
    assert (plan.scans, plan.spacing) == (2, (1.0, 1.0, 1.5))
    # As long along z as 32 mm, but for the network's multiples of 16.
    assert [sight.size for sight in plan.sights] == [(32, 16, 16), (32, 32, 16)]
    # The spleen's name comes from its file, the liver's from the study.
    assert [each.name for each in plan.sights[0].classes] == ["liver", "spleen"]
    first, second = plan.costs
    assert not first.problem, first.problem
    # Which of two so small steps takes longer is a matter of how busy the machine is.
    assert first.seconds > 0
    assert second.seconds > 0
    assert 0.1 < first.gibibytes <= second.gibibytes < 16
    assert plan.device.startswith("CPU")
    assert plan.advised == (32, 16, 16)
    assert last.message == plan.reason
    table = (folder.path / "patches.csv").read_text().splitlines()
    assert len(table) == 1 + 2 * 3
    assert table[0].startswith("size,x_mm")
    assert (folder.path / "patches.png").read_bytes().startswith(b"\x89PNG")


def test_plan_without_a_step_and_without_matplotlib_says_so(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    folder.create(folder.spec().model_copy(update={"probe": False}))
    *before, last = execute(folder.path)
    assert "[figures]" in next(event.message for event in before if isinstance(event, Warned))
    assert "not measured" in last.message
    assert folder.plan().costs == ()
    assert (folder.path / "patches.csv").is_file()


@pytest.mark.slow
def test_sizes_that_cannot_be_measured_say_why():
    from napari_medcontext.core.patch_plan.step_cost import Device, measured_steps

    # No part of a computer has the memory for this patch.
    config = RunConfig().updated(
        {"device": {"device": "cpu", "threads": 1}, "objective": {"method": "supervised"}}
    )
    huge = (2**17, 2**10, 2**10)
    told = list(measured_steps(config, 2, 1, (1, 1, 1), [(32, 16, 16), huge]))
    assert isinstance(told[0], Device)
    assert told[0].available_gib > 0
    assert [each.size for each in told[1:]] == [(32, 16, 16), huge]
    assert told[1].seconds > 0
    assert math.isfinite(told[1].gibibytes)
    assert told[2].seconds is None
    assert "would take more than" in told[2].problem


@pytest.mark.skipif(sys.platform == "darwin", reason="the device may be there")
def test_device_that_is_not_there_is_told_for_every_size():
    from napari_medcontext.core.patch_plan.step_cost import measured_steps

    config = RunConfig().updated({"device": {"device": "mps"}})
    (told,) = measured_steps(config, 2, 1, (1, 1, 1), [(32, 16, 16)])
    assert "“mps” was asked for" in told.problem
