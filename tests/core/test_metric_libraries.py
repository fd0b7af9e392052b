"""Our metrics against the libraries that define them, on real label maps."""

from pathlib import Path

import numpy as np
import pytest

from napari_medcontext.core.io import read_volume
from napari_medcontext.core.labels import class_boxes
from napari_medcontext.core.metrics import MaskPair, assd_mm, dice, hd95_mm, nsd

ABDOMENS = Path(__file__).parents[3] / "shared" / "data" / "abdomen_labels"
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not ABDOMENS.is_dir(), reason="the real volumes are not here"),
]
CASES = ("case_01", "case_02", "case_03")
TOLERANCE = 2.0


@pytest.fixture(scope="module")
def organs() -> dict[tuple[str, int], MaskPair]:
    """Return every organ that both observers drew, but the liver, which takes MONAI a minute."""
    found = {}
    for case in CASES:
        first, second = (read_volume(ABDOMENS / f"{case}_{side}.nii.gz") for side in "ab")
        arrays = np.asarray(first.array), np.asarray(second.array)
        boxes = [class_boxes(array) for array in arrays]
        for organ in sorted((boxes[0].keys() & boxes[1].keys()) - {6}):
            box = tuple(
                slice(max(0, min(a.start, b.start) - 1), max(a.stop, b.stop) + 1)
                for a, b in zip(boxes[0][organ], boxes[1][organ], strict=True)
            )
            found[case, organ] = MaskPair(*(array[box] == organ for array in arrays), first.spacing)
    assert len(found) >= 12
    return found


def test_directed_distances_are_those_of_monai(organs):
    import torch
    from monai.metrics import (
        compute_average_surface_distance,
        compute_hausdorff_distance,
        compute_surface_dice,
    )

    for name, pair in organs.items():
        masks = [
            torch.from_numpy(mask.copy())[None, None] for mask in (pair.prediction, pair.reference)
        ]
        how = {"include_background": True, "spacing": pair.spacing}
        hausdorff = compute_hausdorff_distance(*masks, percentile=95, **how)
        average = compute_average_surface_distance(*masks, symmetric=True, **how)
        surface = compute_surface_dice(*masks, [TOLERANCE], **how)
        assert hd95_mm(pair) == pytest.approx(float(hausdorff), abs=1e-3), name
        assert assd_mm(pair) == pytest.approx(float(average), abs=1e-3), name
        assert nsd(pair, TOLERANCE) == pytest.approx(float(surface), abs=1e-3), name


def test_pooled_distances_are_those_of_medpy(organs):
    from medpy.metric import binary

    for name, pair in organs.items():
        masks = pair.prediction, pair.reference
        assert hd95_mm(pair, "pooled") == pytest.approx(
            binary.hd95(*masks, voxelspacing=pair.spacing), abs=1e-3
        ), name
        assert dice(*masks) == pytest.approx(binary.dc(*masks), abs=1e-9), name


# The library calls scipy by a name that scipy gives up.
@pytest.mark.filterwarnings("ignore:.*scipy.ndimage.*:DeprecationWarning")
def test_distances_by_area_are_those_of_surface_distance(organs):
    import surface_distance

    close = 0
    for name, pair in organs.items():
        theirs = surface_distance.compute_surface_distances(
            pair.reference, pair.prediction, pair.spacing
        )
        # Their areas of ambiguous cubes are other than those of marching cubes, so that where the
        # percentile falls between two distances it may fall on the next one.
        hausdorff = surface_distance.compute_robust_hausdorff(theirs, 95)
        assert hd95_mm(pair, "area") == pytest.approx(hausdorff, abs=pair.spacing[0] * 1.01), name
        close += hd95_mm(pair, "area") == pytest.approx(hausdorff, abs=0.02)
        assert nsd(pair, TOLERANCE, "area") == pytest.approx(
            surface_distance.compute_surface_dice_at_tolerance(theirs, TOLERANCE), abs=1e-3
        ), name
    assert close >= 0.85 * len(organs)


def test_four_definitions_part_on_one_kidney(organs):
    kidney = organs["case_01", 2]
    found = [hd95_mm(kidney, kind) for kind in ("directed", "pooled", "area")]
    assert found == pytest.approx([6.00, 3.78, 6.68], abs=0.005)
    by_kind = [nsd(kidney, TOLERANCE, kind) for kind in ("voxels", "area")]
    assert by_kind == pytest.approx([0.898, 0.910], abs=0.001)
