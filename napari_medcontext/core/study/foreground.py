"""A study's scores against each test scan's share of foreground (Kamath et al., 2022).

That study trains with patches of several sizes, lets the share of foreground differ between
training and test, and trains with a diverse share; its arms are made here too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from napari_medcontext.core.config import Case
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.io import atomic_path, read_volume
from napari_medcontext.core.labels import as_label_array
from napari_medcontext.core.markdown import table
from napari_medcontext.core.networks import PatchSize
from napari_medcontext.core.study.arms import BASELINE, Arm
from napari_medcontext.core.study.curves import at_end, case_curves, finite_mean
from napari_medcontext.core.study.foreground_figure import draw_foreground
from napari_medcontext.core.study.plan import StudySpec
from napari_medcontext.core.study.rows import ScoreRow, Series, write_table

COLUMNS = (*Series._fields, "seed", "case", "foreground", "seen", "dsc", "hd95_mm")
HEADS = (
    *("network", "arm", "DSC", "as in training", "other", "drop"),
    *("HD95, mm", "as in training", "other"),
)
DIVERSE = "diverse foreground"
NEARLY = 1.1
"""A share counts as seen up to this factor beyond those of the training scans."""
FEWEST_SCANS = 4
"""From so many training scans on, halves of them differ in their foreground."""


class Scored(NamedTuple):
    """One test scan after all steps: its foreground, whether training saw as much, its scores."""

    series: Series
    seed: int
    case: str
    foreground: float
    seen: bool
    dsc: float
    hd95_mm: float


def size_arms(sizes: Iterable[PatchSize]) -> list[Arm]:
    """Return an arm for each patch size, on all training scans."""
    return [
        Arm(name=f"patch {_name(size)}", preset=BASELINE, changes={"data": {"patch_size": size}})
        for size in sizes
    ]


def foreground_arms(size: PatchSize, training: Sequence[Case], unknown: int | None) -> list[Arm]:
    """Return arms of one patch size on as many scans each: of little, much and any foreground.

    Raises
    ------
    SettingsError
        If there are too few training scans to differ.
    """
    if len(training) < FEWEST_SCANS:
        raise SettingsError(
            f"A study of foreground needs {FEWEST_SCANS} training scans or more, not "
            f"{len(training)}: it trains on those with little and on those with much of it."
        )
    shares = foreground_shares(training, unknown)
    names = sorted(shares, key=lambda name: shares[name])
    half = len(names) // 2
    changes = {"data": {"patch_size": size}}
    spread = np.linspace(0, len(names) - 1, half).round().astype(int)
    chosen = {
        DIVERSE: [names[place] for place in spread],
        "little foreground": names[:half],
        "much foreground": names[-half:],
    }
    return [
        Arm(name=name, preset=BASELINE, changes=changes, only=tuple(only), against=DIVERSE)
        for name, only in chosen.items()
    ]


def foreground_shares(cases: Iterable[Case], unknown: int | None) -> dict[str, float]:
    """Return the share of labelled voxels in each scan, what is unknown left out."""
    shares = {}
    for case in cases:
        assert case.labels is not None
        labels = as_label_array(read_volume(case.labels).array, case.name)
        known = labels if unknown is None else labels[labels != unknown]
        shares[case.name] = float(np.count_nonzero(known) / max(known.size, 1))
    return shares


def write_foreground(
    folder: Path, spec: StudySpec, rows: Sequence[ScoreRow], *, figures: bool
) -> list[str]:
    """Write ``foreground.csv`` and ``foreground.md``, and draw ``foreground.png``.

    Returns
    -------
    list of str
        Names of the pictures.

    Raises
    ------
    FigureError
        If matplotlib is not installed, and figures are asked for.
    """
    scored = list(_scored(spec, rows))
    write_table(folder / "foreground.csv", COLUMNS, map(_flat, scored))
    with atomic_path(folder / "foreground.md") as temporary:
        temporary.write_text(_table(scored), encoding="utf-8")
    if not figures:
        return []
    draw_foreground(folder / "foreground.png", scored)
    return ["foreground.png"]


def _scored(spec: StudySpec, rows: Sequence[ScoreRow]) -> Iterator[Scored]:
    unknown = spec.config.data.ignore_label
    shares = foreground_shares({*spec.training, *spec.test}, unknown)
    ranges = {arm.name: _range(arm, spec, shares) for arm in spec.arms}
    for series, curves in case_curves(rows).items():
        low, high = ranges[series.method]
        dsc, hd95 = at_end(curves, "dsc"), at_end(curves, "hd95_mm")
        for seed, case in dsc:
            share = shares[case]
            seen = low / NEARLY <= share <= high * NEARLY
            yield Scored(series, seed, case, share, seen, dsc[seed, case], hd95[seed, case])


def _range(arm: Arm, spec: StudySpec, shares: Mapping[str, float]) -> tuple[float, float]:
    """Return the least and the largest foreground among an arm's training scans."""
    seen = [shares[name] for name in arm.only or [case.name for case in spec.training]]
    return min(seen), max(seen)


def _table(scored: Sequence[Scored]) -> str:
    about = (
        "Means over seeds and test scans after all steps. *As in training*: test scans whose share "
        "of foreground lies between the least and the largest of the training scans, or a tenth "
        "beyond; *other*: all other test scans; *drop*: how much lower the DSC is there."
    )
    rows = []
    for series in dict.fromkeys(each.series for each in scored):
        own = [each for each in scored if each.series == series]
        seen, other = [[each for each in own if each.seen == seen] for seen in (True, False)]
        dice = [finite_mean(each.dsc for each in group) for group in (own, seen, other)]
        hd95 = [finite_mean(each.hd95_mm for each in group) for group in (own, seen, other)]
        cells = [series.network, series.title, *_texts(dice, 3), *_texts([dice[1] - dice[2]], 3)]
        rows.append([*cells, *_texts(hd95, 1)])
    return f"# Scores against foreground\n\n{about}\n\n{table(HEADS, rows)}\n"


def _texts(values: Iterable[float], digits: int) -> list[str]:
    return ["–" if np.isnan(value) else f"{value:.{digits}f}" for value in values]


def _flat(each: Scored) -> dict[str, Any]:
    values = {**each._asdict(), **each.series._asdict(), "seen": int(each.seen)}
    del values["series"]
    return values


def _name(size: PatchSize) -> str:
    return "×".join(map(str, size))
