"""How well a network does, while it trains, on scans that it does not learn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import nn

from napari_medcontext.core.classes import Classes
from napari_medcontext.core.device import Compute
from napari_medcontext.core.inference import OVERLAP, drained, windowed_probabilities
from napari_medcontext.core.metrics import dice
from napari_medcontext.core.prepared import PreparedScan


def validated_dice(
    network: nn.Module,
    scans: Sequence[PreparedScan],
    classes: Classes,
    patch_size: tuple[int, int, int],
    compute: Compute,
    should_stop: Callable[[], bool],
) -> dict[int, float]:
    """Return the mean Dice of each foreground class over scans; classes in none are left out.

    Raises
    ------
    Cancelled
        If ``should_stop`` says so in between.
    """
    network.eval()
    scores = []
    for scan in scans:
        assert scan.labels is not None
        work = windowed_probabilities(
            [network], scan.image[None], patch_size, compute, overlap=OVERLAP
        )
        predicted = drained(work, should_stop).argmax(0).numpy()
        reference = scan.labels.numpy()
        scores.append(
            [dice(predicted == index, reference == index) for index in range(len(classes.ids))]
        )
    return {
        class_id: float(np.nanmean([score[index] for score in scores]))
        for index, class_id in enumerate(classes.ids)
        if class_id and not all(np.isnan(score[index]) for score in scores)
    }
