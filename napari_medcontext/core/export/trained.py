"""A run as exports take it: one network on the processor, and all that its prediction needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from napari_medcontext import __version__
from napari_medcontext.core.bundles.facts import Facts
from napari_medcontext.core.classes import Classes
from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.device import Compute
from napari_medcontext.core.inference import OVERLAP, load_predictor
from napari_medcontext.core.intensities import SHARED_BACKGROUND
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.volume import Spacing
from napari_medcontext.core.weights import Weights

TRIED_BATCHES = (1, 2)
"""Samples in the random patches on which an export is compared."""


@dataclass(frozen=True)
class Trained:
    """A network with its weights, in evaluation mode.

    Parameters
    ----------
    name
        The run's.
    which
        Whose weights they are.
    """

    name: str
    which: Weights
    network: nn.Module
    config: RunConfig
    classes: Classes
    spacing: Spacing
    channels: Sequence[str] = ()

    @property
    def channel_count(self) -> int:
        """How many channels the network takes."""
        return max(1, len(self.channels))

    def patches(self) -> Iterator[Tensor]:
        """Yield random patches ``(B, C, x, y, z)``, the same at each call."""
        source = torch.Generator().manual_seed(0)
        for samples in TRIED_BATCHES:
            yield torch.randn(
                samples, self.channel_count, *self.config.data.patch_size, generator=source
            )

    @torch.inference_mode()
    def logits(self, patch: Tensor) -> Tensor:
        """Return what the network says of patches, ``(B, K, x, y, z)``."""
        answer: Tensor = self.network(patch)
        return answer

    @property
    def facts(self) -> dict[str, Any]:
        """All that another program needs beside the network, as plain values for JSON."""
        data = self.config.data
        facts = Facts(
            version=__version__,
            run=self.name,
            weights=self.which,
            network=self.config.network.model_copy(update={"pretrained": None}),
            spacing_mm=self.spacing,
            patch_size=data.patch_size,
            overlap=OVERLAP,
            intensity=data.intensity,
            window=data.window,
            shared_background=SHARED_BACKGROUND,
            activation="sigmoid" if self.classes.regions else "softmax",
            resample=data.resample,
            channels=tuple(self.channels),
            class_ids=self.classes.ids,
            class_names=dict(self.classes.names),
            regions=tuple(tuple(members) for members in self.classes.regions),
        )
        return facts.model_dump(mode="json")


def load_trained(run: RunFolder, which: Weights) -> Trained:
    """Build a run's network with its trained weights; raises as ``load_predictor``."""
    compute = Compute(torch.device("cpu"), "float32")
    predictor = load_predictor(run, which, compute)
    (network,) = predictor.networks
    return Trained(
        run.name,
        which,
        network,
        predictor.config,
        predictor.classes,
        predictor.spacing,
        predictor.channels,
    )
