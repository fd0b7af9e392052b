"""What came of a cohort whose worker was killed: a table, a figure, and what each case came to."""

from __future__ import annotations

import csv
import platform
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

import psutil
from cohort_scans import BROKEN
from score_rows import read_rows

from napari_medcontext.core.io import list_scans, read_geometry, read_volume
from napari_medcontext.core.prediction_plan import LEDGER

COMMAND = "python benchmarks/cohort.py --out docs/evidence/cohort"


@dataclass(frozen=True)
class Sample:
    """What a process held, and when."""

    seconds: float
    process: str
    mebibytes: float


@dataclass(frozen=True)
class Kill:
    """Which worker was killed, and when."""

    worker: str
    seconds: float
    done: int


@dataclass(frozen=True)
class Counted:
    """How the cases of a cohort ended."""

    good: int
    done_once: int
    broken: int
    listed: int
    strangers: int


Seen = tuple[Sequence[Sample], Kill, tuple[float, float]]
"""Samples, what was killed, and when the first and the last case were done."""


def write_report(out: Path, scans: Path, predicted: Path, seen: Seen, told: tuple[int, str]) -> str:
    """Write table, figure and report; return the report."""
    samples, kill, span = seen
    rows = read_rows(predicted / LEDGER)
    with (out / "memory.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Sample)])
        writer.writerows(
            (f"{one.seconds:.1f}", one.process, f"{one.mebibytes:.0f}") for one in samples
        )
    draw(out / "memory.png", samples, kill)
    counted = count(scans, predicted, rows)
    text = "\n\n".join(
        [
            f"# A cohort of {len(rows)} scans, two dask workers, one killed",
            f"`{COMMAND}`, {datetime.now(UTC):%d %B %Y}; {psutil.cpu_count()} cores, no GPU, "
            f"Python {platform.python_version()}.",
            _cases(counted, kill, told, span),
            "![Memory over time](memory.png)",
            _memory(samples, span),
            "The broken scans, as the command names them:",
            _broken(rows, scans),
        ]
    )
    (out / "report.md").write_text(f"{text}\n", encoding="utf-8")
    return text


def count(scans: Path, predicted: Path, rows: Sequence[dict[str, str]]) -> Counted:
    """Count from the ledger and the files; a good case counts if both have it just once."""
    entered = Counter(row["name"] for row in rows)
    problems = {row["name"] for row in rows if row["problem"]}
    names = {path.name.removesuffix(".nii.gz"): path for path in list_scans(scans)}
    broken = {name for name in names if name.endswith(tuple(f"_{b.__name__}" for b in BROKEN))}
    whole = {
        name
        for name, scan in names.items()
        if name not in broken and _fits(scan, predicted / scan.name)
    }
    once = {name for name in whole if entered[name] == 1 and name not in problems}
    expected = {LEDGER, *(f"{name}.nii.gz" for name in whole)}
    strangers = {path.name for path in predicted.iterdir()} - expected
    listed = {name for name in broken & problems if entered[name] == 1}
    return Counted(len(names) - len(broken), len(once), len(broken), len(listed), len(strangers))


def draw(path: Path, samples: Sequence[Sample], kill: Kill) -> None:
    """Draw the memory of each process over time, and when a worker was killed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4))
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    for name in dict.fromkeys(one.process for one in samples):
        own = [one for one in samples if one.process == name]
        panel.plot([one.seconds for one in own], [one.mebibytes for one in own], label=name)
    panel.axvline(kill.seconds, color="black", linestyle=":", label=f"{kill.worker} killed")
    panel.set_xlabel("time, s")
    panel.set_ylabel("resident memory, MiB")
    panel.set_ylim(bottom=0)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, dpi=160, bbox_inches="tight")


def _fits(scan: Path, labels: Path) -> bool:
    return labels.is_file() and read_volume(labels).shape == read_geometry(scan).shape


def _cases(counted: Counted, kill: Kill, told: tuple[int, str], span: tuple[float, float]) -> str:
    code, words = told
    again = re.findall(r"died over (.+?), done again", words.replace("\n", " "))
    lines = [
        f"- good scans done once (one row in the ledger, one whole file): {counted.done_once} of "
        f"{counted.good}",
        f"- broken scans listed with a reason: {counted.listed} of {counted.broken}",
        f"- files that belong to neither, hidden ones included: {counted.strangers}",
        f"- {kill.worker} was killed (SIGKILL) after {kill.done} cases, {kill.seconds:.0f} s, over "
        f"{'; '.join(again) or 'nothing'}",
        f"- exit code {code} (1: some scans could not be predicted); "
        f"{span[1]:.0f} s, of which {span[0]:.0f} s until the first case was done",
    ]
    return "\n".join(lines)


def _memory(samples: Sequence[Sample], span: tuple[float, float]) -> str:
    """Return a table of the largest memory in the first and the last third of the work."""
    begin, end = span
    third = (end - begin) / 3
    parts = ((begin, begin + third), (end - third, end))
    lines = ["| peak of resident memory, MiB | first third | last third |", "| --- | --- | --- |"]
    for name in dict.fromkeys(one.process for one in samples):
        peaks = [
            max(
                (o.mebibytes for o in samples if o.process == name and a <= o.seconds <= b),
                default=0,
            )
            for a, b in parts
        ]
        lines.append(f"| {name} | {' | '.join(f'{peak:.0f}' if peak else '–' for peak in peaks)} |")
    return "\n".join(lines)


def _broken(rows: Sequence[dict[str, str]], scans: Path) -> str:
    lines = ["| scan | reason |", "| --- | --- |"]
    for row in sorted(rows, key=lambda row: row["name"]):
        if row["problem"]:
            reason = row["problem"].replace(f"{scans}/", "").replace("|", "/")
            lines.append(f"| {row['name']} | {reason} |")
    return "\n".join(lines)
