"""What a study leaves: tables, figures and a report of whatever has been measured so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_medcontext.core.figures import FigureError
from napari_medcontext.core.io import atomic_path
from napari_medcontext.core.study.cell import cell_rows
from napari_medcontext.core.study.comparison import Comparison, findings
from napari_medcontext.core.study.curves import CaseCurves, case_curves, seed_curves
from napari_medcontext.core.study.figure import FIGURES, draw_curves
from napari_medcontext.core.study.foreground import write_foreground
from napari_medcontext.core.study.plan import Cell, StudyFolder, cells_of
from napari_medcontext.core.study.report import report_text
from napari_medcontext.core.study.rows import ScoreRow, Series, write_rows, write_table

CURVE_COLUMNS = (*Series._fields, "seed", "step", "seconds", "dsc", "hd95_mm", "cases")
COMPARISON_COLUMNS = (
    *Series._fields,
    *("against", "against_weights", "seconds", "class_name", "metric", "cases", "seeds"),
    *("difference", "low", "high", "p", "p_adjusted", "verdict"),
)


def all_rows(study: StudyFolder, failures: Mapping[str, str]) -> list[ScoreRow]:
    """Return what was measured of the plan's trainings, those that failed or were cut left out.

    What lies in the folders of the first may have been measured with other settings; half of a
    training is no match for another's whole.
    """
    cells = (cell for cell in cells_of(study.spec()) if cell.name not in failures)
    return [row for cell in cells for row in _rows_to_its_end(study, cell)]


def _rows_to_its_end(study: StudyFolder, cell: Cell) -> list[ScoreRow]:
    rows = cell_rows(study, cell)
    reached = max((row.step for row in rows), default=0)
    return rows if reached and reached >= cell.run_spec().config.training.steps else []


def write_results(study: StudyFolder, failures: Mapping[str, str], *, figures: bool = True) -> str:
    """Write ``scores.csv``, ``curves.csv``, ``comparisons.csv``, the figures and ``report.md``.

    Where the plan asks for it, ``foreground.csv``, ``.md`` and ``.png`` too.

    Parameters
    ----------
    study
        The study.
    failures
        Why trainings failed, by their names.
    figures
        Whether to draw the figures too, which takes longest.

    Returns
    -------
    str
        What could not be written, for the user; mostly empty.
    """
    spec, rows = study.spec(), all_rows(study, failures)
    found, curves = findings(spec, rows), case_curves(rows)
    write_rows(study.path / "scores.csv", rows)
    write_table(study.path / "curves.csv", CURVE_COLUMNS, _curve_rows(curves))
    write_table(study.path / "comparisons.csv", COMPARISON_COLUMNS, map(_flat, found.all))
    pictures, problem = _figures(study.path, curves) if figures else ([], "")
    if spec.foreground and rows:
        pictures = [*pictures, *write_foreground(study.path, spec, rows, figures=bool(pictures))]
    with atomic_path(study.report) as temporary:
        text = report_text(spec, rows, found, failures, pictures, problem)
        temporary.write_text(text, encoding="utf-8")
    return problem


def _figures(folder: Path, curves: CaseCurves) -> tuple[Sequence[str], str]:
    """Draw the figures; return their names, and what hindered that."""
    if not curves:
        return [], ""
    try:
        for name, across in FIGURES.items():
            draw_curves(folder / name, curves, across)
    except FigureError as error:
        return [], str(error)
    return list(FIGURES), ""


def _curve_rows(curves: CaseCurves) -> Iterator[dict[str, Any]]:
    for series, by_key in curves.items():
        for seed, curve in seed_curves(by_key).items():
            cases = sum(key[0] == seed for key in by_key)
            points = zip(curve.steps, curve.seconds, curve.dsc, curve.hd95_mm, strict=True)
            for step, seconds, dsc, hd95 in points:
                yield {
                    **series._asdict(),
                    "seed": seed,
                    "step": int(step),
                    "seconds": float(seconds),
                    "dsc": float(dsc),
                    "hd95_mm": float(hd95),
                    "cases": cases,
                }


def _flat(comparison: Comparison) -> dict[str, Any]:
    low, high = comparison.difference.interval
    return {
        **comparison.method._asdict(),
        "against": comparison.against.method,
        "against_weights": comparison.against.weights,
        "seconds": "" if comparison.seconds is None else comparison.seconds,
        "class_name": comparison.class_name,
        "metric": comparison.metric,
        "cases": comparison.difference.cases,
        "seeds": len(comparison.difference.by_seed),
        "difference": comparison.difference.mean,
        "low": low,
        "high": high,
        "p": comparison.difference.p,
        "p_adjusted": comparison.p,
        "verdict": comparison.verdict.word,
    }
