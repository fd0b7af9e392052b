"""One scan of many that are predicted: read, computed, tidied and written."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_medcontext.core.blockwise.scan import Channel, open_channels
from napari_medcontext.core.channels import read_channels
from napari_medcontext.core.cleaning import Cleaning, cleaned
from napari_medcontext.core.config import Case
from napari_medcontext.core.errors import MedContextError, ScanError, SettingsError
from napari_medcontext.core.formats.ome_zarr import is_zarr
from napari_medcontext.core.io import write_probability, write_volume
from napari_medcontext.core.prediction_ledger import Made
from napari_medcontext.core.prediction_plan import PredictSpec, labels_path, probability_path
from napari_medcontext.core.volume import Volume

if TYPE_CHECKING:
    from napari_medcontext.core.bundles.opening import Predicts
    from napari_medcontext.core.device import Compute
    from napari_medcontext.core.inference import Prediction


Read = Sequence[Volume] | Sequence[Channel]
"""A scan's channels: read, or opened to be read block by block."""


@dataclass(frozen=True)
class Errand:
    """A scan to predict, and what its result is made by."""

    case: Case
    made: Made


@dataclass(frozen=True)
class Outcome:
    """What became of a scan: the files written for it, its labels last, or why there are none.

    ``detail`` is the traceback of a problem that nobody foresaw.
    """

    errand: Errand
    files: tuple[Path, ...] = ()
    seconds: float = 0.0
    problem: str = ""
    detail: str = ""


def predictor_for(spec: PredictSpec, compute: Compute | None = None) -> Predicts:
    """Load the weights to predict with.

    Raises
    ------
    MedContextError
        If there are none, or their results cannot be tidied as asked.
    """
    from napari_medcontext.core.bundles.opening import open_source

    predictor = open_source(spec.run, spec.weights, compute)
    if spec.cleaning.is_any and predictor.classes.regions:
        raise SettingsError(
            "This run predicts nested regions, of which a piece may lie inside another. Only "
            "classes that exclude each other can be cleaned up."
        )
    return predictor


def reader_for(predictor: Predicts) -> Callable[[Case], Read]:
    """Return what reads a case's channels as a run takes them; of OME-Zarr, opens them."""
    return partial(_read, predictor)


def _read(predictor: Predicts, case: Case) -> Read:
    if is_zarr(case.image):
        return open_channels(case, predictor.channels)
    return read_channels(case, names=predictor.channels, resample=predictor.resamples)


def predict_scan(
    predictor: Predicts, read: Callable[[], Read], spec: PredictSpec, errand: Errand
) -> Generator[float, None, Outcome]:
    """Predict one scan and write the result whole or not at all.

    Parameters
    ----------
    predictor
        From ``predictor_for``.
    read
        Returns the scan's channels, from ``reader_for``.
    spec
        What to make of it, and in which folder.
    errand
        Which scan it is.

    Yields
    ------
    float
        Share of the windows that are done; first 0, when the scan is read.

    Returns
    -------
    Outcome
        Also of a scan that cannot be read or predicted.

    Raises
    ------
    MedContextError
        If the result cannot be written.
    """
    started = time.perf_counter()
    try:
        channels = read()
        yield 0.0
        answer = yield from _predicted(predictor, channels, spec, errand.case)
    except MedContextError as error:
        return Outcome(errand, problem=str(error))
    except Exception as error:
        problem = f"Something unexpected happened ({type(error).__name__}: {error})."
        return Outcome(errand, problem=problem, detail=traceback.format_exc())
    if not isinstance(answer, tuple):
        answer = _write(_tidied(answer, spec.cleaning), spec, errand.case)
    return Outcome(errand, answer, time.perf_counter() - started)


def _predicted(
    predictor: Predicts, channels: Read, spec: PredictSpec, case: Case
) -> Generator[float, None, Prediction | tuple[Path, ...]]:
    """Predict a scan; of one that was opened only, the results are written by then."""
    opened = [channel for channel in channels if isinstance(channel, Channel)]
    if not opened:
        volumes = [channel for channel in channels if isinstance(channel, Volume)]
        return (yield from predictor.predict(*volumes, probabilities=spec.probabilities))
    from napari_medcontext.core.blockwise.predict import predict_blockwise
    from napari_medcontext.core.inference import Predictor

    if not isinstance(predictor, Predictor):
        raise ScanError(
            f"{case.image} is OME-Zarr, which is predicted block by block; {spec.run} is a bundle "
            "that takes whole scans alone. Convert the scan to NIfTI."
        )
    labels = labels_path(spec, case)
    ids = predictor.classes.predicted_ids if spec.probabilities else ()
    maps = {class_id: probability_path(labels, class_id) for class_id in ids}
    yield from predict_blockwise(predictor, opened, labels, maps)
    return (*maps.values(), labels)


def _tidied(prediction: Prediction, cleaning: Cleaning) -> Prediction:
    if not cleaning.is_any:
        return prediction
    return replace(prediction, labels=cleaned(prediction.labels, cleaning).labels)


def _write(prediction: Prediction, spec: PredictSpec, case: Case) -> tuple[Path, ...]:
    """Write the labels last: where they are, all is."""
    labels = labels_path(spec, case)
    files = []
    for class_id, array in prediction.probabilities.items():
        volume = prediction.labels.with_array(array, class_names={})
        files.append(write_probability(probability_path(labels, class_id), volume))
    return *files, write_volume(labels, prediction.labels)
