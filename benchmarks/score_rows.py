"""The table of scores that a benchmark adds to, so that a second call does what is missing."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV table, each by its columns."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def finished_rows(path: Path) -> list[dict[str, str]]:
    """Return what earlier calls measured; nothing where there is no table yet."""
    return read_rows(path) if path.is_file() else []


def append_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Add rows to a table, which the first ones begin with their columns."""
    new = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        if new:
            writer.writeheader()
        writer.writerows(rows)


def by_arm(rows: Iterable[Mapping[str, str]]) -> dict[tuple[str, str], list[Mapping[str, str]]]:
    """Return the rows of each arm and weights, which are the keys."""
    groups: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for row in rows:
        groups.setdefault((row["arm"], row["weights"]), []).append(row)
    return groups
