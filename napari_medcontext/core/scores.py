"""What a comparison found: a score a case and class, their means, and the table they make."""

from __future__ import annotations

import csv
import io as text_io
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, TextIO

from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.io import atomic_path

Status = Literal["found", "missed", "invented", "absent"]


@dataclass(frozen=True)
class ClassScore:
    """How well one class of one case was predicted.

    ``status`` is ``found`` (in both), ``missed`` (in the reference alone), ``invented`` (in
    the prediction alone) or ``absent`` (in neither). A missed or invented class has a Dice and
    an NSD of 0 and no HD95 and ASSD (``nan``); an absent one has none of them. The last three
    fields tell by which definition it was measured, see ``metrics.Definitions``.
    """

    case: str
    class_id: int
    class_name: str
    status: Status
    dsc: float
    hd95_mm: float
    assd_mm: float
    nsd: float
    prediction_ml: float
    reference_ml: float
    hd95_definition: str = ""
    nsd_definition: str = ""
    nsd_tolerance_mm: float = math.nan

    @property
    def difference_ml(self) -> float:
        """How much larger the prediction is than the reference, in millilitres."""
        return self.prediction_ml - self.reference_ml


@dataclass(frozen=True)
class ScoredCase:
    """What came of one case of many: its scores, or why it has none."""

    case: str
    scores: tuple[ClassScore, ...] = ()
    problem: str = ""


COLUMNS = (*(field.name for field in fields(ClassScore)), "difference_ml")
"""The columns of a table of scores."""


@dataclass(frozen=True)
class Summary:
    """Means over cases and classes, with what they leave out.

    ``mean_dsc`` and ``mean_nsd`` are taken over every class that is in the prediction or the
    reference, so ``found + missed + invented`` of them; ``mean_hd95_mm`` and ``mean_assd_mm``
    over those found, since no other has a distance. All are ``nan`` where there is nothing to
    average.
    """

    mean_dsc: float
    mean_hd95_mm: float
    mean_assd_mm: float
    mean_nsd: float
    found: int
    missed: int
    invented: int

    @property
    def counted(self) -> int:
        """Number of scores that the mean Dice is taken over."""
        return self.found + self.missed + self.invented

    @property
    def text(self) -> str:
        """The summary in one line, for a window or a terminal."""
        if not self.counted:
            return "nothing to compare: neither holds a class"
        distance = "distances not measurable"
        if self.found:
            distance = f"HD95 {self.mean_hd95_mm:.1f} mm · ASSD {self.mean_assd_mm:.2f} mm"
        overlap = f"DSC {self.mean_dsc:.3f} · NSD {self.mean_nsd:.3f}"
        parts = [f"{overlap} over {self.counted} · {distance} over {self.found} of {self.counted}"]
        parts += [f"{self.missed} missed"] if self.missed else []
        parts += [f"{self.invented} invented"] if self.invented else []
        return ", ".join(parts)


def summarise(scores: Iterable[ClassScore]) -> Summary:
    """Return the means of scores, a missed or invented class counting as a Dice of 0."""
    scores = list(scores)
    count = Counter(score.status for score in scores)
    counted = [score for score in scores if score.status != "absent"]
    found = [score for score in counted if score.status == "found"]
    return Summary(
        mean_dsc=_mean([score.dsc for score in counted]),
        mean_hd95_mm=_mean([score.hd95_mm for score in found]),
        mean_assd_mm=_mean([score.assd_mm for score in found]),
        mean_nsd=_mean([score.nsd for score in counted]),
        found=count["found"],
        missed=count["missed"],
        invented=count["invented"],
    )


def summarise_classes(scores: Iterable[ClassScore]) -> dict[str, Summary]:
    """Return the means of each class over the cases, by its name, in the order of the ids."""
    of_class: dict[tuple[int, str], list[ClassScore]] = {}
    for score in scores:
        of_class.setdefault((score.class_id, score.class_name), []).append(score)
    return {name: summarise(found) for (_, name), found in sorted(of_class.items())}


def require_score_table(path: Path) -> None:
    """Refuse to write scores over a file that is no table of scores.

    Raises
    ------
    MedContextError
        Naming it.
    """
    if not path.exists():
        return
    try:
        with path.open(encoding="utf-8") as file:
            is_table = next(csv.reader(file), []) == list(COLUMNS)
    except (OSError, UnicodeDecodeError):
        is_table = False
    if not is_table:
        raise MedContextError(
            f"{path} is there already and holds no scores. Choose another file for them, so that "
            "nothing of yours is written over."
        )


def write_scores(path: Path, scores: Iterable[ClassScore]) -> Path:
    """Write scores as CSV, one row a case and class, what is not measurable left empty."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        _write_table(file, scores, delimiter=",")
    return path


def scores_to_text(scores: Iterable[ClassScore]) -> str:
    """Return the same table separated by tabs, as spreadsheets paste it."""
    buffer = text_io.StringIO()
    _write_table(buffer, scores, delimiter="\t")
    return buffer.getvalue()


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _write_table(file: TextIO, scores: Iterable[ClassScore], *, delimiter: str) -> None:
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(getattr(score, name)) for name in COLUMNS] for score in scores)


def _cell(value: object) -> object:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.6g}"
