"""Events as lines of a file, so that whoever can see the folder can watch the run.

Plain fields stand in the line; an array lies in an ``.npy`` file that is written whole
before the line that names it, and never changed afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from napari_medcontext.core.events import EVENTS, Event, PreviewReady
from napari_medcontext.core.io import atomic_path

KEPT_PREVIEWS = 2
_SHARED_FIELDS = ("image", "reference", "affine")
"""Arrays of a preview that do not change during a run and are written once."""


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
        self._written = _previews_in(self._arrays)

    def write(self, event: Event) -> None:
        """Append one event; it is visible to readers when this returns."""
        record = {"event": type(event).__name__, **self._encoded(event)}
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        self._drop_old_previews()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _encoded(self, event: Event) -> dict[str, Any]:
        values = {item.name: getattr(event, item.name) for item in fields(event)}
        if isinstance(event, PreviewReady):
            # Done again after a kill, a step's preview is the newest anew.
            self._written.pop(event.step, None)
            self._written[event.step] = []
        return {name: self._plain(event, name, value) for name, value in values.items()}

    def _plain(self, event: Event, name: str, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return {"array": self._save(event, name, value)}
        if isinstance(value, Path):
            return str(value)
        return value

    def _save(self, event: Event, name: str, array: np.ndarray[Any, Any]) -> str:
        shared = name in _SHARED_FIELDS
        file = self._arrays / (f"{name}.npy" if shared else f"{event.step:06d}-{name}.npy")  # type: ignore[attr-defined]
        if not shared:
            self._written[event.step].append(file)  # type: ignore[attr-defined]
        if not shared or not file.exists():
            with atomic_path(file) as temporary:
                np.save(temporary, array)
        return file.name

    def _drop_old_previews(self) -> None:
        while len(self._written) > KEPT_PREVIEWS:
            for file in self._written.pop(next(iter(self._written))):
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

        Previews whose arrays are gone already, since newer ones took their place, are
        left out.
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
        if name in ("class_names", "dsc"):
            return {int(key): item for key, item in value.items()}
        if name in ("labels", "probabilities") and value is not None:
            return Path(value)
        return tuple(value) if isinstance(value, list) else value


def _previews_in(folder: Path) -> dict[int, list[Path]]:
    """Return what an earlier attempt left of its previews, by step, the oldest first."""
    found: dict[int, list[Path]] = {}
    for file in folder.glob("*-*.npy"):
        step = file.name.partition("-")[0]
        if step.isdigit():
            found.setdefault(int(step), []).append(file)
    return dict(sorted(found.items()))


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
