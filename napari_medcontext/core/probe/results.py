"""What a probe leaves: every row as CSV, the means as Markdown, and a bar chart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from napari_medcontext import __version__
from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.io import atomic_path
from napari_medcontext.core.markdown import table
from napari_medcontext.core.probe.figure import draw_bars
from napari_medcontext.core.probe.plan import ProbeFolder, ProbeSpec
from napari_medcontext.core.probe.rows import Condition, Place, ProbedRow, write_probe_rows
from napari_medcontext.core.probe.summary import ALL, Key, ProbeMean, probe_means

FIGURE = "probe.png"
TABLE_COLUMNS: Mapping[str, tuple[Place, Condition]] = {
    "visible": ("nowhere", "visible"),
    "hidden: token": ("organ", "token"),
    "hidden: mean": ("organ", "mean"),
    "hidden: noise": ("organ", "noise"),
    "average shape": ("organ", "average shape"),
    "elsewhere: token": ("elsewhere", "token"),
    "elsewhere: mean": ("elsewhere", "mean"),
    "elsewhere: noise": ("elsewhere", "noise"),
}
"""What heads each column of a table, and what stands in it."""

NOTES = """\
- Each figure is a DSC over the whole scan, at the run's spacing: the mean over draws, then scans,
  then runs, ± the standard deviation over the runs (seeds) where there are several; in brackets,
  its share of the visible one.
- *hidden*: a box that holds all of the organ is hidden, its sides moved outwards by chance (a
  quarter of the organ's extent at most, each side by itself). What is found of the organ can only
  come from what lies round it.
- *token*: what the run learned to see in hidden places; a supervised run has none. *mean*, *noise*:
  the mean of the rest of the scan, or values drawn from it; neither method has trained with these,
  and both get the same boxes.
- *average shape*: no network. The mean of the organ's masks over the run's training scans, laid on
  each other by the centres of their bounding boxes, cut at one half, and pasted at the centre of
  the hidden box. A box tells where the organ is and how large, so this is what a guess is worth
  that looks at nothing else: only what lies above it was read from the surroundings.
- *elsewhere*: a box of the same size that does not touch the organ is hidden, its centre in the
  brighter half of the scan. What is lost there is lost because something is hidden, not the organ.
  Where no such box fits beside a large organ, there is no such column.
- A run that hides tokens (mask site *tokens*) sees hidden voxels through its first skip connection:
  its *token* column is no measure of context."""


def write_results(folder: ProbeFolder, rows: Sequence[ProbedRow], spec: ProbeSpec) -> str:
    """Write ``probe.csv``, ``probe.md`` and ``probe.png``.

    Returns
    -------
    str
        What could not be written, for the user; mostly empty.
    """
    write_probe_rows(folder.path / "probe.csv", rows)
    means, problem = probe_means(rows), ""
    try:
        draw_bars(folder.path / FIGURE, means)
    except MedContextError as error:
        problem = str(error)
    with atomic_path(folder.report) as temporary:
        temporary.write_text(report_text(means, spec, problem), encoding="utf-8")
    return problem


def report_text(means: Mapping[Key, ProbeMean], spec: ProbeSpec, problem: str = "") -> str:
    """Return the report in Markdown.

    Parameters
    ----------
    means
        From ``probe_means``.
    spec
        What was probed.
    problem
        Why there is no picture, if so.
    """
    organs = [ALL, *dict.fromkeys(organ for _, organ, *_ in means if organ != ALL)]
    titles = {organ: "Mean over the organs" if organ == ALL else organ for organ in organs}
    parts = [
        "# Context probe",
        problem or f"![DSC of organs that are hidden entirely]({FIGURE})",
        *(f"## {titles[organ]}\n\n{means_table(means, organ)}" for organ in organs),
        f"## What was done\n\n{_summary(spec)}",
        f"## How to read this\n\n{NOTES}",
    ]
    return "\n\n".join(parts) + "\n"


def means_table(means: Mapping[Key, ProbeMean], organ: str) -> str:
    """Return the table of one organ in Markdown, a row a method."""
    methods = dict.fromkeys(method for method, name, *_ in means if name == organ)
    kept = {
        title: kind
        for title, kind in TABLE_COLUMNS.items()
        if any((method, organ, *kind) in means for method in methods)
    }
    rows = []
    for method in methods:
        cells = [_cell(means.get((method, organ, *kind)), kind) for kind in kept.values()]
        runs = max(found.runs for key, found in means.items() if key[:2] == (method, organ))
        rows.append([method, runs, *cells])
    return table(["method", "runs", *kept], rows)


def _cell(found: ProbeMean | None, kind: tuple[Place, Condition]) -> str:
    if found is None:
        return ""
    text = f"{found.dsc:.3f}"
    if not math.isnan(found.deviation):
        text += f" ± {found.deviation:.3f}"
    if kind[0] == "nowhere" or kind[1] == "average shape" or math.isnan(found.ratio):
        return text
    return f"{text} ({found.ratio:.0%})"


def _summary(spec: ProbeSpec) -> str:
    lines = [
        f"Command: `{spec.command}`" if spec.command else "",
        f"napari-medcontext {__version__}",
        f"Runs: {_list(path.name for path in spec.runs)}",
        f"Scans: {_list(case.name for case in spec.scans)}",
        f"Boxes round each organ: {spec.draws}, seed {spec.seed}",
    ]
    return "\n".join(f"- {line}" for line in lines if line)


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
