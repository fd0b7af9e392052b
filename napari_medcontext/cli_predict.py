"""What ``medcontext predict`` is to do, from its options and from what is there already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from napari_medcontext import cli_cohort as cohort
from napari_medcontext import cli_inputs as inputs
from napari_medcontext.core.bundles import channels_of, require_source
from napari_medcontext.core.cleaning import Cleaning
from napari_medcontext.core.errors import RunError
from napari_medcontext.core.io import require_writable
from napari_medcontext.core.prediction_ledger import done_before
from napari_medcontext.core.prediction_plan import (
    PredictSpec,
    existing_results,
    refuse_overwriting_scans,
)
from napari_medcontext.progress import say


def planned(given: Mapping[str, Any], console: Console) -> PredictSpec | None:
    """Return what is to be predicted; None, and a word of it, where all of it is done.

    Raises
    ------
    ScanError, RunError
        If there is no scan or no run, or results would overwrite what is not theirs.
    """
    require_source(given["run"])
    cases = inputs.scans_to_predict(given["images"], channels_of(given["run"]))
    require_writable(given["out"])
    spec = PredictSpec(
        run=given["run"].absolute(),
        scans=cases,
        out=given["out"].absolute(),
        weights=given["weights"].value,
        probabilities=given["probabilities"],
        labels_format=given["labels_format"].value,
        cleaning=Cleaning(
            largest=given["largest"],
            fill_holes=given["fill_holes"],
            least_ml=given["least_volume"],
        ),
        cluster=cohort.chosen(given["workers"], given["scheduler"]),
    )
    return spec if given["overwrite"] else _still_to_do(spec, console)


def _still_to_do(spec: PredictSpec, console: Console) -> PredictSpec | None:
    """Leave out scans that are predicted already; refuse to overwrite other results."""
    refuse_overwriting_scans(spec)
    done = done_before(spec)
    left = tuple(case for case in spec.scans if case.name not in done)
    if done:
        say(console, f"{len(done)} of {len(spec.scans)} scans are predicted already; skipped.")
    if not left:
        return None
    spec = spec.model_copy(update={"scans": left})
    existing = existing_results(spec)
    if existing:
        raise RunError(
            f"{', '.join(map(str, existing))} would be overwritten, and these weights did not make "
            "it of this scan as it is now. Choose another folder with --out, or say --overwrite."
        )
    return spec
