"""What a run has logged so far, told again as events, for curves that begin late."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from statistics import fmean

from napari_medcontext.core.events import Event, StepFinished, ValidationFinished
from napari_medcontext.core.run import RunFolder
from napari_medcontext.widgets.curves import LOSS_TITLES

SCORED = {"class_id", "dsc"}


def logged_events(run: RunFolder) -> Iterator[Event]:
    """Yield every step and validation in a run's tables; none where it has not begun.

    Lines that cannot be read, such as one that is just being written, are left out.
    """
    for line in _lines(run.path / "log.csv"):
        yield StepFinished(
            step=int(line["step"]),
            losses={name: line[name] for name in LOSS_TITLES if name in line},
            momentum=line.get("momentum", 0.0),
            learning_rate=line.get("learning_rate", 0.0),
            seconds=line.get("seconds", 0.0),
        )
    scores = (line for line in _lines(run.path / "validation.csv") if line.keys() >= SCORED)
    for step, lines in groupby(scores, lambda line: int(line["step"])):
        dsc = {int(line["class_id"]): line["dsc"] for line in lines}
        yield ValidationFinished(step, dsc, fmean(dsc.values()), best=False)


def _lines(path: Path) -> Iterator[dict[str, float]]:
    """Yield the numbers of each line that begins with a step."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for texts in csv.DictReader(file):
                line = _numbers(texts)
                if "step" in line:
                    yield line
    except (OSError, UnicodeDecodeError, csv.Error):
        return


def _numbers(texts: dict[str, str | None]) -> dict[str, float]:
    numbers = {}
    for name, text in texts.items():
        try:
            numbers[name] = float(text or "")
        except (ValueError, TypeError):
            continue
    return numbers
