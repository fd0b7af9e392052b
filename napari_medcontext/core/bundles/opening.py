"""Open a folder to predict with: a run, or a MONAI bundle."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Protocol

from napari_medcontext.core.bundles import OWN, BundleError, is_bundle, read_metadata
from napari_medcontext.core.bundles.foreign import load_foreign
from napari_medcontext.core.bundles.own import load_own
from napari_medcontext.core.classes import Classes
from napari_medcontext.core.device import Compute
from napari_medcontext.core.inference import Prediction, Which, load_predictor
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.volume import Volume


class Predicts(Protocol):
    """What segments scans, whatever it was made of; see ``Predictor``."""

    @property
    def classes(self) -> Classes:
        """What it tells apart."""

    @property
    def channels(self) -> Sequence[str]:
        """What it takes of a scan; none is a single channel."""

    @property
    def resamples(self) -> bool:
        """Whether channels on another grid than the first are to be brought onto it."""

    def predict(
        self, *channels: Volume, probabilities: bool = False
    ) -> Generator[float, None, Prediction]:
        """Segment a scan, yielding the share that is done."""


def open_source(folder: Path, which: Which, compute: Compute | None = None) -> Predicts:
    """Build what predicts from a run's folder or a bundle's.

    Parameters
    ----------
    folder
        A run, or a MONAI bundle.
    which
        Whose weights of a run; a bundle has one network, and takes ``"student"`` alone.
    compute
        Where to compute; by default as the run's settings say.

    Raises
    ------
    MedContextError
        If it cannot be used, saying why.
    """
    if not is_bundle(folder):
        return load_predictor(RunFolder(folder), which, compute)
    if which != "student":
        raise BundleError(f"The bundle {folder} holds one network. Leave the weights as they are.")
    metadata = read_metadata(folder)
    load = load_own if OWN in metadata else load_foreign
    return load(folder, metadata, compute)
