"""A scan as a trained network sees it, whole or with a part of it hidden, at little cost."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.inference import Predictor
from napari_medcontext.core.inspection.asks import Hiding
from napari_medcontext.core.mask_grid import OVERLAPS, Mask, MaskGrid
from napari_medcontext.core.masking.sites import MaskedNetwork
from napari_medcontext.core.masking.token import MaskToken
from napari_medcontext.core.windows import (
    Box,
    as_part,
    window_boxes,
    window_probabilities,
    window_weight,
)

LITTLE_OVERLAP = 0.125
"""An answer that somebody waits for is worth fewer windows: for most scans half as many."""

KEPT_BYTES = 512 * 2**20
"""What is said of single windows is kept up to so much; beyond, it is computed again."""


@dataclass(frozen=True, eq=False)
class Answer:
    """Probabilities ``(K, x, y, z)`` of that part of a scan where they are not those of the whole.

    ``region`` says where on the scan's own grid the part lies.
    """

    region: Box
    probabilities: Tensor


class SeenScan:
    """A scan, what the student says of it, and what it says when a part is hidden.

    What it says of the whole scan is computed once. Of a masked one, only those windows are
    computed that see something hidden.

    Parameters
    ----------
    predictor
        The trained networks; the first is asked.
    image
        The prepared scan, shape ``(C, x, y, z)``.

    Attributes
    ----------
    grid : MaskGrid
        Where it can be hidden; it makes the masks.
    hidings : tuple of str
        The ways in which a part of it can be hidden.
    """

    def __init__(self, predictor: Predictor, image: Tensor) -> None:
        self._predictor = predictor
        self.grid = MaskGrid(
            image, predictor.config, predictor.spacing, (LITTLE_OVERLAP, *OVERLAPS)
        )
        self._image, self._inner = self.grid.image, self.grid.inner
        window = predictor.config.data.patch_size
        self._boxes = window_boxes(self.grid.shape, window, self.grid.overlap)
        self._weight = window_weight(window)
        self._total = torch.zeros(self.grid.shape)
        for box in self._boxes:
            self._total[box] += self._weight
        self._kept: dict[int, Tensor] = {}
        self._sum: Tensor | None = None
        self.hidings: tuple[Hiding, ...] = ("mean", "noise")
        if predictor.token is not None:
            self.hidings = ("token", *self.hidings)

    def shown(self, mask: Mask, hiding: Hiding, rng: np.random.Generator) -> Tensor:
        """Return the scan ``(x, y, z)`` as a user shall see it, with its hidden voxels hidden.

        Of several channels it is the first.
        """
        if hiding != "token":
            return self._filled(mask, hiding, rng)[0][self._inner]
        token = self._token()
        device = token.value.device
        image, hidden = self._image[None].to(device), torch.as_tensor(mask)[None, None]
        with torch.inference_mode():
            return token.shown(image, hidden.to(device))[0, 0].cpu()[self._inner]

    def whole(self) -> Generator[float, None, Tensor]:
        """Return what the student says of the whole scan, ``(K, x, y, z)``.

        Yields
        ------
        float
            Share of the windows that are done.
        """
        yield from self._see_all()
        assert self._sum is not None
        return (self._sum / self._total)[(slice(None), *self._inner)]

    def masked(
        self, mask: Mask, hiding: Hiding, rng: np.random.Generator
    ) -> Generator[float, None, Answer]:
        """Return what the student says of the scan with a part of it hidden.

        Parameters
        ----------
        mask
            From ``grid``: all of its shape.
        hiding
            What stands there: one of ``hidings``.
        rng
            Source of the randomness of noise.

        Yields
        ------
        float
            Share of the windows that are done.
        """
        touched = [number for number, box in enumerate(self._boxes) if mask[box].any()]
        region = _hull([self._boxes[number] for number in touched])
        view, network = self._view(mask, hiding, rng)
        everything = len(touched) == len(self._boxes)
        answer: Tensor | None = None
        if not everything:
            # What untouched windows say of voxels in the region stays.
            yield from as_part(self._see_all(), 0.0, 0.5)
            assert self._sum is not None
            answer = self._sum[(slice(None), *region)].clone()
        for done, number in enumerate(touched):
            yield 0.5 + done / len(touched) / 2
            box = self._boxes[number]
            here = self._ask(network, view[(slice(None), *box)])
            if not everything:
                here = here - self._said(number)
            if answer is None:
                answer = torch.zeros((len(here), *_extent(region)))
            answer[(slice(None), *_within(box, region))] += here * self._weight
        assert answer is not None
        yield 1.0
        answer /= self._total[region]
        return self._on_scan(region, answer)

    def _on_scan(self, region: Box, answer: Tensor) -> Answer:
        """Leave out what lies beyond the scan's edges."""
        own, part = [], []
        for side, inner in zip(region, self._inner, strict=True):
            start, stop = max(side.start, inner.start), min(side.stop, inner.stop)
            own.append(slice(start - inner.start, stop - inner.start))
            part.append(slice(start - side.start, stop - side.start))
        return Answer((own[0], own[1], own[2]), answer[(slice(None), *part)])

    def _view(
        self, mask: Mask, hiding: Hiding, rng: np.random.Generator
    ) -> tuple[Tensor, nn.Module]:
        """Return what is given to which network, so that it sees the scan as masked."""
        student = self._predictor.networks[0]
        if hiding != "token":
            return self._filled(mask, hiding, rng), student
        view = torch.cat([self._image, torch.as_tensor(mask)[None].to(self._image.dtype)])
        return view, MaskedNetwork(student, self._token())

    def _filled(self, mask: Mask, hiding: Hiding, rng: np.random.Generator) -> Tensor:
        """Return the scan with something in hidden places that tells nothing of them."""
        filled = self._image.clone()
        hidden = torch.as_tensor(mask)
        for channel in filled:
            seen = channel[self._inner].numpy()[~mask[self._inner]]
            if not seen.size:
                raise SettingsError("All of the scan would be hidden. Hide a smaller part of it.")
            if hiding == "mean":
                channel[hidden] = float(seen.mean(dtype=np.float64))
            else:
                channel[hidden] = torch.as_tensor(rng.choice(seen, int(mask.sum())))
        return filled

    def _token(self) -> MaskToken:
        if self._predictor.token is None:
            raise SettingsError(
                "This run has learned no mask token: it was trained without masks. Hide with the "
                "mean or with noise."
            )
        return self._predictor.token

    def _see_all(self) -> Generator[float, None, None]:
        if self._sum is not None:
            return
        total: Tensor | None = None
        for number, box in enumerate(self._boxes):
            yield number / len(self._boxes)
            here = self._said(number)
            if total is None:
                total = torch.zeros((len(here), *self.grid.shape))
            total[(slice(None), *box)] += here * self._weight
        self._sum = total

    def _said(self, number: int) -> Tensor:
        """Return what the student says of one window of the whole scan."""
        if number not in self._kept:
            box = self._boxes[number]
            said = self._ask(self._predictor.networks[0], self._image[(slice(None), *box)])
            if said.nbytes * (len(self._kept) + 1) > KEPT_BYTES:
                return said
            self._kept[number] = said
        return self._kept[number]

    def _ask(self, network: nn.Module, window: Tensor) -> Tensor:
        predictor = self._predictor
        return window_probabilities(
            [network], window, predictor.compute, not predictor.classes.regions
        )


def _hull(boxes: Sequence[Box]) -> Box:
    """Return the smallest box that holds all of them."""
    x, y, z = (
        slice(min(side.start for side in sides), max(side.stop for side in sides))
        for sides in zip(*boxes, strict=True)
    )
    return x, y, z


def _within(box: Box, region: Box) -> Box:
    x, y, z = (
        slice(side.start - whole.start, side.stop - whole.start)
        for side, whole in zip(box, region, strict=True)
    )
    return x, y, z


def _extent(box: Box) -> tuple[int, ...]:
    return tuple(side.stop - side.start for side in box)
