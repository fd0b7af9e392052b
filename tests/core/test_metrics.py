import numpy as np
import pytest
from scipy import ndimage

from napari_medcontext.core.definitions import Definitions
from napari_medcontext.core.metrics import (
    METRICS,
    MaskPair,
    assd_mm,
    dice,
    hd95_mm,
    nsd,
    surface_distances,
    volume_ml,
)
from napari_medcontext.core.surface_areas import surface_elements

UNIT = (1.0, 1.0, 1.0)


def voxels(*indices: tuple[int, int, int], shape=(10, 10, 10)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    for index in indices:
        mask[index] = True
    return mask


def blob(seed: int, shape=(24, 20, 14)) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(shape)
    smooth = ndimage.gaussian_filter(noise, 2.0)
    return smooth > np.percentile(smooth, 75)


def monai_hd95(prediction, reference, spacing) -> float:
    import torch
    from monai.metrics import compute_hausdorff_distance

    first, second = (torch.from_numpy(mask.copy())[None, None] for mask in (prediction, reference))
    distance = compute_hausdorff_distance(
        first, second, include_background=True, percentile=95, spacing=spacing
    )
    return float(distance[0, 0])


def test_dice_is_twice_the_overlap_over_both_sizes():
    prediction = voxels((0, 0, 0), (0, 0, 1), (0, 0, 2))
    reference = voxels((0, 0, 2), (0, 0, 3))
    assert dice(prediction, reference) == pytest.approx(2 * 1 / (3 + 2))


def test_dice_of_equal_masks_is_one_and_of_disjoint_masks_zero():
    mask = blob(0)
    assert dice(mask, mask) == 1.0
    assert dice(mask, ~mask) == 0.0


def test_dice_of_one_empty_mask_is_zero_and_of_two_is_not_measurable():
    empty, full = voxels(), voxels((1, 2, 3))
    assert dice(empty, full) == dice(full, empty) == 0.0
    assert np.isnan(dice(empty, empty))


def test_hd95_between_single_voxels_is_their_distance_in_millimetres():
    first, second = voxels((1, 1, 1)), voxels((4, 1, 3))
    assert hd95_mm(MaskPair(first, second, (1.0, 1.0, 2.0))) == pytest.approx(
        np.hypot(3 * 1.0, 2 * 2.0)
    )


def test_hd95_takes_each_axis_by_its_own_spacing():
    origin = voxels((2, 2, 2))
    distances = [
        hd95_mm(MaskPair(origin, voxels(neighbour), (0.5, 2.0, 3.0)))
        for neighbour in [(3, 2, 2), (2, 3, 2), (2, 2, 3)]
    ]
    assert distances == pytest.approx([0.5, 2.0, 3.0])


def test_hd95_is_the_larger_of_both_directed_percentiles():
    reference = voxels(*[(i, 0, 0) for i in range(10)])
    prediction = reference | voxels((9, 9, 9))
    there, back = surface_distances(prediction, reference, UNIT)
    assert back.max() == 0.0
    assert np.sort(there)[-2:] == pytest.approx([0.0, np.hypot(9, 9)])
    expected = np.percentile([0.0] * 10 + [np.hypot(9, 9)], 95)
    assert hd95_mm(MaskPair(prediction, reference, UNIT)) == pytest.approx(expected)
    assert hd95_mm(MaskPair(reference, prediction, UNIT)) == pytest.approx(expected)


def test_surface_is_what_touches_the_outside_the_border_included():
    block = np.ones((3, 3, 3), dtype=bool)
    there, back = surface_distances(block, voxels((1, 1, 1), shape=(3, 3, 3)), UNIT)
    assert len(there) == 26
    assert back.tolist() == [1.0]


def test_hd95_of_an_empty_mask_is_not_measurable():
    empty, full = voxels(), voxels((1, 2, 3))
    for pair in [(empty, full), (full, empty), (empty, empty)]:
        assert np.isnan(hd95_mm(MaskPair(*pair, UNIT)))
        assert np.isnan(assd_mm(MaskPair(*pair, UNIT)))


@pytest.mark.parametrize("spacing", [UNIT, (0.67, 0.67, 3.0), (5.0, 0.8, 1.1)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_hd95_agrees_with_monai(seed, spacing):
    prediction, reference = blob(seed), blob(seed + 100)
    expected = monai_hd95(prediction, reference, spacing)
    assert hd95_mm(MaskPair(prediction, reference, spacing)) == pytest.approx(expected, abs=1e-3)


def test_hd95_does_not_depend_on_how_masks_lie_in_memory():
    prediction, reference, spacing = blob(4), blob(5), (0.7, 1.1, 4.0)
    expected = hd95_mm(MaskPair(prediction, reference, spacing))
    turned = np.asfortranarray(prediction), reference[::-1].copy()[::-1]
    assert hd95_mm(MaskPair(*turned, spacing)) == expected
    mirrored = prediction[:, ::-1].transpose(2, 0, 1), reference[:, ::-1].transpose(2, 0, 1)
    assert hd95_mm(MaskPair(*mirrored, (4.0, 0.7, 1.1))) == pytest.approx(expected)


def test_volume_is_in_millilitres():
    assert volume_ml(voxels((0, 0, 0), (5, 5, 5)), (2.0, 5.0, 10.0)) == pytest.approx(0.2)


def test_every_registered_metric_measures_a_pair_of_masks():
    pair = MaskPair(blob(6), blob(6), UNIT)
    measured = {name: metric.measure(pair, Definitions()) for name, metric in METRICS.items()}
    assert measured == {"dsc": 1.0, "hd95_mm": 0.0, "assd_mm": 0.0, "nsd": 1.0}


def test_pooled_hd95_looks_at_both_directions_together():
    reference = voxels(*[(i, 0, 0) for i in range(10)])
    pair = MaskPair(reference | voxels((9, 9, 9)), reference, UNIT)
    pooled = np.percentile([0.0] * 20 + [np.hypot(9, 9)], 95)
    assert hd95_mm(pair, "pooled") == pytest.approx(pooled)
    assert hd95_mm(pair, "pooled") < hd95_mm(pair)


def test_assd_is_the_mean_over_the_surface_voxels_of_both():
    pair = MaskPair(voxels((0, 0, 0), (0, 0, 5)), voxels((0, 0, 0)), (1.0, 1.0, 3.0))
    assert assd_mm(pair) == pytest.approx((0 + 15 + 0) / 3)


def test_nsd_counts_surface_voxels_within_the_tolerance():
    pair = MaskPair(voxels((0, 0, 0), (0, 0, 5)), voxels((0, 0, 1)), UNIT)
    assert nsd(pair, 0.5) == 0.0
    assert nsd(pair, 1.0) == pytest.approx(2 / 3)
    assert nsd(pair, 4.0) == 1.0


@pytest.mark.parametrize("kind", ["voxels", "area"])
def test_nsd_does_not_depend_on_how_an_affine_was_rounded(kind):
    masks = np.zeros((2, 12, 12, 12), dtype=bool)
    masks[0, 3:8, 3:8, 3:8] = masks[1, 3:8, 4:9, 3:8] = True
    clean, rounded = (MaskPair(*masks, (2.0, y, 2.2)) for y in (2.0, 2.00000005))
    assert nsd(clean, 2.0, kind) == nsd(rounded, 2.0, kind) > nsd(clean, 1.9, kind)


def test_nsd_of_one_empty_mask_is_zero_and_of_two_is_not_measurable():
    empty, full = voxels(), voxels((1, 2, 3))
    assert nsd(MaskPair(empty, full, UNIT)) == nsd(MaskPair(full, empty, UNIT)) == 0.0
    assert np.isnan(nsd(MaskPair(empty, empty, UNIT)))


def test_area_of_a_block_is_that_of_its_faces_but_for_its_cut_corners():
    block = np.ones((6, 7, 8), dtype=bool)
    _, areas = surface_elements(block, (1.0, 2.0, 0.5))
    assert areas.sum() == pytest.approx(2 * (6 * 14 + 6 * 4 + 14 * 4), rel=0.1)


def test_surface_weighed_by_area_counts_a_large_face_for_more_than_its_voxels():
    sheet = voxels(*[(i, j, 2) for i in range(10) for j in range(10)])
    pair = MaskPair(sheet | voxels((5, 5, 9)), sheet, (5.0, 5.0, 0.1))
    assert nsd(pair, 0.01, "area") == pytest.approx(nsd(pair, 0.01), abs=0.02)
    thick = MaskPair(np.roll(sheet, 4, axis=2), sheet, (5.0, 5.0, 0.1))
    assert hd95_mm(thick, "area") == pytest.approx(0.4)
    assert nsd(thick, 0.29, "area") < 0.05 < nsd(thick, 0.5, "area")


def test_definitions_say_what_is_meant():
    text = Definitions("pooled", tolerance_mm=1.5).text
    assert "both directions' distances together" in text
    assert "within 1.5 mm" in text
