"""How long it takes to compare all organs of a large abdomen, beside the libraries of the field.

Each round times, one after the other and in this process: ours (DSC, HD95, ASSD and NSD), MONAI
(DSC and HD95, a class at a time, cropped as MONAI does it) and surface-distance (HD95 and NSD).
What counts is the ratio within a round.

    python benchmarks/compare_speed.py PREDICTION REFERENCE --rounds 2
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

from napari_medcontext.core.evaluation import evaluate_volumes
from napari_medcontext.core.io import read_volume
from napari_medcontext.core.volume import Volume

MEGABYTE = 1024**2


def ours(prediction: Volume, reference: Volume) -> None:
    """Measure as the dock and the terminal do."""
    evaluate_volumes(prediction, reference, case="case")


def monai(prediction: Volume, reference: Volume) -> None:
    """Measure with MONAI's functions, which take a channel a class."""
    import torch
    from monai.metrics import compute_dice, compute_hausdorff_distance

    for organ in organs_of(prediction, reference):
        masks = [
            torch.from_numpy(volume.array == organ)[None, None]
            for volume in (prediction, reference)
        ]
        compute_dice(*masks, include_background=True)
        compute_hausdorff_distance(
            *masks, include_background=True, percentile=95, spacing=reference.spacing
        )


def surface_distance(prediction: Volume, reference: Volume) -> None:
    """Measure with surface-distance."""
    import surface_distance as library

    for organ in organs_of(prediction, reference):
        distances = library.compute_surface_distances(
            reference.array == organ, prediction.array == organ, reference.spacing
        )
        library.compute_robust_hausdorff(distances, 95)
        library.compute_surface_dice_at_tolerance(distances, 2.0)


def organs_of(prediction: Volume, reference: Volume) -> list[int]:
    """Return the classes that both hold."""
    found = np.intersect1d(np.unique(prediction.array), np.unique(reference.array))
    return [int(organ) for organ in found if organ]


def seconds_of(measure: Callable[[Volume, Volume], None], *volumes: Volume) -> float:
    """Return how long it takes."""
    started = time.perf_counter()
    measure(*volumes)
    return time.perf_counter() - started


def peak_megabytes(measure: Callable[[Volume, Volume], None], *volumes: Volume) -> float:
    """Return how much memory is held at most above what was there."""
    tracemalloc.start()
    try:
        measure(*volumes)
        return tracemalloc.get_traced_memory()[1] / MEGABYTE
    finally:
        tracemalloc.stop()


def main() -> None:
    """Print a table of seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prediction", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    volumes = []
    for path in (options.prediction, options.reference):
        volume = read_volume(path)
        volumes.append(volume.with_array(np.asarray(volume.array)))
    print(f"{len(organs_of(*volumes))} organs, {volumes[0].shape} voxels")
    ours(*volumes)  # imports and first use
    measures = {"ours": ours, "MONAI": monai, "surface-distance": surface_distance}
    ratios: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(1, options.rounds + 1):
        seconds = {name: seconds_of(measure, *volumes) for name, measure in measures.items()}
        for name, taken in seconds.items():
            ratios[name].append(seconds["ours"] / taken)
            print(f"round {number}  {name:18s} {taken:7.2f} s")
    for name in list(measures)[1:]:
        print(f"ours to {name}: {statistics.median(ratios[name]):.3f}")
    print(f"memory above both label maps: {peak_megabytes(ours, *volumes):.0f} MiB")


if __name__ == "__main__":
    main()
