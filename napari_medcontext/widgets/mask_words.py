"""What a designed mask is, in words."""

from __future__ import annotations

from collections.abc import Iterable

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.mask_design import DesignedMask
from napari_medcontext.core.masking import AXES, check_masking


def described(mask: DesignedMask, config: RunConfig, source: str, labelled: bool) -> str:
    """Say how much is hidden, in blocks of which size, and what a training would refuse of it.

    Parameters
    ----------
    mask
        As it was drawn.
    config
        The settings that it was drawn with.
    source
        Whose settings they are.
    labelled
        Whether organs were there for a scheme that hides them.
    """
    masking, spacing = config.masking, mask.grid.spacing
    parts = [f"{100 * mask.share:.1f} % of the scan is hidden"]
    if masking.scheme == "tube":
        chosen = ", chosen by itself" if masking.axis == "auto" else ""
        parts.append(f"columns along {AXES[mask.grid.axis]}{chosen}")
    if masking.scheme == "structure" and not labelled:
        parts.append("no labels are chosen, so that only decoys are drawn")
    millimetres = [side * size for side, size in zip(mask.block, spacing, strict=True)]
    parts.append(f"a block is {_sides(mask.block)} voxels or {_sides(millimetres)} mm")
    parts.append(f"drawn on voxels of {_sides(spacing)} mm, by {source}")
    return f"{'; '.join(parts)}.{_warning(config, mask)}"


def _sides(sides: Iterable[float]) -> str:
    return " × ".join(f"{side:.3g}" for side in sides)


def _warning(config: RunConfig, mask: DesignedMask) -> str:
    """Say what a training would refuse of such a mask."""
    if not config.objective.has_masked_view:
        return ""
    try:
        check_masking(config, mask.grid.axis, mask.grid.spacing)
    except MedContextError as error:
        return f" ⚠ {error}"
    return ""
