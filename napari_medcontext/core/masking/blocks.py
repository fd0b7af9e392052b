"""The size of what is hidden at once, and whether it suits the patch and the network."""

from __future__ import annotations

import math
from collections.abc import Sequence

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.masking.axis import AXES
from napari_medcontext.core.method_settings import MaskingSettings
from napari_medcontext.core.networks import find_network, known_networks

Size = tuple[int, int, int]
VOXEL: Size = (1, 1, 1)


def mask_unit(config: RunConfig) -> Size:
    """Return the smallest box ``(x, y, z)`` in voxels that can be hidden: a voxel or a token.

    Raises
    ------
    SettingsError
        If tokens shall be hidden from a network that has none.
    """
    if config.masking.site == "voxels" or not config.objective.has_masked_view:
        return VOXEL
    tokens = find_network(config.network.name).tokens
    if tokens is None:
        able = ", ".join(name for name, entry in known_networks().items() if entry.tokens)
        raise SettingsError(
            f"{config.network.name} has no tokens that could be hidden. Set the mask site to "
            f"voxels, or choose a network that cuts its input into tokens: {able}."
        )
    return tokens.size


def block_voxels(
    settings: MaskingSettings, spacing: tuple[float, float, float], unit: Size = VOXEL
) -> Size:
    """Return the sides of a block in voxels along x, y, z.

    Parameters
    ----------
    settings
        Its size in voxels, or in millimetres where those are given.
    spacing
        The run's voxel size in millimetres.
    unit
        A size in millimetres is rounded to whole multiples of this many voxels, at least one.
    """
    if settings.block_size_mm is None:
        return (settings.block_size,) * 3
    x, y, z = (
        max(grain, round(settings.block_size_mm / size / grain) * grain)
        for size, grain in zip(spacing, unit, strict=True)
    )
    return x, y, z


def whole_units(shape: Sequence[int], unit: Size, window: Size) -> Size:
    """Return a size of whole tokens, at least a window's; a scan hidden by voxels stays as is."""
    x, y, z = (
        side if grain == 1 else max(least, -(-side // grain) * grain)
        for side, grain, least in zip(shape, unit, window, strict=True)
    )
    return x, y, z


def check_masking(config: RunConfig, axis: int, spacing: tuple[float, float, float]) -> None:
    """Refuse masks that hide a whole patch, or parts of tokens.

    Parameters
    ----------
    config
        The run's settings.
    axis
        Index of the axis along which columns run.
    spacing
        The run's voxel size in millimetres along x, y, z.

    Raises
    ------
    SettingsError
        Naming a block that works.
    """
    unit = mask_unit(config)
    block = block_voxels(config.masking, spacing, unit)
    cut = [index for index in range(3) if config.masking.scheme != "tube" or index != axis]
    if config.masking.scheme != "structure":
        _refuse_cut_tokens(config, block, unit, cut)
    if all(block[index] >= config.data.patch_size[index] for index in cut):
        _refuse_whole_patch(config, block, unit, cut, spacing)


def _refuse_cut_tokens(config: RunConfig, block: Size, unit: Size, cut: list[int]) -> None:
    if all(block[index] % unit[index] == 0 for index in cut):
        return
    step = math.lcm(*(unit[index] for index in cut))
    fitting = max(1, round(block[0] / step)) * step
    raise SettingsError(
        f"A mask block of {block[0]} voxels would cut through the tokens of "
        f"{config.network.name}, which are {unit} voxels. A mask block size of {fitting} fits."
    )


def _refuse_whole_patch(
    config: RunConfig,
    block: Size,
    unit: Size,
    cut: list[int],
    spacing: tuple[float, float, float],
) -> None:
    masking, patch = config.masking, config.data.patch_size
    seen = ""
    if masking.scheme == "tube":
        (depth,) = set(range(3)) - set(cut)
        seen = f", seen along {AXES[depth]},"
    if masking.block_size_mm is None:
        size = f"{masking.block_size} voxels"
        largest = str(max(patch[index] - unit[index] for index in cut))
    else:
        size = f"{masking.block_size_mm:g} mm, which is {block} voxels,"
        longest = max((patch[index] - unit[index]) * spacing[index] for index in cut)
        largest = f"{math.floor(longest * 10) / 10:g} mm"
    raise SettingsError(
        f"A mask block of {size} hides the whole of a patch of {patch} voxels{seen} and leaves "
        f"nothing to learn from. Lower the mask block size to {largest} or less, or enlarge the "
        "patch."
    )
