"""Volumes of one sphere each, to study how foreground and context play together.

After the synthetic volumes of Kamath et al. (Medical Imaging meets NeurIPS 2022), whose spheres
differ in size alone; here the sphere differs from its surroundings in texture, not in brightness.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_medcontext.core.io import atomic_path, write_volume
from napari_medcontext.core.phantom_shapes import Floats
from napari_medcontext.core.volume import Volume

SHARES = (0.005, 0.3)
"""Least and largest share of a volume that its sphere takes."""
COARSE, FINE = 2.0, 1.0
"""Standard deviation in voxels of the smoothing that makes the texture outside, and inside."""
NOISE = 0.3
"""Standard deviation of what a scanner adds; that of both textures is 1."""
CLASS_NAMES = {1: "sphere"}


def make_sphere(seed: int, side: int, share: float) -> tuple[Volume, Volume]:
    """Make a volume with a sphere somewhere in it, and its labels.

    Parameters
    ----------
    seed
        Number that fixes place and texture.
    side
        Voxels along each axis, 1 mm each.
    share
        Share of the volume that the sphere takes, at most half.

    Returns
    -------
    image, labels
        float32 and uint8 (1 in the sphere), on one grid.
    """
    rng = np.random.default_rng(seed)
    radius = side * (0.75 * share / np.pi) ** (1 / 3)
    centre = rng.uniform(radius, side - radius, size=3)
    places = np.indices((side,) * 3).reshape(3, -1) + 0.5
    distance = np.linalg.norm(places - centre[:, None], axis=0).reshape((side,) * 3)
    inside = distance <= radius
    image = np.where(inside, _texture(rng, side, FINE), _texture(rng, side, COARSE))
    image += NOISE * rng.standard_normal(image.shape)
    affine = np.eye(4)
    return (
        Volume(image.astype(np.float32), affine, f"sphere {seed}"),
        Volume(inside.astype(np.uint8), affine, f"sphere {seed} labels", CLASS_NAMES),
    )


def write_spheres(folder: Path, count: int, side: int, seed: int = 0) -> Path:
    """Write so many volumes to train on and as many to test, unless they are there already.

    Their shares rise evenly on a scale of powers, in training and test alike.

    Returns
    -------
    Path
        Their ``dataset.json``, in the form of the Medical Segmentation Decathlon.

    Raises
    ------
    MedContextError
        If the folder cannot be written.
    """
    listed: dict[str, list[dict[str, str]]] = {"training": [], "test": []}
    for number, (part, ending) in enumerate((("training", "Tr"), ("test", "Ts"))):
        for turn, share in enumerate(np.geomspace(*SHARES, count)):
            file = f"{part}_{turn + 1:02d}.nii.gz"
            paths = [folder / f"images{ending}" / file, folder / f"labels{ending}" / file]
            listed[part].append(
                {"image": _from(folder, paths[0]), "label": _from(folder, paths[1])}
            )
            made = make_sphere(seed * 10_000 + number * 1_000 + turn, side, float(share))
            for path, volume in zip(paths, made, strict=True):
                # A study that goes on must find its files as old as they were.
                if not path.is_file():
                    write_volume(path, volume)
    table = {"name": "Spheres", "labels": {"0": "background", "1": "sphere"}, **listed}
    with atomic_path(folder / "dataset.json") as temporary:
        temporary.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    return folder / "dataset.json"


def _from(folder: Path, path: Path) -> str:
    return f"./{path.relative_to(folder).as_posix()}"


def _texture(rng: np.random.Generator, side: int, width: float) -> Floats:
    """Return smooth noise with a mean of 0 and a standard deviation of 1."""
    field = gaussian_filter(rng.standard_normal((side,) * 3, dtype=np.float32), width, mode="wrap")
    texture: Floats = (field - field.mean()) / field.std()
    return texture
