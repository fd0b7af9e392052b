"""``medcontext check``: what is wrong or odd before a training, and what it will take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from napari_medcontext import cli_data_preset as data_sets
from napari_medcontext import cli_inputs as inputs
from napari_medcontext.progress import say, watched

if TYPE_CHECKING:
    from napari_medcontext.core.preflight import Checked, Finding

Probe = Annotated[
    bool,
    typer.Option(
        "--probe/--no-probe",
        help="Do a few real training steps, to measure the time and memory of the whole.",
    ),
]
MOST_OF_A_KIND = 5
"""So many odd findings of one kind are told, and the rest counted."""
STYLES = {True: ("Stops", "bold red"), False: ("Odd", "yellow")}


def finds_what_stops(
    given: Mapping[str, Any], changes: Mapping[str, Mapping[str, Any]], console: Console
) -> bool:
    """Look at the scans that the options of ``check`` name, and tell what was found.

    Returns
    -------
    bool
        Whether any of it would stop a training.

    Raises
    ------
    SettingsError, ScanError
        If options contradict each other, or name what is not there.
    """
    from napari_medcontext.core.preflight import check_cases, with_forecast

    known, preset = data_sets.chosen(given["data_preset"]), given["preset"]
    config = inputs.settings(given["config"], preset and preset.value, changes, known)
    scans = inputs.training_scans(
        given, config.data.ignore_label, presumed=data_sets.channels(known)
    )
    names = data_sets.class_names(scans.class_names, known)
    cases = data_sets.with_split(scans.cases, known, console)
    cases = inputs.with_roles(cases, given["validation"] or [], config.objective)
    checked: Checked = watched(check_cases(cases, config, names, scans.channels), console)
    if given["probe"]:
        with console.status("Measuring a training step"):
            checked = with_forecast(checked)
    findings = [*_left_over(given["images"], given["labels"]), *checked.findings]
    _tell(findings, console)
    say(console, _summary(findings, sum(case.role != "unused" for case in cases)))
    if checked.forecast is not None:
        say(console, str(checked.forecast))
    return checked.stops


def _tell(findings: Sequence[Finding], console: Console) -> None:
    """Tell what stops, and a few of each kind that is odd: a hundred classes may all be small."""
    kinds: Counter[str] = Counter()
    for finding in findings:
        kinds[finding.kind] += not finding.stops
        if finding.stops or kinds[finding.kind] <= MOST_OF_A_KIND:
            label, style = STYLES[finding.stops]
            say(console, f"{finding.what} {finding.remedy}".strip(), label=label, style=style)
    for kind, count in kinds.items():
        if count > MOST_OF_A_KIND:
            label, style = STYLES[False]
            say(console, f"{count - MOST_OF_A_KIND} more: {kind}.", label=label, style=style)


def _left_over(images: Path | None, labels: Path | None) -> Sequence[Finding]:
    """Return labels that no scan has, which no training would miss."""
    from napari_medcontext.core.cases import pair_by_name
    from napari_medcontext.core.io import list_scans
    from napari_medcontext.core.preflight import Finding

    if images is None or labels is None:
        return []
    _, left = pair_by_name(list_scans(images), list_scans(labels))
    alone = [path.name for path in left if path.parent == labels]
    if not alone:
        return []
    what = f"{labels} has labels without a scan of the same name: {', '.join(alone)}."
    return [Finding("labels alone", alone, what, "Rename them, or add their scans.")]


def _summary(findings: Sequence[Finding], scans: int) -> str:
    stopping = sum(finding.stops for finding in findings)
    if not findings:
        return f"Nothing is wrong or odd with {scans} scans."
    return f"Findings that would stop a training: {stopping}; odd ones: {len(findings) - stopping}."
