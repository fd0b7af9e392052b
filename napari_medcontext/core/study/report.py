"""The report of a study in Markdown: what was done, what came out, and what may be said of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from napari_medcontext import __version__
from napari_medcontext.core.markdown import table
from napari_medcontext.core.processors import machine
from napari_medcontext.core.study.comparison import Comparison, Findings, lead
from napari_medcontext.core.study.curves import (
    CaseCurves,
    Curve,
    Key,
    at_end,
    case_curves,
    finite_mean,
)
from napari_medcontext.core.study.plan import StudySpec, cells_of
from napari_medcontext.core.study.rows import ScoreRow, Series
from napari_medcontext.core.study.statistics import METRICS, bootstrap_interval

NOTES = """\
- A mean is over the classes that a scan's reference has; a missed class has a DSC of 0 and no
  HD95, so HD95 is over those found alone. Invented classes are counted beside.
- Intervals are 95 % bootstrap intervals over cases; seeds are averaged first, as they are no new
  cases; of fewer than about ten cases they come out too narrow. p is of the exact sign-flip test
  over cases, two-sided, adjusted by Holm's method for all comparisons of its table.
- Time is the sum of the steps' own durations: scoring, saving and preparing are left out. At equal
  time each scan's curve is read between two checkpoints on the straight line. Each training's
  learning rate falls over its own steps, so a method whose steps take longer is read in the middle
  of its schedule; a training of its own for that time could do better."""


def report_text(
    spec: StudySpec,
    rows: Sequence[ScoreRow],
    found: Findings,
    failures: Mapping[str, str],
    figures: Sequence[str],
    problem: str = "",
) -> str:
    """Return the report.

    Parameters
    ----------
    spec
        The plan.
    rows
        What was measured.
    found
        What follows from it.
    failures
        Why trainings failed, by their names.
    figures
        Names of the pictures beside the report.
    problem
        Why there are no pictures, if so.
    """
    curves = case_curves(rows)
    parts = [
        "# Comparison of methods",
        "## What may be said",
        _bullets(f"{each.method.network}: {each.verdict.text}" for each in found.at_end)
        or "Nothing yet: no two methods have been measured.",
        _equal_time_sentences(curves, found),
        "\n\n".join(f"![DSC on the test scans]({name})" for name in figures) or problem,
        "## After all steps",
        _means_table(spec, curves, rows, failures),
        "## Differences after all steps",
        _differences_table(found.at_end),
        "## At equal training time",
        _differences_table(found.at_equal_time),
        *(["## By class", _differences_table(found.by_class)] if found.by_class else []),
        "## By case",
        _case_table(curves),
        "## What failed",
        _bullets(f"{name}: {why}" for name, why in failures.items()) or "Nothing.",
        "## What was done",
        _summary(spec, rows),
        "## How to read this",
        NOTES,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _summary(spec: StudySpec, rows: Sequence[ScoreRow]) -> str:
    config, total = spec.config, len(list(cells_of(spec)))
    done = len({(row.series[:2], row.seed, row.fold) for row in rows})
    scored = "each training scan in turn, left out" if spec.leaves_one_out else _names(spec.test)
    lines = [
        f"Command: `{spec.command}`" if spec.command else "",
        f"Machine: {machine()}; napari-medcontext {__version__}",
        f"Networks: {', '.join(spec.networks)} ({config.network.size})",
        *(f"Method {arm.name}: {_arm_text(spec, arm.name)}" for arm in spec.arms),
        f"Seeds: {', '.join(map(str, spec.seeds))}",
        f"Steps: {config.training.steps} of {config.training.batch_size} patches of "
        f"{'×'.join(map(str, config.data.patch_size))} voxels, where a method says no other; "
        f"scored {spec.checkpoints} times on the way",
        f"Trained on: {_names(spec.training)}",
        f"Scored on: {scored}",
        f"Trainings done: {done} of {total}",
    ]
    return _bullets(line for line in lines if line)


def _arm_text(spec: StudySpec, name: str) -> str:
    (arm,) = (arm for arm in spec.arms if arm.name == name)
    text = f"preset {arm.preset}"
    text += f" with {json.dumps(arm.changes)}" if arm.changes else ""
    text += f", on {', '.join(arm.only)} alone" if arm.only else ""
    text += f", on the first {arm.scans} scans" if arm.scans else ""
    text += f", with {len(spec.unlabelled)} scans without labels" if arm.unlabelled else ""
    return text


def _names(cases: Iterable[object]) -> str:
    names = [str(getattr(case, "name", case)) for case in cases]
    return f"{len(names)} scan{'s' * (len(names) > 1)} ({', '.join(names)})"


def _means_table(
    spec: StudySpec, curves: CaseCurves, rows: Sequence[ScoreRow], failures: Mapping[str, str]
) -> str:
    head = ["network", "method", "steps", "DSC", "95 % interval", "SD over seeds", "HD95 mm"]
    head += ["missed", "invented", "training s", "cases × seeds"]
    body: list[Sequence[object]] = []
    for series in spec.series:
        if series not in curves:
            body.append(_unmeasured(series, failures, len(head)))
            continue
        by_key = curves[series]
        ends = at_end(by_key, "dsc")
        by_case = _by(ends, 1)
        by_seed = _by(ends, 0)
        last = max(curve.steps[-1] for curve in by_key.values())
        status = [
            row.score.status for row in rows if row.series == series and row.step == int(last)
        ]
        body.append(
            (
                series.network,
                series.title,
                f"{last:.0f}",
                _number(finite_mean(by_case), 3),
                "{} to {}".format(*(_number(side, 3) for side in bootstrap_interval(by_case))),
                _number(float(np.std(by_seed, ddof=1)), 4) if len(by_seed) > 1 else "–",
                _number(finite_mean(_by(at_end(by_key, "hd95_mm"), 1)), 2),
                status.count("missed"),
                status.count("invented"),
                _number(finite_mean(_last_seconds(by_key, ends)), 0),
                f"{len(by_case)} × {len(by_seed)}",
            )
        )
    return _table(head, body)


def _unmeasured(series: Series, failures: Mapping[str, str], width: int) -> list[str]:
    """Return the row of a method that has no scores, with the reason instead of numbers."""
    begins = f"{series.network} · {series.method} · "
    why = next((text for name, text in failures.items() if name.startswith(begins)), "not done yet")
    return [series.network, series.title, why, *["–"] * (width - 3)]


def _last_seconds(curves: Mapping[Key, Curve], keys: Iterable[Key]) -> list[float]:
    return [float(curves[key].seconds[-1]) for key in keys]


def _by(values: Mapping[Key, float], part: int) -> list[float]:
    """Return the mean for each seed (part 0) or each case (part 1)."""
    groups: dict[int | str, list[float]] = {}
    for key, value in values.items():
        groups.setdefault(key[part], []).append(value)
    means = (finite_mean(group) for group in groups.values())
    return [mean for mean in means if math.isfinite(mean)]


def _differences_table(comparisons: Sequence[Comparison]) -> str:
    timed = any(comparison.seconds is not None for comparison in comparisons)
    classed = any(comparison.class_name for comparison in comparisons)
    head = ["network", "method", "against", *["class"] * classed, *["after s"] * timed]
    head += ["difference", "95 % interval", "cases", "p", "verdict"]
    body = []
    for each in comparisons:
        low, high = each.difference.interval
        row: list[object] = [each.method.network, each.method.title, each.against.title]
        row += [each.class_name] if classed else []
        row += [f"{each.seconds:.4g}"] if timed else []
        row += [
            f"{_number(each.difference.mean, 2, sign=True)} {METRICS[each.metric].unit}",
            f"{_number(low, 2, sign=True)} to {_number(high, 2, sign=True)}",
            each.difference.cases,
            _number(each.p, 4),
            each.verdict.word,
        ]
        body.append(row)
    return _table(head, body)


def _equal_time_sentences(curves: CaseCurves, found: Findings) -> str:
    pairs = dict.fromkeys((each.method, each.against) for each in found.at_equal_time)
    return _bullets(_lead_text(curves, pair) for pair in pairs)


def _lead_text(curves: CaseCurves, pair: tuple[Series, Series]) -> str:
    names = f"{pair[0].network}, {pair[0].title} against {pair[1].title}, at equal training time"
    measured = lead(curves, pair)
    if measured is None:
        return f"{names}: the two share no time; one ended before the other was first scored."
    least, most, last = (
        f"{points:+.2f} points ({seconds:.4g} s)"
        for points, seconds in (measured.least, measured.most, measured.last)
    )
    return f"{names}: at least {least}, at most {most}, at the last common time {last}."


def _case_table(curves: CaseCurves) -> str:
    cases = list(dict.fromkeys(case for by_key in curves.values() for _, case in by_key))
    head = ("network", "method", *cases)
    body = []
    for series, by_key in curves.items():
        ends = at_end(by_key, "dsc")
        means = [finite_mean(v for (_, c), v in ends.items() if c == case) for case in cases]
        body.append((series.network, series.title, *(_number(mean, 3) for mean in means)))
    return _table(head, body)


def _number(value: float, decimals: int, *, sign: bool = False) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:{'+' if sign else ''}.{decimals}f}"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(head: Sequence[str], body: Sequence[Sequence[object]]) -> str:
    return table(head, body) if body else "Nothing yet."
