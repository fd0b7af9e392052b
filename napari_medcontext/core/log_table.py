"""The tables that a training adds to: one row a step, or one a validation and class."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from napari_medcontext.core.io import atomic_path

Row = Mapping[str, object]
LOG_COLUMNS = (
    "step",
    "dice_ce",
    "dice_ce_masked",
    "consistency",
    "momentum",
    "learning_rate",
    "seconds",
)
VALIDATION_COLUMNS = ("step", "class_id", "class_name", "dsc")


class LogTable:
    """A CSV file whose rows begin with a step, and which grows while a training runs.

    Parameters
    ----------
    path
        The file; made with the first row.
    columns
        Names of the columns, ``step`` the first.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self._columns = tuple(columns)
        self._unwritten: list[Row] = []

    def append(self, rows: Sequence[Row]) -> None:
        """Add rows; those that cannot be written now are, with the next."""
        waiting, self._unwritten = [*self._unwritten, *rows], []
        try:
            self._write(waiting)
        except OSError:
            # A full disk, or a spreadsheet that locks the file, must not end the training.
            self._unwritten = waiting

    def truncate(self, step: int) -> None:
        """Drop the file's rows of steps after ``step``, and one that was cut short."""
        if not self.path.is_file() or not self.path.stat().st_size:
            return
        header, *rows = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [row for row in rows if row.endswith("\n") and _step_of(row) <= step]
        with atomic_path(self.path) as temporary:
            temporary.write_text("".join([header, *kept]), encoding="utf-8")

    def _write(self, rows: Sequence[Row]) -> None:
        """Add rows to the file whole, or not at all."""
        size = self.path.stat().st_size if self.path.exists() else 0
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, restval="", lineterminator="\n")
        if not size:
            writer.writeheader()
        writer.writerows(rows)
        try:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                file.write(text.getvalue())
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(self.path, size)
            raise


def _step_of(row: str) -> int:
    text = row.split(",", 1)[0]
    return int(text) if text.isdigit() else 2**31
