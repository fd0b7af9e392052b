import subprocess
import sys

import numpy as np
import pytest

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.mask_design import TrainingGrid, design_mask, hidden_shares
from napari_medcontext.core.volume import Volume

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


def scan(shape=(24, 20, 12), affine=AFFINE):
    return Volume(np.broadcast_to(np.uint8(0), shape), affine, "scan")


def test_grid_is_the_median_of_the_scans_and_its_axis_that_of_thick_slices():
    spacings = [(1.0, 1.0, 5.0), (2.0, 2.0, 6.0), (1.5, 1.5, 5.5)]
    assert TrainingGrid.of(RunConfig(), spacings) == TrainingGrid((1.5, 1.5, 5.5), 2)
    config = RunConfig().updated({"data": {"spacing": (3, 3, 3)}, "masking": {"axis": "y"}})
    assert TrainingGrid.of(config, spacings) == TrainingGrid((3.0, 3.0, 3.0), 1)


@pytest.mark.parametrize("scheme", ["tube", "blocks"])
def test_mask_covers_the_scan_in_space_and_hides_the_asked_share(scheme):
    config = RunConfig().updated({"masking": {"scheme": scheme, "block_size": 4, "ratio": 0.4}})
    grid = TrainingGrid((2.0, 1.0, 2.0), 2)
    mask = design_mask(scan(), config, grid, 0)
    assert mask.volume.shape == (12, 20, 12)
    assert mask.share == pytest.approx(0.4, abs=0.02)
    assert mask.block == (4, 4, 4)
    corners = [volume.affine @ (*(np.array(volume.shape) / 2 - 0.5), 1) for volume in
               (scan(), mask.volume)]  # fmt: skip
    np.testing.assert_allclose(*corners)
    if scheme == "tube":
        assert (mask.volume.array == mask.volume.array[:, :, :1]).all()


def test_mask_is_that_of_a_runs_previews(loaded, tiny_spec):
    from napari_medcontext.core.io import read_geometry, read_volume
    from napari_medcontext.core.masked_scan import MaskedScan

    for changes in (
        {},
        {"masking": {"scheme": "structure"}},
        {"network": {"name": "unetr"}, "masking": {"site": "tokens", "block_size": 16}},
    ):
        config = tiny_spec.config.updated(changes)
        dataset, _ = loaded(tiny_spec.model_copy(update={"config": config}))
        prepared = dataset.preview
        (case,) = tiny_spec.with_role("validation")
        rng = np.random.default_rng([7, *prepared.shape])
        expected = MaskedScan(prepared, config, 2, dataset.spacing, rng).mask.numpy()
        geometry = read_geometry(case.image)
        mask = design_mask(
            scan(geometry.shape, geometry.affine),
            config,
            TrainingGrid(dataset.spacing, 2),
            7,
            read_volume(case.labels),
        )
        np.testing.assert_allclose(mask.volume.affine, prepared.affine)
        if "scheme" not in changes.get("masking", {}):
            np.testing.assert_array_equal(mask.volume.array.astype(bool), expected)
        else:
            # Labels are taken from the nearest voxel here, so boxes may differ by a voxel.
            assert mask.volume.array.mean() == pytest.approx(expected.mean(), abs=0.1)


def test_structure_scheme_hides_an_organ_but_not_the_unknown():
    labels = np.zeros((24, 20, 12), np.uint8)
    labels[2:8, 3:9, 4:8] = 5
    labels[14:20, 12:18, 2:6] = 9
    config = RunConfig().updated(
        {"masking": {"scheme": "structure", "ratio": 0.1}, "data": {"ignore_label": 9}}
    )
    grid = TrainingGrid((1.0, 1.0, 2.0), 2)
    for seed in range(4):
        mask = design_mask(scan(), config, grid, seed, Volume(labels, AFFINE, "organs"))
        by_id = {s.class_id: s for s in hidden_shares(mask.volume, Volume(labels, AFFINE))}
        assert by_id[5].share == 1.0


def test_shares_are_counted_in_the_labels_own_voxels_whatever_their_axes():
    labels = np.zeros((24, 20, 12), np.uint8)
    labels[:12] = 3
    labels[20:, :10] = 7
    organs = Volume(labels, AFFINE, "organs", {3: "liver"})
    mask = np.zeros((12, 10, 6), np.uint8)
    mask[:, :5] = 1  # the posterior half, RAS axes; along y these labels run to the front first
    affine = scan().reoriented("RAS").affine @ np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] += affine[:3, :3].diagonal() / 4
    shares = hidden_shares(Volume(mask, affine), organs)
    assert [(s.class_id, s.name) for s in shares] == [(3, "liver"), (7, "class 7")]
    assert shares[0].share == pytest.approx(0.5)
    assert shares[1].share == pytest.approx(0.0)
    assert shares[0].volume_ml == pytest.approx(12 * 20 * 12 * 2 / 1000)
    turned = hidden_shares(Volume(mask, affine), organs.reoriented("SPL"))
    assert [s.share for s in turned] == pytest.approx([s.share for s in shares])


def test_labels_without_organs_have_no_shares():
    empty = Volume(np.zeros((4, 4, 4), np.uint8), np.eye(4))
    assert hidden_shares(Volume(np.ones((2, 2, 2), np.uint8), np.diag([2, 2, 2, 1.0])), empty) == []


def test_drawing_masks_imports_no_torch():
    code = (
        "import sys, napari_medcontext.core.mask_design, napari_medcontext.core.timeline;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
