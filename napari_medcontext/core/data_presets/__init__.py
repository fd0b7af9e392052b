"""Presets of public data sets: classes, channels, settings and split, from ``presets.yaml``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from pydantic import Field

from napari_medcontext.core.config import Case
from napari_medcontext.core.errors import ScanError, SettingsError
from napari_medcontext.core.region_tables import Regions
from napari_medcontext.core.settings import Settings, validated
from napari_medcontext.core.training_settings import DataSettings


class DataPreset(Settings):
    """What is known of one public data set."""

    title: str
    channels: tuple[str, ...]
    classes: dict[int, str]
    data: dict[str, Any]
    regions: Regions = Field(default_factory=dict)
    split: str | None = None

    @property
    def changes(self) -> dict[str, dict[str, Any]]:
        """What ``RunConfig.updated`` takes."""
        return {"data": dict(self.data)}

    @property
    def changes_to_another(self) -> dict[str, dict[str, Any]]:
        """The same where another preset was taken before, of which nothing is to stay."""
        keys = {key for preset in data_presets().values() for key in preset.data}
        return {"data": DataSettings().model_dump(include=keys) | self.data}


@dataclass(frozen=True)
class Split:
    """Numbers or names of the scans to train on and of those to test on."""

    training: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Parted:
    """The scans of a study, parted by a published split.

    ``others`` are in neither list; ``missing`` are listed, and not there.
    """

    training: tuple[Case, ...]
    test: tuple[Case, ...]
    others: tuple[Case, ...]
    missing: tuple[str, ...]


@cache
def data_presets() -> Mapping[str, DataPreset]:
    """Return all presets by name."""
    table = yaml.safe_load((files(__name__) / "presets.yaml").read_text(encoding="utf-8"))
    return {name: validated(DataPreset, each, f"preset {name}") for name, each in table.items()}


def find_data_preset(name: str) -> DataPreset:
    """Return a preset by its name.

    Raises
    ------
    SettingsError
        For an unknown name, listing the known ones.
    """
    if name not in data_presets():
        raise SettingsError(
            f"There is no data preset “{name}”; choose one of {', '.join(data_presets())}."
        )
    return data_presets()[name]


def load_split(name: str) -> Split:
    """Read the two lists of a published split, one scan a line."""

    def lines(part: str) -> tuple[str, ...]:
        file = files(__name__) / "splits" / f"{name}-{part}.txt"
        return tuple(file.read_text(encoding="utf-8").split())

    return Split(lines("train"), lines("test"))


def parted(cases: Sequence[Case], split: Split) -> Parted:
    """Part scans by a split; “0005” names ``img0005``, and ``case_0005`` too.

    Raises
    ------
    ScanError
        If none of the scans to train on is there.
    """
    entries = (*split.training, *split.test)
    of = {case.name: entry for case in cases for entry in entries if _names(entry, case.name)}
    training = tuple(case for case in cases if of.get(case.name) in split.training)
    if not training:
        raise ScanError(
            f"The data preset trains on the scans {', '.join(split.training)}, and none of them is "
            f"here: there are {', '.join(case.name for case in cases)}. Name the scans by these "
            "numbers, or choose another preset."
        )
    return Parted(
        training,
        tuple(case for case in cases if of.get(case.name) in split.test),
        tuple(case for case in cases if case.name not in of),
        tuple(entry for entry in entries if entry not in of.values()),
    )


def _names(entry: str, name: str) -> bool:
    return re.search(rf"(?<!\d){re.escape(entry)}(?!\d)", name) is not None
