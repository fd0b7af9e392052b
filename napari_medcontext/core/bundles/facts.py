"""What a prediction needs beside the network, as exports of this program carry it along."""

from __future__ import annotations

from typing import Literal

from napari_medcontext.core.settings import Millimetres, PositiveInt, Settings
from napari_medcontext.core.training_settings import NetworkSettings


class Facts(Settings):
    """How scans are prepared for a network, and what its outputs mean.

    Axes are x, y, z: to the right, the front and the top.

    Parameters
    ----------
    version
        Of this program, when it wrote them.
    run, weights
        The run's name, and whose weights they are.
    spacing_mm, patch_size
        Voxels that scans are resampled to; windows in voxels.
    overlap
        Share of a window that the next one covers again.
    intensity, window
        How intensities are normalised; the limits of ``"window"``.
    shared_background
        Share of exactly-zero voxels from which zero counts as outside the patient.
    activation
        What makes probabilities of logits.
    resample
        Whether channels on another grid than the first are brought onto it.
    channels
        What the network takes of a scan, in order; none is a single channel.
    class_ids, class_names, regions
        As ``core.classes.Classes`` has them.
    """

    version: str
    run: str
    weights: Literal["student", "teacher"]
    network: NetworkSettings
    orientation: Literal["RAS"] = "RAS"
    spacing_mm: tuple[Millimetres, Millimetres, Millimetres]
    patch_size: tuple[PositiveInt, PositiveInt, PositiveInt]
    overlap: float
    intensity: Literal["zscore", "percentile", "window"]
    window: tuple[float, float]
    shared_background: float
    activation: Literal["softmax", "sigmoid"]
    resample: bool = False
    channels: tuple[str, ...] = ()
    class_ids: tuple[int, ...]
    class_names: dict[int, str]
    regions: tuple[tuple[int, ...], ...] = ()
