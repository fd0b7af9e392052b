"""What the context probe measures: a row a run, scan, class and condition."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from napari_medcontext.core.study.rows import write_table

Condition = Literal["visible", "token", "mean", "noise", "average shape"]
Place = Literal["nowhere", "organ", "box", "elsewhere"]


@dataclass(frozen=True)
class ProbeRow:
    """How well a class was segmented under one condition.

    Parameters
    ----------
    scan, class_id, class_name
        Of what.
    place
        Where the scan was hidden: ``"nowhere"``, in a box round the ``"organ"`` (all of it), in
        a ``"box"`` that was asked for, or in a box of the same size ``"elsewhere"`` that does
        not touch the organ (or the box).
    condition
        ``"visible"`` (nothing is hidden), or what stood in the hidden box: the ``"token"``
        that the run learned, the ``"mean"`` of the rest of the scan, ``"noise"`` of its values;
        or ``"average shape"``: no network, but the organ's average shape over the training
        scans, pasted at the centre of the hidden box.
    dsc
        Dice of the class over the whole scan, mean over the draws. A hidden organ lies inside its
        box to the last voxel, so this scores what came out of the box alone, and all that was
        found of the organ elsewhere counts against it. Of a box that was asked for, in which an
        organ may lie in part, it is the Dice inside the box, under every condition.
    deviation
        Standard deviation over the draws; ``nan`` for a single one.
    ratio
        ``dsc`` over that of the same organ visible: how much of it the network still knows.
    draws
        Number of boxes; 0 where none could be laid, and then there is no ``dsc``.
    """

    scan: str
    class_id: int
    class_name: str
    place: Place
    condition: Condition
    dsc: float
    deviation: float
    ratio: float
    draws: int


@dataclass(frozen=True)
class ProbedRow:
    """A row with whose it is: the run, how it was trained (``method``), and with which seed."""

    run: str
    method: str
    seed: int
    row: ProbeRow


COLUMNS = ("run", "method", "seed", *(field.name for field in fields(ProbeRow)))


def write_probe_rows(path: Path, rows: Iterable[ProbedRow]) -> Path:
    """Write rows as CSV, the file whole at any moment; what could not be measured is empty."""
    flat = (
        {"run": each.run, "method": each.method, "seed": each.seed, **asdict(each.row)}
        for each in rows
    )
    return write_table(path, COLUMNS, flat)


def read_probe_rows(path: Path) -> list[ProbedRow]:
    """Read rows that were written so."""
    with path.open(newline="", encoding="utf-8") as file:
        return [_row(values) for values in csv.DictReader(file)]


def _row(values: dict[str, str]) -> ProbedRow:
    measured: dict[str, Any] = {
        **{name: values[name] for name in ("scan", "class_name", "place", "condition")},
        **{name: int(values[name]) for name in ("class_id", "draws")},
        **{name: float(values[name] or "nan") for name in ("dsc", "deviation", "ratio")},
    }
    return ProbedRow(values["run"], values["method"], int(values["seed"]), ProbeRow(**measured))
