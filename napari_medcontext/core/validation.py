"""How well a network does, while it trains, on scans that it does not learn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import nn

from napari_medcontext.core.classes import UNKNOWN, Classes
from napari_medcontext.core.device import Compute
from napari_medcontext.core.inference import OVERLAP, drained
from napari_medcontext.core.metrics import dice
from napari_medcontext.core.prepared import PreparedScan
from napari_medcontext.core.windows import windowed_probabilities


def validated_dice(
    network: nn.Module,
    scans: Sequence[PreparedScan],
    classes: Classes,
    patch_size: tuple[int, int, int],
    compute: Compute,
    should_stop: Callable[[], bool],
) -> dict[int, float]:
    """Return the mean Dice of each foreground class or region over scans.

    Those in none of them are left out, and so are voxels of which the class is unknown.

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
            [network],
            scan.image,
            patch_size,
            compute,
            overlap=OVERLAP,
            exclusive=not classes.regions,
        )
        decided = classes.decide(drained(work, should_stop).numpy())
        truth = scan.labels.numpy()
        known = truth != UNKNOWN
        predicted, reference = classes.predicted_masks(decided), classes.masks(truth)
        scores.append({k: dice(mask & known, reference[k]) for k, mask in predicted.items()})
    return {
        k: float(np.nanmean([score[k] for score in scores]))
        for k in classes.predicted_ids
        if not all(np.isnan(score[k]) for score in scores)
    }
