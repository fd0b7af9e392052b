"""Tables of regions as a user writes them: in words or in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.regions import checked_regions
from napari_medcontext.core.settings import (
    PositiveInt,
    Settings,
    load_settings_file,
    validated,
)

Regions = Annotated[dict[str, tuple[PositiveInt, ...]], AfterValidator(checked_regions)]
"""Name to the class ids that the region is made of, outermost first."""


class _Table(Settings):
    regions: Regions


def parsed_regions(words: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Read a table from words such as ``WT=1,2,4``, one a region, outermost first.

    Raises
    ------
    SettingsError
        Naming the word that is no region, or what is wrong with the table.
    """
    table: dict[str, tuple[int, ...]] = {}
    for word in words:
        name, ids = _parsed(word)
        if name in table:
            raise SettingsError(f"The region “{name}” is given twice. Leave one out.")
        table[name] = ids
    return validated(_Table, {"regions": table}, "the regions").regions


def load_regions(path: Path) -> dict[str, tuple[int, ...]]:
    """Read a table from a YAML or JSON file: one that holds it alone, or a run's own ``run.yaml``.

    Raises
    ------
    SettingsError
        If the file cannot be read, or holds no table that fits.
    """
    values = load_settings_file(path)
    table = validated(_Table, {"regions": values.get("regions", values)}, str(path)).regions
    if not table:
        raise SettingsError(
            f"{path} holds no regions. Write one a line, outermost first, for example WT: [1, 2, 4]"
        )
    return table


def _parsed(word: str) -> tuple[str, tuple[int, ...]]:
    name, _, ids = word.partition("=")
    try:
        return name.strip(), tuple(int(part) for part in ids.split(","))
    except ValueError as error:
        raise SettingsError(
            f"“{word}” is no region. Write its name and the ids of its classes, for example TC=1,4."
        ) from error
