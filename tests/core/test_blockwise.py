"""What is predicted block by block is what is predicted whole, in memory that stays the same."""

import csv
import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from scipy import ndimage
from torch import nn
from typer.testing import CliRunner

from napari_medcontext.cli import app
from napari_medcontext.core.blockwise.predict import predict_blockwise
from napari_medcontext.core.blockwise.scan import open_channels
from napari_medcontext.core.classes import Classes
from napari_medcontext.core.config import Case, RunConfig
from napari_medcontext.core.device import Compute
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.inference import Cancelled, Predictor, drained
from napari_medcontext.core.intensities import gathered_scaling, normalise
from napari_medcontext.core.io import list_scans, read_volume, write_volume
from napari_medcontext.core.prediction_plan import LEDGER
from napari_medcontext.core.training_settings import DataSettings
from napari_medcontext.core.volume import Volume

CPU = Compute(torch.device("cpu"), "float32")
NAMES = {2: "a", 5: "b", 9: "c"}
GRIDS = {
    # Several rows of chunks and windows, both coarser and finer than the network's grid.
    "LPS": ("zscore", (0.8, 0.9, 2.5), (70, 44, 31), (1.5, 1.5, 2.0), (16, 16, 16)),
    # Smaller than a window along one axis.
    "SAR": ("percentile", (2.0, 0.7, 0.7), (20, 70, 40), (0.9, 1.1, 1.3), (24, 48, 16)),
    # The network's own spacing.
    "PIR": ("window", (1.0, 1.0, 1.0), (40, 30, 70), (1.0, 1.0, 1.0), (16, 32, 16)),
}
"""Intensities, spacing and shape along the axes, and the spacing and window of the run."""


