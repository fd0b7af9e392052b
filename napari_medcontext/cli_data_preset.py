"""``--data-preset``: what is known of a public data set, for the commands that train on it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from napari_medcontext.core.cases import quoted
from napari_medcontext.core.config import Case
from napari_medcontext.core.data_presets import (
    DataPreset,
    Parted,
    data_presets,
    find_data_preset,
    load_split,
    parted,
)
from napari_medcontext.progress import say

DataPresetName = Annotated[
    str | None,
    typer.Option(
        "--data-preset",
        metavar="NAME",
        help="Public data set whose classes, window, spacing, patches, regions and published split "
        f"are taken; single options change them. There are: {', '.join(data_presets())}.",
        rich_help_panel="Scans",
    ),
]


def chosen(name: str | None) -> DataPreset | None:
    """Return the preset of a name; None where none is named.

    Raises
    ------
    SettingsError
        If there is no such preset.
    """
    return None if name is None else find_data_preset(name)


def class_names(names: dict[int, str], preset: DataPreset | None) -> dict[int, str]:
    """Return what classes are called: as the preset says, else as the study does."""
    return names if preset is None else dict(preset.classes)


def channels(preset: DataPreset | None) -> tuple[str, ...]:
    """Return the channels that the preset's scans have, where these are several."""
    return preset.channels if preset is not None and len(preset.channels) > 1 else ()


def region_table(
    table: dict[str, tuple[int, ...]], preset: DataPreset | None
) -> dict[str, tuple[int, ...]]:
    """Return the regions to learn: those that options name, else the preset's."""
    return table if table or preset is None else dict(preset.regions)


def with_split(
    cases: tuple[Case, ...], preset: DataPreset | None, console: Console
) -> tuple[Case, ...]:
    """Return the scans, those set to “unused” that the published split does not train on.

    Raises
    ------
    ScanError
        If none is left to train on.
    """
    parts = split_of(cases, preset, console)
    if parts is None:
        return cases
    kept = {case.name for case in parts.training}
    return tuple(
        case if case.name in kept else case.model_copy(update={"role": "unused"}) for case in cases
    )


def split_of(cases: tuple[Case, ...], preset: DataPreset | None, console: Console) -> Parted | None:
    """Part the scans by the preset's split, telling what it comes to; None where it has none.

    Raises
    ------
    ScanError
        If none is left to train on.
    """
    if preset is None:
        return None
    say(console, f"{preset.title}: {', '.join(preset.channels)}.")
    if preset.split is None:
        return None
    parts = parted(cases, load_split(preset.split))
    say(console, f"{len(parts.training)} scans are to train on, {len(parts.test)} to test on.")
    if parts.missing:
        text = f"The published split lists scans that are not here: {', '.join(parts.missing)}."
        say(console, text, label="Warning", style="yellow")
    if parts.others:
        text = f"It does not list {quoted(case.name for case in parts.others)}; left out."
        say(console, text, label="Warning", style="yellow")
    return parts
