"""Events as lines of a file, so that whoever can see the folder can watch the run.

Plain fields stand in the line; an array lies in an ``.npy`` file that is written whole
before the line that names it, and never changed afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from napari_medcontext.core.events import (
    EVENTS,
    DisagreementFound,
    Event,
    PreviewReady,
    Reconstructed,
)
from napari_medcontext.core.io import atomic_path

KEPT_PREVIEWS = 2
"""Of each kind of event with arrays, the newest so many keep theirs."""
_SHARED_FIELDS = ("image", "reference", "affine")
"""Arrays that do not change during a piece of work and are written once."""
_NUMBERED = {
    PreviewReady: ("", "step"),
    Reconstructed: ("reconstructed-", "ask"),
    DisagreementFound: ("disagreement-", "ask"),
}
"""How the files of an event's arrays begin, and which field numbers them."""
_Group = tuple[str, int]
_FILE = re.compile(r"(?P<prefix>(?:[a-z]+-)?)(?P<number>\d+)-\w+\.npy")


class JournalWriter:
    """Append events to ``events.jsonl`` in a folder.

    Parameters
    ----------
    folder
        The folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._arrays = folder / "previews"
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / "events.jsonl").open("a", encoding="utf-8")
        if self._file.tell() and not _ends_with_newline(folder / "events.jsonl"):
            # A kill in the middle of a line must not spoil the next one.
            self._file.write("\n")
        self._written = _arrays_in(self._arrays)

    def write(self, event: Event) -> None:
        """Append one event; it is visible to readers when this returns."""
        record = {"event": type(event).__name__, **self._encoded(event)}
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        self._drop_old_arrays()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _encoded(self, event: Event) -> dict[str, Any]:
        values = {item.name: getattr(event, item.name) for item in fields(event)}
        group = _group_of(event)
        if group is not None:
            # Done again after a kill, a step's preview is the newest anew.
            self._written.pop(group, None)
            self._written[group] = []
        return {name: self._plain(group, name, value) for name, value in values.items()}

    def _plain(self, group: _Group | None, name: str, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return {"array": self._save(group, name, value)}
        if isinstance(value, Path):
            return str(value)
        return value

    def _save(self, group: _Group | None, name: str, array: np.ndarray[Any, Any]) -> str:
        if group is None or name in _SHARED_FIELDS:
            file = self._arrays / f"{name}.npy"
            if file.exists():
                return file.name
        else:
            file = self._arrays / f"{group[0]}{group[1]:06d}-{name}.npy"
            self._written[group].append(file)
        with atomic_path(file) as temporary:
            np.save(temporary, array)
        return file.name

    def _drop_old_arrays(self) -> None:
        for prefix in {prefix for prefix, _ in self._written}:
            of_kind = [group for group in self._written if group[0] == prefix]
            for group in of_kind[:-KEPT_PREVIEWS]:
                for file in self._written.pop(group):
                    # A file that somebody else holds open must not end the training.
                    with contextlib.suppress(OSError):
                        file.unlink(missing_ok=True)


class JournalReader:
    """Read events as they are appended, from the first or from the end on.

    Parameters
    ----------
    folder
        The folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offset = 0
        self._rest = b""

    def skip_to_end(self) -> None:
        """Forget what is written so far."""
        for _ in self._lines():
            pass

    def read(self) -> Iterator[Event]:
        """Yield the events that were appended since the last call.

        Those whose arrays are gone already, since newer ones took their place, are left out.
        """
        for line in self._lines():
            event = self._decoded(line)
            if event is not None:
                yield event

    def _lines(self) -> list[bytes]:
        try:
            with (self._folder / "events.jsonl").open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return []
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines

    def _decoded(self, line: bytes) -> Event | None:
        try:
            record = json.loads(line)
            kind = EVENTS[record.pop("event")]
            return kind(**{name: self._value(name, value) for name, value in record.items()})
        except (ValueError, KeyError, TypeError, OSError):
            # A line cut by a kill, an event of a newer version, or a preview already replaced.
            return None

    def _value(self, name: str, value: Any) -> Any:
        if isinstance(value, dict) and set(value) == {"array"}:
            return np.load(self._folder / "previews" / value["array"])
        if isinstance(value, dict):
            # In JSON every key is text; those of classes are numbers.
            numbers = all(key.isdigit() for key in value)
            return {int(key) if numbers else key: item for key, item in value.items()}
        if name in ("labels", "probabilities") and value is not None:
            return Path(value)
        return tuple(value) if isinstance(value, list) else value


def _group_of(event: Event) -> _Group | None:
    """Return what the files of an event's own arrays have in common."""
    if type(event) not in _NUMBERED:
        return None
    prefix, number = _NUMBERED[type(event)]
    return prefix, getattr(event, number)


def _arrays_in(folder: Path) -> dict[_Group, list[Path]]:
    """Return what an earlier attempt left of its events' arrays, the oldest first."""
    found: dict[_Group, list[Path]] = {}
    for file in folder.glob("*-*.npy"):
        match = _FILE.fullmatch(file.name)
        if match:
            found.setdefault((match["prefix"], int(match["number"])), []).append(file)
    return dict(sorted(found.items()))


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
