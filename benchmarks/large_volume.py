"""Predict an OME-Zarr volume in a child process whose memory is limited, and watch what it takes.

The volume is written chunk by chunk: bright balls of two sizes in noise, in int16. A small U-Net
learns them for a moment, on scans of three times the voxel size, so that all of it takes minutes
on a laptop. The same command is run on a small volume first; what it takes there is what Python,
torch and the network need. The large one may take more by what the formula in
``blockwise/predict.py`` says, no more.

    python benchmarks/large_volume.py --out DIR [--side 768]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil

from napari_medcontext.core.blockwise.planes import empty_grid
from napari_medcontext.core.config import Case, RunConfig, RunSpec
from napari_medcontext.core.formats.ome_zarr import open_image
from napari_medcontext.core.formats.ome_zarr_writer import CHUNK, create
from napari_medcontext.core.io import atomic_path, write_volume
from napari_medcontext.core.jobs import execute
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.volume import Volume

VOXEL_MM, RUN_MM = 0.5, 1.5
PATCH = (64, 64, 32)
PERIOD = 96
"""Voxels of the volume from one ball to the next, the small and the large in turn."""
RADII = {1: 20.0, 2: 32.0}
SMALL_SIDE = 192
MIB = 2**20
CLASS_NAMES = {1: "small ball", 2: "large ball"}


def classes_at(places: Sequence[np.ndarray]) -> np.ndarray:
    """Return the class at places along x, y, z, in voxels of the large volume, shape (x, y, z)."""
    x, y, z = np.ix_(*places)
    odd = sum((axis // PERIOD).astype(int) for axis in (x, y, z)) % 2
    distance = np.sqrt(sum((axis % PERIOD - PERIOD / 2) ** 2 for axis in (x, y, z)))
    labels = np.zeros(distance.shape, np.uint8)
    for class_id, radius in RADII.items():
        labels[(odd == class_id - 1) & (distance < radius)] = class_id
    return labels


def scan_of(labels: np.ndarray, seed: Sequence[int]) -> np.ndarray:
    """Return what a scanner might make of classes: 100 and 200 in noise, int16."""
    noise = np.random.default_rng(seed).normal(0, 20, labels.shape)
    return np.asarray(100 * labels + noise, dtype=np.int16)


def boxes(side: int) -> Iterator[tuple[slice, slice, slice]]:
    parts = [slice(start, min(start + CHUNK, side)) for start in range(0, side, CHUNK)]
    yield from ((x, y, z) for x in parts for y in parts for z in parts)


def write_large(path: Path, side: int) -> Path:
    """Write a volume of the classes in noise, in chunks."""
    affine = np.diag([-VOXEL_MM, -VOXEL_MM, VOXEL_MM, 1.0])
    with atomic_path(path) as target:
        array = create(target, empty_grid(affine, (side,) * 3, path.name), np.dtype(np.int16))
        for box in boxes(side):
            labels = classes_at([np.arange(part.start, part.stop) + 0.5 for part in box])
            array[box[::-1]] = scan_of(labels, [part.start for part in box]).T
    return path


def trained_run(folder: Path, steps: int) -> Path:
    """Train on two scans of the run's voxel size."""
    cases = []
    factor = RUN_MM / VOXEL_MM
    for seed in range(2):
        labels = classes_at([(np.arange(96) + 0.5) * factor + 40 * seed] * 3)
        affine = np.diag([RUN_MM, RUN_MM, RUN_MM, 1.0])
        # Noise is averaged where a scan becomes coarser.
        scan = 100.0 * labels + np.random.default_rng(seed).normal(0, 5, labels.shape)
        image = write_volume(folder / f"{seed}.nii", Volume(scan.astype(np.float32), affine))
        drawn = write_volume(folder / f"{seed}-labels.nii", Volume(labels, affine))
        cases.append(Case(name=str(seed), image=image, labels=drawn))
    changes = {
        "data": {"patch_size": PATCH, "augmentation": "none"},
        "training": {"steps": steps, "preview_every": 0.0},
        "device": {"device": "cpu", "precision": "float32"},
    }
    spec = RunSpec(config=RunConfig().updated(changes), cases=tuple(cases), class_names=CLASS_NAMES)
    run = RunFolder(folder / "run").create(spec)
    *_, last = execute(run.path)
    assert last.reason == "completed", last
    return run.path


