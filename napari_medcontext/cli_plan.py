"""The options of ``medcontext plan-patches``, what they ask for, and the table that it prints."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from napari_medcontext import cli_inputs as inputs
from napari_medcontext.core.patch_plan import PlanSpec
from napari_medcontext.core.settings import validated
from napari_medcontext.progress import say

if TYPE_CHECKING:
    from napari_medcontext.core.patch_plan import PatchPlan

Out = Annotated[
    Path | None,
    typer.Option(help="Folder for patches.csv (every class by itself) and patches.png."),
]
Sizes = Annotated[
    str,
    typer.Option(
        help="Patch sizes to try, separated by commas: 64 is as long in mm along every axis as 64 "
        "voxels of the finest, 64x64x32 just these voxels. Default: 32 to 128.",
        metavar="LIST",
    ),
]
Draws = Annotated[int, typer.Option(help="Patches to draw of each size, in all.", min=1)]
Probe = Annotated[
    bool,
    typer.Option(
        "--probe/--no-probe",
        help="Do a few real training steps with each size, to measure their time and memory.",
    ),
]
MostSeconds = Annotated[
    float, typer.Option(help="What a step may take at most to be recommended, in seconds.", min=0.0)
]


def planned(given: Mapping[str, Any], changes: Mapping[str, Mapping[str, Any]]) -> PlanSpec:
    """Return what to plan from the options of ``plan-patches``.

    Raises
    ------
    SettingsError, ScanError
        If options contradict each other, or name what is not there.
    """
    preset = given["preset"]
    config = inputs.settings(given["config"], preset and preset.value, changes)
    scans = inputs.training_scans(given, config.data.ignore_label, unlabelled=False)
    values = {
        "config": config,
        "cases": scans.cases,
        "class_names": scans.class_names,
        "channels": scans.channels,
        **{name: given[name] for name in ("sizes", "draws", "probe", "most_seconds")},
    }
    return validated(PlanSpec, values, "the patch plan")


@contextmanager
def results_in(out: Path | None) -> Iterator[Path]:
    """Give the folder for the results: the one that was named, else one for the while."""
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="medcontext-patches-") as folder:
        yield Path(folder)


def show(plan: PatchPlan, console: Console) -> None:
    """Print a row a size, and how to read it."""
    from napari_medcontext.core.patch_plan.words import COLUMNS, HEADS, plan_cells

    rows = [HEADS, *plan_cells(plan)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        print(line.rstrip())
    for cost in plan.costs:
        if cost.problem:
            size = "×".join(map(str, cost.size))
            say(console, cost.problem, label=size, style="yellow")
    for head, meaning in COLUMNS.items():
        say(console, meaning, label=head, style="bold")
