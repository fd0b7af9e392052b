"""The options of ``medcontext probe``, and what they ask for."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_medcontext import cli_inputs as inputs
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.probe import ProbeSpec
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.settings import validated

Runs = Annotated[
    list[Path],
    typer.Argument(
        help="Run folders of trainings. Those that differ in their seed alone are one method."
    ),
]
Images = Annotated[Path | None, typer.Option(help="Folder of scans that no run has learned from.")]
Labels = Annotated[Path | None, typer.Option(help="Folder of their labels, of the same names.")]
Dataset = Annotated[
    Path | None,
    typer.Option(help="A dataset.json instead: its scans listed as “test” that have labels."),
]
Out = Annotated[
    Path,
    typer.Option(
        help="Folder for probe.csv, probe.md and probe.png. What is there already is not done "
        "again."
    ),
]
Organs = Annotated[
    str | None,
    typer.Option(help="Names or ids of the organs to hide, separated by commas. Default: all."),
]
Draws = Annotated[int, typer.Option(help="Boxes to draw round each organ.", min=1)]
Seed = Annotated[int, typer.Option(help="Number that fixes the boxes.", min=0)]


def planned(given: Mapping[str, Any]) -> ProbeSpec:
    """Return what to probe from the options of ``probe``.

    Raises
    ------
    SettingsError, ScanError, RunError
        If options contradict each other, or name what is not there.
    """
    runs = [path.absolute() for path in given["runs"]]
    channels = {RunFolder(path).spec().channels for path in runs}
    if len(channels) > 1:
        taken = "; ".join(", ".join(names) or "one channel" for names in sorted(channels))
        raise SettingsError(f"The runs take different channels ({taken}). Probe them one by one.")
    values = {
        "runs": runs,
        "scans": inputs.labelled_cases(given, channels.pop()),
        "organs": [word.strip() for word in (given["organs"] or "").split(",") if word.strip()],
        "draws": given["draws"],
        "seed": given["seed"],
        "command": shlex.join(["medcontext", *sys.argv[1:]]),
    }
    return validated(ProbeSpec, values, "the probe")
