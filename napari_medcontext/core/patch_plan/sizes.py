"""Which patch sizes are tried."""

from __future__ import annotations

from collections.abc import Iterable

from napari_medcontext.core.config import Case, RunConfig
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.io import read_geometry
from napari_medcontext.core.networks import PatchSize, find_network
from napari_medcontext.core.volume import Spacing, median_spacing

SIDES = (32, 48, 64, 80, 96, 128)
"""Longest sides that are tried where none are named: those of Kamath et al. (2022), and 128."""


def candidate_sizes(sides: Iterable[int], spacing: Spacing, network: str) -> list[PatchSize]:
    """Return patches about as long in millimetres along every axis, as the network takes them.

    Parameters
    ----------
    sides
        Voxels along the axis of the finest spacing.
    spacing
        The training's voxel size along x, y, z in mm; along thicker axes a patch has fewer
        voxels.
    network
        Name of the network, whose multiples each side keeps to.
    """
    finest, fitting = min(spacing), find_network(network).fitting
    sizes = []
    for side in sides:
        x, y, z = (max(1, round(side * finest / step)) for step in spacing)
        sizes.append(fitting((x, y, z)))
    return in_order(sizes)


def parsed_sizes(words: str, spacing: Spacing, network: str) -> list[PatchSize]:
    """Read sizes: ``64`` means 64 voxels along the finest axis, ``64x64x32`` just these.

    Raises
    ------
    SettingsError
        For a word of another form, or a size that the network cannot take.
    """
    sizes: list[PatchSize] = []
    for word in filter(None, (part.strip() for part in words.split(","))):
        parts = word.lower().replace("×", "x").split("x")
        if len(parts) not in (1, 3) or not all(part.isdecimal() and int(part) for part in parts):
            raise SettingsError(
                f"“{word}” is no patch size. Write 64, or 64x64x32 for voxels along x, y and z; "
                "several are separated by commas."
            )
        if len(parts) == 1:
            sizes += candidate_sizes([int(parts[0])], spacing, network)
        else:
            x, y, z = map(int, parts)
            find_network(network).check_patch_size(network, (x, y, z))
            sizes.append((x, y, z))
    if not sizes:
        raise SettingsError("No patch size is named. Write, for example, 32,64,96.")
    return in_order(sizes)


def training_spacing(config: RunConfig, cases: Iterable[Case]) -> Spacing:
    """Return the voxel size along x, y, z in mm that a training on these scans would have."""
    if config.data.spacing is not None:
        return config.data.spacing
    grids = [read_geometry(case.image, channels=True) for case in cases]
    return median_spacing([grid.reoriented("RAS").spacing for grid in grids])


def voxels(size: PatchSize) -> int:
    """Return how many voxels a patch has."""
    x, y, z = size
    return x * y * z


def in_order(sizes: Iterable[PatchSize]) -> list[PatchSize]:
    """Return each size once, the smallest first."""
    return sorted(set(sizes), key=lambda size: (voxels(size), size))
