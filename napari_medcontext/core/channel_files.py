"""Files of one channel each, put together by their names: ``CASE_0000``, ``CASE_FLAIR``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_medcontext.core.config import Case
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.formats import scan_name

NUMBERED = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


def listed_channels(words: str | None) -> tuple[str, ...]:
    """Return the channels that a list names, separated by commas, in its order.

    Raises
    ------
    ScanError
        If one is named twice.
    """
    names = tuple(word.strip() for word in (words or "").split(",") if word.strip())
    if len({name.lower() for name in names}) < len(names):
        raise ScanError(f"A channel is named twice in “{words}”. Name each once.")
    return names


def study_channels(study: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the channels that a ``dataset.json`` names: “modality”, or nnU-Net's “channel_names”.

    In the order of their numbers; none where it names none.
    """
    named = study.get("channel_names") or study.get("modality") or {}
    return tuple(str(named[key]) for key in sorted(named, key=int))


def cases_of(files: Sequence[Path], channels: Sequence[str]) -> tuple[Case, ...]:
    """Return the scans that these files are, without labels.

    Of several channels, files belong together whose names differ in the channel's number or name
    at the end. Where no name says a channel, each file is a scan that holds all of them.

    Parameters
    ----------
    files
        In any order.
    channels
        What the channels are, in order; none or one where a file is a scan.

    Raises
    ------
    ScanError
        As ``grouped``.
    """
    if len(channels) < 2 or not any(channel_of(scan_name(file), channels) for file in files):
        return tuple(Case(name=scan_name(file), image=file.absolute()) for file in files)
    return grouped(files, channels)


def grouped(files: Sequence[Path], channels: Sequence[str]) -> tuple[Case, ...]:
    """Return the scans that files of one channel each make up, without labels.

    Raises
    ------
    ScanError
        If a file's name says no channel or one that there is not, two files are the same
        channel of a scan, or one is missing; names it.
    """
    groups: dict[str, dict[int, Path]] = {}
    for file in files:
        place = channel_of(scan_name(file), channels)
        if place is None:
            raise ScanError(
                f"{file} says no channel in its name. Files of one channel each are called "
                f"CASE_0000{f' or CASE_{channels[0]}' * bool(channels)}; rename it."
            )
        case, index = place
        if index >= len(channels):
            raise ScanError(
                f"{file} is of channel {index}, but there are {len(channels)}, from 0 on: "
                f"{', '.join(channels)}."
            )
        twin = groups.setdefault(case, {}).setdefault(index, file)
        if twin != file:
            raise ScanError(f"{twin} and {file} are the same channel. Remove one of them.")
    return tuple(_case(name, groups[name], channels) for name in sorted(groups))


def channel_of(stem: str, channels: Sequence[str]) -> tuple[str, int] | None:
    """Return which scan and channel a name is of, ``("case", 0)``, if it says so at its end."""
    if numbered := NUMBERED.fullmatch(stem):
        return numbered["case"], int(numbered["channel"])
    ends = [
        (len(name), index)
        for index, name in enumerate(channels)
        if stem.lower().endswith(f"_{name.lower()}")
    ]
    if not ends:
        return None
    length, index = max(ends)
    return stem[: -length - 1], index


def _case(name: str, files: Mapping[int, Path], channels: Sequence[str]) -> Case:
    missing = [index for index in range(len(channels)) if index not in files]
    if missing:
        index = missing[0]
        raise ScanError(
            f"“{name}” has no file of the channel {channels[index]}: neither {name}_{index:04d} "
            f"nor {name}_{channels[index]}, beside {files[min(files)]}."
        )
    first, *further = (files[index].absolute() for index in range(len(channels)))
    return Case(name=name, image=first, further=tuple(further))