def watched(run: Path, scan: Path, out: Path, limit_mib: int) -> tuple[float, float]:
    """Predict in a child process of limited memory; return its peak in MiB, and seconds."""
    words = [sys.executable, "-m", "napari_medcontext", "predict", str(run), str(scan)]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (limit_mib * MIB,) * 2)

    started, peak = time.perf_counter(), 0
    child = subprocess.Popen(
        [*words, "--out", str(out), "--overwrite"], preexec_fn=limit, stdout=subprocess.DEVNULL
    )
    while child.poll() is None:
        peak = max(peak, resident(psutil.Process(child.pid)))
        time.sleep(0.02)
    assert child.returncode == 0, f"the prediction of {scan} failed ({child.returncode})"
    return peak / MIB, time.perf_counter() - started


def resident(process: psutil.Process) -> int:
    """Return the memory of a process and its children, in bytes."""
    total = 0
    try:
        for each in (process, *process.children(recursive=True)):
            total += each.memory_info().rss
    except psutil.NoSuchProcess:
        return total
    return total


def formula_mib(side: int) -> dict[str, float]:
    """Return what the formula allows beside Python, torch and the network."""
    factor, outputs = RUN_MM / VOXEL_MM, 1 + len(CLASS_NAMES)
    plane, width = (side / factor) ** 2, min(PATCH)
    reach = int(4 * (factor - 1) / 2 + 0.5)
    bytes_of = {
        "windows": 4 * plane * ((outputs + 1) * width + width),
        "planes kept": 4 * plane * outputs * (16 / factor + 3),
        "scan": 2 * side**2 * (CHUNK + 16 * factor + 2 * reach + 4),
        "labels": side**2 * (CHUNK + 16),
    }
    return {name: size / MIB for name, size in bytes_of.items()}


def dice(path: Path, side: int) -> dict[str, float]:
    """Return the Dice score of each class, chunk by chunk."""
    image = open_image(path)
    both, either = np.zeros(3), np.zeros(3)
    for box in boxes(side):
        wanted = classes_at([np.arange(part.start, part.stop) + 0.5 for part in box])
        found = image.read(box)
        both += np.bincount(wanted[found == wanted], minlength=3)
        either += np.bincount(wanted.ravel(), minlength=3)
        either += np.bincount(found.ravel(), minlength=3)
    scores = np.round(2 * both / either, 3).tolist()
    return {name: scores[index] for index, name in CLASS_NAMES.items()}


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--out", type=Path, required=True)
    words.add_argument("--side", type=int, default=768)
    words.add_argument("--steps", type=int, default=60)
    words.add_argument("--limit-mib", type=int, default=1536)
    given = words.parse_args()
    run = trained_run(given.out / "study", given.steps)
    small = write_large(given.out / "small.ome.zarr", SMALL_SIDE)
    before, _ = watched(run, small, given.out / "predicted", given.limit_mib)
    started = time.perf_counter()
    large = write_large(given.out / "large.ome.zarr", given.side)
    voxels = given.side**3
    print(
        f"wrote {given.side}³ int16, {2 * voxels / MIB:.0f} MiB, "
        f"in {time.perf_counter() - started:.0f} s"
    )
    peak, seconds = watched(run, large, given.out / "predicted", given.limit_mib)
    parts, outputs = formula_mib(given.side), 1 + len(CLASS_NAMES)
    bound = before + sum(parts.values())
    print(f"peak of {SMALL_SIDE}³: {before:.0f} MiB (Python, torch, the network)")
    print(f"peak of {given.side}³: {peak:.0f} MiB, {seconds:.0f} s")
    told = ", ".join(f"{name} {size:.0f}" for name, size in parts.items())
    print(f"bound: {before:.0f} + {sum(parts.values()):.0f} MiB ({told}) = {bound:.0f} MiB")
    print(
        f"in memory: {4 * voxels / MIB:.0f} MiB as float32, "
        f"{4 * voxels * outputs / MIB:.0f} MiB with {outputs} outputs"
    )
    print("Dice:", dice(given.out / "predicted" / "large.ome.zarr", given.side))
    assert peak < bound, "the formula does not hold"


if __name__ == "__main__":
    main()