def network(channels: int = 1) -> nn.Module:
    """Return a network that mixes its surroundings, with weights of chance."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = nn.Conv3d(channels, 4, 3, padding=1)
        return nn.Sequential(first, nn.ReLU(), nn.Conv3d(4, 4, 3, padding=1)).eval()


def predictor_for(intensity, spacing, window, channels=()) -> Predictor:
    data = {"intensity": intensity, "patch_size": window, "window": (-200, 300)}
    config = RunConfig().updated({"data": data})
    classes = Classes((0, 2, 5, 9), NAMES)
    net = network(max(1, len(channels)))
    return Predictor([net], config, classes, spacing, CPU, channels=channels)


def textured(orientation, spacing, shape, seed=0) -> Volume:
    """Return an oblique scan of smooth noise, a part of it exactly zero."""
    noise = np.random.default_rng(seed).normal(size=shape)
    array = (ndimage.gaussian_filter(noise, 2) * 4000).astype(np.int16)
    array[array < -200] = 0
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]
    turned[:3, 3] = (-20.5, 30.25, 5.0)
    order = ["RL", "AP", "SI"]
    affine = np.zeros((4, 4))
    affine[3, 3] = 1.0
    for column, (letter, size) in enumerate(zip(orientation, spacing, strict=True)):
        row = next(row for row, pair in enumerate(order) if letter in pair)
        affine[row, column] = size if letter in "RAS" else -size
    return Volume(array, turned @ affine, "scan")


def in_memory(predictor: Predictor, *volumes: Volume) -> Volume:
    return drained(predictor.predict(*volumes), lambda: False).labels


def blockwise(predictor: Predictor, path: Path, out: Path) -> Volume:
    channels = open_channels(Case(name="scan", image=path), predictor.channels)
    drained(predict_blockwise(predictor, channels, out), lambda: False)
    return read_volume(out)


@pytest.mark.parametrize("orientation", GRIDS)
def test_labels_are_those_that_are_predicted_of_the_same_scan_as_nifti(tmp_path, orientation):
    intensity, size, shape, spacing, window = GRIDS[orientation]
    predictor = predictor_for(intensity, spacing, window)
    scan = textured(orientation, size, shape)
    expected = in_memory(predictor, read_volume(write_volume(tmp_path / "scan.nii", scan)))
    path = write_volume(tmp_path / "scan.ome.zarr", scan)
    found = blockwise(predictor, path, tmp_path / "out" / "scan.ome.zarr")
    assert {*np.unique(expected.array)} == {0, 2, 5, 9}
    np.testing.assert_array_equal(found.array, expected.array)
    np.testing.assert_allclose(found.affine, scan.affine, atol=1e-9)
    assert found.class_names == NAMES
    assert found.array.dtype == expected.array.dtype
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["scan.ome.zarr"]


def test_channels_of_one_file_are_predicted_together(tmp_path):
    scans = [textured("LPS", (1.0, 1.0, 2.0), (40, 30, 20), seed) for seed in (1, 2)]
    predictor = predictor_for("zscore", (1.5, 1.5, 1.5), (16, 16, 16), ("FLAIR", "T1"))
    both = Volume(np.stack([scan.array for scan in scans], -1), scans[0].affine, "scan")
    expected = in_memory(predictor, *scans)
    path = write_channels(tmp_path / "scan.ome.zarr", both)
    found = blockwise(predictor, path, tmp_path / "out.ome.zarr")
    np.testing.assert_array_equal(found.array, expected.array)
    alone = predictor_for("zscore", (1.5, 1.5, 1.5), (16, 16, 16))
    with pytest.raises(ScanError, match="has 2 channels, where the network takes one"):
        blockwise(alone, path, tmp_path / "out.ome.zarr")


def write_channels(path: Path, both: Volume) -> Path:
    """Write an image with an axis of channels, which the writer of scans does not."""
    write_volume(path, Volume(both.array[..., 0], both.affine, both.name))
    group = zarr.open_group(str(path), mode="r+")
    ome = group.attrs["ome"]
    multiscale = ome["multiscales"][0]
    multiscale["axes"].insert(0, {"name": "c", "type": "channel"})
    for step in multiscale["datasets"][0]["coordinateTransformations"]:
        step[step["type"]].insert(0, 1.0)
    group.attrs["ome"] = ome
    group.create_array(
        "0", data=np.ascontiguousarray(both.array.T), chunks=(1, 16, 16, 16), overwrite=True
    )
    return path


def test_memory_does_not_grow_with_the_length_of_a_scan(tmp_path):
    predictor = predictor_for("percentile", (1.5, 1.5, 1.5), (16, 16, 16))

    def peak(length: int) -> int:
        scan = Volume(np.ones((30, 30, length), np.int16), np.eye(4), "scan")
        path = write_volume(tmp_path / f"{length}.ome.zarr", scan)
        tracemalloc.start()
        channels = open_channels(Case(name="scan", image=path), ())
        work = predict_blockwise(predictor, channels, tmp_path / "out" / f"{length}.ome.zarr")
        drained(work, lambda: False)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(128)
    assert peak(512) < 1.15 * peak(256)


def test_probabilities_of_regions_are_written_with_them(tmp_path):
    intensity, size, shape, spacing, window = GRIDS["SAR"]
    predictor = predictor_for(intensity, spacing, window)
    classes = Classes((0, 1, 2, 4), {1: "WT", 2: "ET"}, regions=((1, 2, 4), (4,)))
    net = nn.Conv3d(1, 2, 3, padding=1).eval()
    predictor = replace(predictor, classes=classes, networks=[net])
    scan = textured("SAR", size, shape)
    whole = drained(predictor.predict(scan, probabilities=True), lambda: False)
    path = write_volume(tmp_path / "scan.ome.zarr", scan)
    maps = {number: tmp_path / f"{number}.ome.zarr" for number in (1, 2)}
    channels = open_channels(Case(name="scan", image=path), ())
    out = tmp_path / "out.ome.zarr"
    drained(predict_blockwise(predictor, channels, out, maps), lambda: False)
    np.testing.assert_array_equal(read_volume(out).array, whole.labels.array)
    for number, each in maps.items():
        found = read_volume(each).array
        np.testing.assert_allclose(found, whole.probabilities[number], atol=1e-3)


def test_stop_is_heard_while_intensities_are_gathered():
    values = np.ones((8, 4, 4), np.float32)
    seen = []

    def blocks():
        for block in np.array_split(values, 8):
            seen.append(block)
            yield block

    work = gathered_scaling(blocks, DataSettings(intensity="percentile"))
    with pytest.raises(Cancelled):
        drained(work, lambda: len(seen) == 3)
    assert len(seen) == 3


def test_stop_leaves_nothing_behind(tmp_path):
    predictor = predictor_for("zscore", (1.5, 1.5, 2.0), (16, 16, 16))
    scan = textured("LPS", (1.0, 1.0, 2.0), (40, 30, 20))
    path = write_volume(tmp_path / "scan.ome.zarr", scan)
    channels = open_channels(Case(name="scan", image=path), ())
    done = []
    work = predict_blockwise(predictor, channels, tmp_path / "out" / "scan.ome.zarr")

    def late() -> bool:
        done.append(None)
        return len(done) > 8

    with pytest.raises(Cancelled):
        drained(work, late)
    assert list((tmp_path / "out").iterdir()) == []


def test_voxels_that_are_no_numbers_are_refused_by_name(tmp_path):
    array = np.ones((20, 20, 20), np.float32)
    array[3, 4, 5] = np.nan
    path = write_volume(tmp_path / "scan.ome.zarr", Volume(array, np.eye(4)))
    predictor = predictor_for("zscore", (1.5, 1.5, 2.0), (16, 16, 16))
    with pytest.raises(ScanError, match=r"“scan” has 1 voxels that are NaN"):
        blockwise(predictor, path, tmp_path / "out.ome.zarr")


@pytest.mark.parametrize("intensity", ["zscore", "percentile"])
@pytest.mark.parametrize("outside", [0.0, 0.05, 0.5, 1.0])
def test_intensities_are_scaled_as_if_the_scan_were_seen_at_once(intensity, outside):
    random = np.random.default_rng(0)
    values = random.normal(-50, 300, (30, 20, 10)).astype(np.float32)
    values[random.random(values.shape) < outside] = 0
    settings = DataSettings(intensity=intensity)
    gathering = gathered_scaling(lambda: iter(np.array_split(values, 7)), settings)
    scaling = drained(gathering, lambda: False)
    np.testing.assert_allclose(
        scaling.apply(values), normalise(values, settings), rtol=1e-6, atol=1e-6
    )


@pytest.fixture
def called(finished_run, tmp_path):
    """Predict a folder of an OME-Zarr scan and a NIfTI from a terminal."""
    scan = textured("LPS", (1.0, 1.0, 2.0), (40, 30, 20))
    write_volume(tmp_path / "scans" / "big.ome.zarr", scan)
    write_volume(tmp_path / "scans" / "small.nii.gz", scan)

    def call(*options):
        words = ["predict", finished_run.path, tmp_path / "scans", "--out", tmp_path / "out"]
        return CliRunner().invoke(app, [str(word) for word in (*words, *options)])

    return call


def test_command_writes_zarr_for_zarr_and_knows_what_is_done(called, tmp_path):
    done = called()
    assert done.exit_code == 0, done.output
    written = list_scans(tmp_path / "out")
    assert [path.name for path in written] == ["big.ome.zarr", "small.nii.gz"]
    big, small = (read_volume(path) for path in written)
    np.testing.assert_array_equal(big.array, small.array)
    with (tmp_path / "out" / LEDGER).open(newline="", encoding="utf-8") as file:
        rows = {row["name"]: row["labels"] for row in csv.DictReader(file)}
    assert rows == {"big": "big.ome.zarr", "small": "small.nii.gz"}
    words = ["evaluate", "--predictions", written[0], "--labels", written[0]]
    words += ["--out", tmp_path / "scores.csv"]
    scored = CliRunner().invoke(app, [str(word) for word in words])
    assert scored.exit_code == 0, scored.output
    assert "2 of 2 scans are predicted already" in called().output
    chunk = next(file for file in (tmp_path / "scans" / "big.ome.zarr").rglob("c/*/*/*"))
    os.utime(chunk, (1, 1))
    again = called()
    assert again.exit_code == 1
    assert "big.ome.zarr would be overwritten" in str(again.exception)
    assert called("--overwrite").exit_code == 0


def test_probabilities_are_those_of_the_same_scan_as_nifti(called, tmp_path):
    done = called("--probabilities")
    assert done.exit_code == 0, done.output
    out = tmp_path / "out"
    names = sorted(path.name for path in list_scans(out) if "probability" in path.name)
    classes = sorted({name.split("probability-")[1].split(".")[0] for name in names})
    assert len(names) == 2 * len(classes) > 2
    for class_id in classes:
        zarred = read_volume(out / f"big.probability-{class_id}.ome.zarr")
        whole = read_volume(out / f"small.probability-{class_id}.nii.gz")
        assert zarred.array.dtype == np.float16
        assert np.ptp(whole.array) > 0.01
        np.testing.assert_allclose(zarred.array, whole.array, atol=1e-3)
        np.testing.assert_allclose(zarred.affine, whole.affine, atol=1e-4)
    again = called("--probabilities", "--weights", "teacher")
    assert "probability-" in str(again.exception)


def test_tidying_takes_the_whole_volume_and_is_refused_before_anything_is_done(called, tmp_path):
    refused = called("--largest")
    assert refused.exit_code == 1
    assert "predicted block by block" in " ".join(refused.output.split())
    assert not list((tmp_path / "out").glob("*.*"))
