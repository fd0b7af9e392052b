"""Transformer blocks that look within boxes of a volume, as nnFormer uses them.

Features are ``(B, x, y, z, C)`` throughout, with x, y, z in tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

Sides = tuple[int, int, int]
AXES = (1, 2, 3)
"""Where x, y, z are in features ``(B, x, y, z, C)``."""


class VolumeAttention(nn.Module):
    """Attention within boxes (local), moved boxes, or one box that is the whole volume (global).

    Queries may come from elsewhere than keys and values: nnFormer's skip attention asks with
    the decoder's features for the encoder's. Where a box does not divide the volume, the volume
    is continued at its far ends by voxels that nobody looks at.

    Parameters
    ----------
    width
        Channels of the features.
    heads
        Number of attention heads.
    sides
        Sides of the volumes, in tokens.
    box
        Side of a box in tokens; cut to the volume's side, axis by axis.
    moved
        Whether boxes are moved by half of their side, so that former neighbours meet.
    asked
        Whether the queries come from elsewhere.
    """

    bias_index: Tensor
    allowed: Tensor | None

    def __init__(
        self, width: int, heads: int, sides: Sides, box: int, *, moved: bool, asked: bool = False
    ) -> None:
        super().__init__()
        self._heads, self._sides = heads, sides
        self._box = _by_axis(lambda axis: min(box, sides[axis]))
        self._counts = _by_axis(lambda axis: -(-sides[axis] // self._box[axis]))
        self._padded = _by_axis(lambda axis: self._counts[axis] * self._box[axis])
        self._move = _by_axis(
            lambda axis: self._box[axis] // 2 if moved and self._counts[axis] > 1 else 0
        )
        self.project = nn.Linear(width, width * (2 if asked else 3))
        self.merge = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.empty(prod(2 * side - 1 for side in self._box), heads))
        nn.init.trunc_normal_(self.bias, std=0.02)
        self.register_buffer("bias_index", _bias_index(self._box), persistent=False)
        self.register_buffer("allowed", self._allowed_pairs(), persistent=False)

    def forward(self, features: Tensor, asking: Tensor | None = None) -> Tensor:
        """Return attended features.

        Parameters
        ----------
        features
            Where keys and values, and mostly queries, come from; ``(B, x, y, z, C)``.
        asking
            The queries themselves where they come from elsewhere, of the same shape.
        """
        projected = self.project(self._into_boxes(features))
        if asking is None:
            query, key, value = projected.chunk(3, -1)
        else:
            query = self._into_boxes(asking).to(projected.dtype)
            key, value = projected.chunk(2, -1)
        query, key, value = (
            part.unflatten(-1, (self._heads, -1)).transpose(-2, -3) for part in (query, key, value)
        )
        bias = self.bias[self.bias_index].permute(2, 0, 1)
        if self.allowed is not None:
            bias = bias.masked_fill(~self.allowed[:, None], -torch.inf)
        attended = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias.to(query.dtype)
        )
        return self._out_of_boxes(self.merge(attended.transpose(-2, -3).flatten(-2)))

    def _into_boxes(self, features: Tensor) -> Tensor:
        """Return ``(B, boxes, tokens of a box, C)``."""
        x, y, z = features.shape[1:4]
        if (x, y, z) != self._padded:
            px, py, pz = self._padded
            features = functional.pad(features, (0, 0, 0, pz - z, 0, py - y, 0, px - x))
        if any(self._move):
            features = features.roll([-step for step in self._move], AXES)
        (nx, ny, nz), (bx, by, bz) = self._counts, self._box
        boxes = features.reshape(-1, nx, bx, ny, by, nz, bz, features.shape[-1])
        return boxes.permute(0, 1, 3, 5, 2, 4, 6, 7).flatten(4, 6).flatten(1, 3)

    def _out_of_boxes(self, boxes: Tensor) -> Tensor:
        (nx, ny, nz), (bx, by, bz) = self._counts, self._box
        split = boxes.reshape(-1, nx, ny, nz, bx, by, bz, boxes.shape[-1])
        features = split.permute(0, 1, 4, 2, 5, 3, 6, 7).flatten(5, 6).flatten(3, 4).flatten(1, 2)
        if any(self._move):
            features = features.roll(self._move, AXES)
        x, y, z = self._sides
        return features[:, :x, :y, :z]

    def _allowed_pairs(self) -> Tensor | None:
        """Return which tokens of a box may look at which, ``(boxes, tokens, tokens)``, or all.

        Moved boxes at the ends hold tokens of opposite ends, which are no neighbours.
        """
        if not any(self._move) and self._padded == self._sides:
            return None
        region = torch.zeros(1, *self._padded, 1)
        for axis in range(3):
            place = torch.arange(self._padded[axis])
            kind = 2 * (place >= self._sides[axis]).float() + (place < self._move[axis]).float()
            region += 4**axis * kind.view([-1 if a == axis + 1 else 1 for a in range(5)])
        here = self._into_boxes(region)[0, :, :, 0]
        return here[:, :, None] == here[:, None, :]


class Level(nn.Module):
    """Two transformer blocks, the second with moved boxes.

    Parameters
    ----------
    width, heads, sides, box, asked
        As ``VolumeAttention`` takes them; only the first block is asked from elsewhere.
    skipped
        For each block, the share of the samples that go around it while it trains.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        sides: Sides,
        box: int,
        *,
        skipped: tuple[float, float],
        asked: bool,
    ) -> None:
        super().__init__()
        still = VolumeAttention(width, heads, sides, box, moved=False, asked=asked)
        moved = VolumeAttention(width, heads, sides, box, moved=True)
        self.first = Block(still, width, skipped[0])
        self.second = Block(moved, width, skipped[1])

    def forward(self, features: Tensor, asking: Tensor | None = None) -> Tensor:
        """Return features of the same shape."""
        answer: Tensor = self.second(self.first(features, asking))
        return answer


class Block(nn.Module):
    """Attention and a perceptron, each beside a path around it."""

    def __init__(self, attention: VolumeAttention, width: int, skipped: float) -> None:
        super().__init__()
        self._skipped = skipped
        self.norm = nn.LayerNorm(width)
        self.attention = attention
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
        )

    def forward(self, features: Tensor, asking: Tensor | None = None) -> Tensor:
        """Return features of the same shape; what asks is added to what is asked."""
        if asking is None:
            attended = self.attention(self.norm(features))
        else:
            attended = self.attention(self.norm(features), self.norm(asking))
            features = features + asking
        features = features + self._for_some(attended)
        return features + self._for_some(self.perceptron(features))

    def _for_some(self, change: Tensor) -> Tensor:
        """Leave out whole samples at random (stochastic depth), and make up for it in the rest."""
        if not self.training or not self._skipped:
            return change
        kept = torch.rand(len(change), 1, 1, 1, 1, device=change.device) >= self._skipped
        return change * kept / (1.0 - self._skipped)


def _by_axis(value: Callable[[int], int]) -> Sides:
    return value(0), value(1), value(2)


def _bias_index(box: Sides) -> Tensor:
    """Return the row of the bias of each pair of a box's tokens, by how far they lie apart."""
    places = torch.tensor(list(product(*(range(side) for side in box))))
    apart = places[:, None] - places[None] + torch.tensor(box) - 1
    _, y, z = (2 * side - 1 for side in box)
    index: Tensor = (apart * torch.tensor([y * z, z, 1])).sum(-1)
    return index
