"""A study of synthetic abdomens, made by code, to try everything on without a patient.

The scans look like contrast-enhanced CT. Intensity alone does not tell the organs apart: the
kidneys enhance alike, the spleen nearly as the liver does, and unlabelled bowel and veins look
like either, so that a network has to learn where things are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from napari_medcontext.core.io import atomic_path, write_volume
from napari_medcontext.core.phantom_anatomy import paint_abdomen
from napari_medcontext.core.phantom_shapes import Canvas, Floats, smooth_field
from napari_medcontext.core.volume import Affine, Array, Volume

CLASS_NAMES: Mapping[int, str] = MappingProxyType(
    {
        1: "spleen",
        2: "right kidney",
        3: "left kidney",
        4: "gallbladder",
        5: "liver",
        6: "stomach",
        7: "aorta",
        8: "pancreas",
    }
)
"""Class id to name: the eight organs of the Synapse benchmark, in the order of BTCV."""

SHAPE = (112, 96, 56)
SPACING_MM = (2.75, 2.75, 5.0)

_WARP_MM = 3.0
_NOISE_HU = 13.0
_TRAINING_SCANS = 4


def make_abdomen(
    seed: int,
    shape: tuple[int, int, int] = SHAPE,
    spacing: tuple[float, float, float] = SPACING_MM,
) -> tuple[Volume, Volume]:
    """Make one scan of a synthetic abdomen, and its labels.

    Parameters
    ----------
    seed
        Number that fixes the anatomy and the noise.
    shape
        Voxels from left to right, back to front, and feet to head. Where ``shape`` times
        ``spacing`` is below about 300 × 220 × 250 mm, the scan is cropped.
    spacing
        Distance between voxel centres along the same axes, in millimetres.

    Returns
    -------
    image, labels
        Image in HU (int16) and class ids (uint8, see ``CLASS_NAMES``) on the same grid. The
        axes run as RAS or LPS, and the world's origin lies near the middle of the scan:
        both depend on the seed.
    """
    rng = np.random.default_rng(seed)
    size = rng.normal(1.0, 0.02) * (1 + 0.025 * np.clip(rng.standard_normal(3), -2, 2))
    centre = rng.uniform(-4, 4, size=3)
    canvas = Canvas(_fine_axes(shape, spacing, size, centre), rng, _WARP_MM)
    paint_abdomen(canvas)
    image = _acquired(_summed(canvas.intensity) / np.float32(8), spacing, rng)
    labels = _majority(canvas.labels)
    affine = np.diag([*spacing, 1.0])
    middle = np.multiply(shape, spacing) / 2
    affine[:3, 3] = (rng.uniform(-20, 20, size=3) - middle).round(1)
    orientation = ("RAS", "LPS")[int(rng.integers(2))]
    name = f"abdomen {seed}"
    return (
        _stored(image, affine, orientation, name),
        replace(_stored(labels, affine, orientation, f"{name} organs"), class_names=CLASS_NAMES),
    )


def make_study(count: int = 6, seed: int = 0) -> list[tuple[Volume, Volume]]:
    """Make several scans and their labels, each on a grid of its own.

    Parameters
    ----------
    count
        Number of scans; they are named “abdomen 1” and so on.
    seed
        Number that fixes all of them.
    """
    study = []
    for number in range(1, count + 1):
        rng = np.random.default_rng((seed, number))
        shape = (SHAPE[0], SHAPE[1], SHAPE[2] + int(rng.integers(-3, 4)))
        in_plane = round(float(rng.uniform(2.68, 2.82)), 3)
        spacing = (in_plane, in_plane, round(float(rng.uniform(4.75, 5.1)), 2))
        image, labels = make_abdomen(int(rng.integers(2**31)), shape, spacing)
        name = f"abdomen {number}"
        study.append((replace(image, name=name), replace(labels, name=f"{name} organs")))
    return study


def write_study(folder: Path, count: int = 6, seed: int = 0) -> Path:
    """Write a study in the form of the Medical Segmentation Decathlon.

    The first four scans are for training, the others for testing; the labels of those are
    written to ``labelsTs``.

    Returns
    -------
    Path
        The study's ``dataset.json``.

    Raises
    ------
    MedContextError
        If the folder cannot be written.
    """
    folder = Path(folder)
    training: list[dict[str, str]] = []
    test: list[dict[str, str]] = []
    for number, (image, labels) in enumerate(make_study(count, seed), start=1):
        part, listed = ("Tr", training) if number <= _TRAINING_SCANS else ("Ts", test)
        file = f"abdomen_{number}.nii.gz"
        write_volume(folder / f"images{part}" / file, image)
        write_volume(folder / f"labels{part}" / file, labels)
        listed.append({"image": f"./images{part}/{file}", "label": f"./labels{part}/{file}"})
    description = {
        "name": "Synthetic abdomens",
        "description": "Abdomens made by code, with eight labelled organs",
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": {"0": "background", **{str(key): name for key, name in CLASS_NAMES.items()}},
        "numTraining": len(training),
        "numTest": len(test),
        "training": training,
        "test": test,
    }
    with atomic_path(folder / "dataset.json") as temporary:
        temporary.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    return folder / "dataset.json"


def _fine_axes(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    size: npt.NDArray[np.float64],
    centre: npt.NDArray[np.float64],
) -> tuple[Floats, Floats, Floats]:
    """Return coordinates in the body's own millimetres, two a voxel along each axis."""
    x, y, z = (
        (((np.arange(2 * n) + 0.5) / 2 - n / 2) * step - shift) / scale
        for n, step, scale, shift in zip(shape, spacing, size, centre, strict=True)
    )
    return x.astype(np.float32), y.astype(np.float32), z.astype(np.float32)


