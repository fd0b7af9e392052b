"""What is known of a network before it is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from napari_medcontext.core.errors import SettingsError

if TYPE_CHECKING:
    from torch import nn

Size = Literal["small", "paper"]
PatchSize = tuple[int, int, int]
Build = Callable[[Size, int, int, PatchSize], "nn.Module"]

DEFAULT_LEARNING_RATE = 1e-3


def _one_rate() -> Mapping[Size, float]:
    return {"small": DEFAULT_LEARNING_RATE, "paper": DEFAULT_LEARNING_RATE}


@dataclass(frozen=True)
class Tokens:
    """Where a network cuts its input into the tokens of a transformer.

    Parameters
    ----------
    size
        Voxels ``(x, y, z)`` of the input that become one token.
    embedding
        Dotted name of the part that turns the image ``(B, C, x, y, z)`` into tokens, before
        their position is added.
    width_last
        Whether it gives ``(B, x, y, z, width)`` or ``(B, N, width)``, N running over x, y, z
        with z fastest, rather than ``(B, width, x, y, z)``.
    """

    size: tuple[int, int, int]
    embedding: str
    width_last: bool


@dataclass(frozen=True)
class Network:
    """A network that can be trained.

    Parameters
    ----------
    title
        What a user reads in the list.
    build
        ``build(size, channels, classes, patch_size)`` returns a module that maps
        ``(B, channels, x, y, z)`` to logits ``(B, classes, x, y, z)``. In training mode it may
        return a sequence of logits instead, finest first, each trained (deep supervision).
        It should import torch only when it is called, so that lists of networks show at once.
    divisor
        Each side of a patch must be a multiple of these many voxels, along x, y, z.
    learning_rate
        AdamW's step size that suits each of its sizes.
    own
        Whether this package made it; what others made is tried once before it is used.
    tokens
        How it cuts its input into tokens; ``None`` if it has none.
    """

    title: str
    build: Build
    divisor: PatchSize = (1, 1, 1)
    learning_rate: Mapping[Size, float] = field(default_factory=_one_rate)
    own: bool = False
    tokens: Tokens | None = None

    def fitting(self, patch_size: PatchSize) -> PatchSize:
        """Return the patch size nearest to one that this network takes."""
        x, y, z = (
            max(divisor, round(side / divisor) * divisor)
            for side, divisor in zip(patch_size, self.divisor, strict=True)
        )
        if max(self.divisor) > 1 and (x, y, z) == self.divisor:
            # One voxel at the coarsest level has no neighbours, and nothing to normalise by.
            return (2 * x, y, z)
        return (x, y, z)

    def check_patch_size(self, name: str, patch_size: PatchSize) -> None:
        """Refuse a patch that this network cannot take, naming one that fits.

        Raises
        ------
        SettingsError
            With the nearest size that fits.
        """
        fitting = self.fitting(patch_size)
        if fitting == patch_size:
            return
        if patch_size == self.divisor:
            raise SettingsError(
                f"A patch of {patch_size} voxels is too small for {name}: nothing is left of it "
                f"at the coarsest level. {fitting} fits."
            )
        sides = set(self.divisor)
        multiples = str(sides.pop()) if len(sides) == 1 else f"{self.divisor}"
        raise SettingsError(
            f"{name} needs a patch size of multiples of {multiples} voxels, not {patch_size}; "
            f"{fitting} fits."
        )


def built_by(module: str) -> Build:
    """Return the ``build`` of a module of this package, which is imported when it is called."""

    def build(size: Size, channels: int, classes: int, patch_size: PatchSize) -> nn.Module:
        builder: Build = import_module(f"{__package__}.{module}").build
        return builder(size, channels, classes, patch_size)

    return build
