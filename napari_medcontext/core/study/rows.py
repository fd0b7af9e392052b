"""What a study measured: a row a checkpoint, case and class, in CSV files that grow."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from napari_medcontext.core.io import atomic_path
from napari_medcontext.core.scores import ClassScore


class Series(NamedTuple):
    """What one line of a plot shows: a network, an arm, and whose predictions."""

    network: str
    method: str
    weights: str

    @property
    def title(self) -> str:
        """The method, and whose predictions unless they are the student's."""
        return self.method if self.weights == "student" else f"{self.method} ({self.weights})"


@dataclass(frozen=True)
class ScoreRow:
    """How well one class of one scan was predicted after some steps and seconds of training."""

    series: Series
    seed: int
    fold: str
    step: int
    seconds: float
    score: ClassScore


_SCORE_FIELDS = {field.name: field.type for field in fields(ClassScore)}
COLUMNS = (*Series._fields, "seed", "fold", "step", "seconds", *_SCORE_FIELDS)


def write_rows(path: Path, rows: Iterable[ScoreRow]) -> Path:
    """Write rows as CSV, the file whole at any moment; what is not measurable is empty."""
    flat = (
        {
            **row.series._asdict(),
            "seed": row.seed,
            "fold": row.fold,
            "step": row.step,
            "seconds": row.seconds,
            **asdict(row.score),
        }
        for row in rows
    )
    return write_table(path, COLUMNS, flat)


def read_rows(path: Path) -> list[ScoreRow]:
    """Read rows; none where there is no file yet."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [_row(values) for values in csv.DictReader(file)]


def write_table(path: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> Path:
    """Write a CSV table, its numbers in six digits, those that are none empty."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return path


def _row(values: dict[str, str]) -> ScoreRow:
    score: dict[str, Any] = {
        # A study that an older version began has fewer columns.
        name: _number(values.get(name, "")) if kind == "float" else values.get(name, "")
        for name, kind in _SCORE_FIELDS.items()
    }
    return ScoreRow(
        Series(values["network"], values["method"], values["weights"]),
        int(values["seed"]),
        values["fold"],
        int(values["step"]),
        float(values["seconds"]),
        ClassScore(**{**score, "class_id": int(score["class_id"])}),
    )


def _number(text: str) -> float:
    return float(text) if text else math.nan


def _cell(value: object) -> object:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.6g}"