def _summed(fine: Any) -> Any:
    """Add up the eight fine voxels of each voxel."""
    for axis in range(3):
        fine = np.moveaxis(fine, axis, 0)
        fine = np.moveaxis(fine[0::2] + fine[1::2], 0, axis)
    return fine


def _majority(fine: Array) -> npt.NDArray[np.uint8]:
    """Give each voxel the class that fills most of it; an organ wins a tie with background."""
    best = np.maximum(_summed((fine == 0).view(np.uint8)), 1) - np.uint8(1)
    labels = np.zeros(best.shape, dtype=np.uint8)
    for label in CLASS_NAMES:
        share = _summed((fine == label).view(np.uint8))
        labels[share > best] = label
        best = np.maximum(best, share)
    return labels


def _acquired(
    image: Floats, spacing: tuple[float, float, float], rng: np.random.Generator
) -> Floats:
    """Add what a scanner adds: blur, correlated noise, streaks and a mild bias."""
    blurred = gaussian_filter(image, (0.42, 0.42, 0.3))
    noise = gaussian_filter(
        rng.standard_normal(image.shape, dtype=np.float32), (0.75, 0.75, 0.3), mode="wrap"
    )
    axes = [
        ((np.arange(n) - n / 2) * step).astype(np.float32)
        for n, step in zip(image.shape, spacing, strict=True)
    ]
    x, y, _ = np.meshgrid(*axes, indexing="ij", sparse=True)
    depth = np.exp(-((x / 150) ** 2 + (y / 110) ** 2))
    noise *= _NOISE_HU * (0.6 + 0.6 * depth) / noise.std()
    body = np.clip((blurred + 1000) / 900, 0, 1)
    bias = smooth_field(rng, axes, 110.0, 4.0)
    acquired: Floats = blurred + body * (noise + bias + _streaks(axes, rng))
    acquired += (1 - body) * 0.3 * noise
    return acquired


def _streaks(axes: list[Floats], rng: np.random.Generator) -> Floats:
    """Return faint streaks through the spine, of other directions in each slice."""
    x, y, _ = np.meshgrid(*axes, indexing="ij", sparse=True)
    angle = np.arctan2(y + 50, x)
    waves = np.zeros((*angle.shape[:2], len(axes[2])), dtype=np.float32)
    for count in (11, 17, 27):
        phase = rng.uniform(0, 2 * np.pi, size=len(axes[2]))
        waves += np.cos(count * angle + phase)
    distance = np.hypot(x, y + 50)
    strength = 3.0 * np.exp(-(((distance - 70) / 60) ** 2))
    result: Floats = (strength * waves).astype(np.float32)
    return result


def _stored(array: Array, affine: Affine, orientation: str, name: str) -> Volume:
    if array.dtype != np.uint8:
        array = np.clip(np.rint(array), -1024, 3071).astype(np.int16)
    volume = Volume(array, affine, name).reoriented(orientation)
    return replace(volume, array=np.ascontiguousarray(volume.array))
