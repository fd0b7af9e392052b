"""What predicted labels were made by, so that what is done need not be done again."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from napari_medcontext.core.bundles import weights_in
from napari_medcontext.core.config import Case
from napari_medcontext.core.formats.ome_zarr import is_zarr
from napari_medcontext.core.prediction_plan import LEDGER, PredictSpec, labels_path


@dataclass(frozen=True)
class Made:
    """What a result was made by and of; two results that agree in it are the same."""

    scan: str
    scan_stamp: str
    run: str
    state: str
    weights: str
    probabilities: str
    cleaning: str

    @classmethod
    def of(cls, case: Case, spec: PredictSpec) -> Made:
        """Return what the result of a scan would be made by now."""
        state = weights_in(spec.run)
        return cls(
            str(case.image),
            " ".join(map(_stamp, (case.image, *case.further))),
            str(spec.run),
            "" if state is None else f"{state.name} {_stamp(state)}",
            spec.weights,
            str(spec.probabilities),
            spec.cleaning.text,
        )


LEDGER_COLUMNS = ("name", *(field.name for field in fields(Made)), "labels", "seconds", "problem")
"""What the ledger holds of a scan: its result's file, and why it has none, among it."""


def done_before(spec: PredictSpec) -> set[str]:
    """Return the names of scans whose results are there, made by the same weights of this run.

    A result whose scan, run or weights have changed since is not among them.
    """
    path = spec.out / LEDGER
    if not path.is_file():
        return set()
    with path.open(newline="", encoding="utf-8") as file:
        rows = {row["name"]: row for row in csv.DictReader(file) if row.get("name")}
    return {
        case.name
        for case in spec.scans
        if case.name in rows
        and not rows[case.name].get("problem")
        and labels_path(spec, case).exists()
        and _same(Made.of(case, spec), rows[case.name])
    }


def _stamp(path: Path) -> str:
    """Return what tells a file or folder from what was there before under its name."""
    if not path.exists():
        return ""
    if is_zarr(path):
        # Chunks change without a trace in the times and sizes of the folder itself.
        chunks = [file.stat() for file in path.rglob("*") if file.is_file()]
        newest = max((chunk.st_mtime_ns for chunk in chunks), default=0)
        return f"{newest}-{sum(chunk.st_size for chunk in chunks)}-{len(chunks)}"
    known = path.stat()
    return f"{known.st_mtime_ns}-{known.st_size}"


def _same(made: Made, row: Mapping[str, str]) -> bool:
    return all(row.get(name) == value for name, value in vars(made).items())
