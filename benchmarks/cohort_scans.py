"""A folder of small synthetic scans, ten of them broken, each in a way of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from napari_medcontext.core.config import Case, RunConfig, RunSpec
from napari_medcontext.core.io import write_volume
from napari_medcontext.core.jobs import execute
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.volume import Volume

SIDE = 40
"""Voxels of 1 mm along each side of a scan."""
CLASS_NAMES = {1: "left", 2: "right"}
DATATYPE = slice(70, 72)
"""Bytes of a NIfTI-1 header that say of which type the voxels are."""


def synthetic(seed: int) -> tuple[Volume, Volume]:
    """Return a scan with two bright balls in noise, and their labels; axes (x, y, z), in mm."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((SIDE,) * 3, np.uint8)
    grid = np.indices(labels.shape).astype(float)
    for class_id, x in ((1, 0.3), (2, 0.7)):
        centre = np.array([x, 0.5, 0.5]) * SIDE + rng.uniform(-2, 2, 3)
        distance = np.sqrt(((grid - centre[:, None, None, None]) ** 2).sum(0))
        labels[distance < rng.uniform(5, 8)] = class_id
    image = (100.0 * labels + rng.normal(0, 10, labels.shape)).astype(np.float32)
    affine = np.eye(4)
    return Volume(image, affine, f"case_{seed:03d}"), Volume(labels, affine, "", CLASS_NAMES)


def cut_short(path: Path, whole: Path) -> None:
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])


def flipped_bits(path: Path, whole: Path) -> None:
    content = bytearray(whole.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(255 - value for value in content[middle : middle + 64])
    path.write_bytes(content)


def text(path: Path, whole: Path) -> None:
    path.write_text("Scans of this patient are on the other disk.", encoding="utf-8")


def empty(path: Path, whole: Path) -> None:
    path.touch()


def gone(path: Path, whole: Path) -> None:
    path.symlink_to(path.with_name("moved-elsewhere.nii.gz"))


def not_finite(path: Path, whole: Path) -> None:
    array = np.array(nib.load(whole).dataobj)
    array[:4, :4, :4] = np.nan
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)


def series(path: Path, whole: Path) -> None:
    array = np.stack([np.array(nib.load(whole).dataobj)] * 3, axis=-1)
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)


def colour(path: Path, whole: Path) -> None:
    array = np.zeros((SIDE,) * 3, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)


def singular(path: Path, whole: Path) -> None:
    scan = nib.Nifti1Image(np.array(nib.load(whole).dataobj), None)
    scan.header["sform_code"] = 1
    scan.header["srow_x"] = scan.header["srow_y"] = (1.0, 0.0, 0.0, 0.0)
    scan.header["srow_z"] = (0.0, 0.0, 1.0, 0.0)
    nib.save(scan, path)


def unknown_type(path: Path, whole: Path) -> None:
    plain = path.with_name(".plain.nii")
    nib.save(nib.load(whole), plain)
    content = bytearray(plain.read_bytes())
    content[DATATYPE] = np.int16(9999).tobytes()
    plain.unlink()
    nib.openers.Opener(str(path), "wb").write(bytes(content))


BROKEN: tuple[Callable[[Path, Path], None], ...] = (
    cut_short,
    flipped_bits,
    text,
    empty,
    gone,
    not_finite,
    series,
    colour,
    singular,
    unknown_type,
)


def make_scans(folder: Path, good: int) -> None:
    """Write the scans, the broken ones spread among the good ones."""
    for seed in range(good):
        write_volume(folder / f"case_{seed:03d}.nii.gz", synthetic(seed)[0])
    apart = good // len(BROKEN)
    for number, break_it in enumerate(BROKEN):
        name = f"case_{number * apart:03d}_{break_it.__name__}.nii.gz"
        break_it(folder / name, folder / "case_000.nii.gz")


def tiny_run(folder: Path) -> Path:
    """Train a small U-Net for a few steps, which is enough to predict something."""
    cases = []
    for seed in (10_000, 10_001):
        case = Case(
            name=str(seed),
            image=folder / f"{seed}.nii.gz",
            labels=folder / f"{seed}.labels.nii.gz",
        )
        scan, labels = synthetic(seed)
        write_volume(case.image, scan)
        write_volume(folder / f"{seed}.labels.nii.gz", labels)
        cases.append(case)
    config = RunConfig().updated(
        {
            "data": {"patch_size": (32, 32, 32), "spacing": (1.0, 1.0, 1.0)},
            "training": {"steps": 10, "warmup_steps": 2, "preview_every": 0.0},
        }
    )
    spec = RunSpec(config=config, cases=tuple(cases), class_names=CLASS_NAMES)
    run = RunFolder(folder / "run").create(spec)
    *_, last = execute(run.path)
    assert last.reason == "completed", last.message
    return run.path
