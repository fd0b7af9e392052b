"""A folder in which work is done: how it is told what to do, and how it shows that it lives."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import psutil

from napari_medcontext.core.errors import RunError
from napari_medcontext.core.io import atomic_path
from napari_medcontext.core.settings import Settings

Command = Literal["run", "pause", "stop"]
STUDY_FILE = "study.yaml"
"""The plan of a comparison; a folder that has one is no run's."""
HEARTBEAT_SECONDS = 1.0
SILENT_SECONDS = 20.0
"""After so long without a heartbeat on a shared disk, work counts as dead."""
READ_TRIES, READ_AGAIN_SECONDS = 3, 0.05


class ProcessId(Settings):
    """A process as others may look for it: its id, and when and where it began."""

    pid: int
    started: float
    host: str

    @classmethod
    def own(cls) -> ProcessId:
        """Return that of this process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """Return that of a process on this machine that lives."""
        started = psutil.Process(pid).create_time()
        return cls(pid=pid, started=started, host=socket.gethostname())

    def is_here(self) -> bool:
        """Say whether it began on this machine, so that it can be looked for."""
        return self.host == socket.gethostname()

    def is_alive(self) -> bool:
        """Say whether it lives, and is no later namesake; only where it is on this machine."""
        try:
            process = psutil.Process(self.pid)
            alive = process.status() != psutil.STATUS_ZOMBIE
            return alive and abs(process.create_time() - self.started) < 1.0
        except psutil.Error:
            return False


class WorkFolder:
    """A folder of one piece of work, such as a training or a prediction.

    Whoever does the work writes ``events.jsonl``, ``heartbeat.json`` and ``output.log``;
    whoever watches writes ``control``. Nothing else passes between the two, so a watcher
    may come, go and come back, on any machine that sees the folder.

    Parameters
    ----------
    path
        The folder; made when first written to.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser().absolute()

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    @property
    def log(self) -> Path:
        """Everything that the work printed, tracebacks included."""
        return self.path / "output.log"

    def note(self, text: str) -> None:
        """Add something to the log, with the time."""
        # A disk that is full or gone cannot take the log; events still tell the user.
        with suppress(OSError), self.log.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{text}\n")

    def send(self, command: Command) -> None:
        """Tell the work to run, pause or stop; it obeys after its current step."""
        with atomic_path(self.path / "control") as temporary:
            temporary.write_text(command, encoding="utf-8")

    def command(self) -> Command:
        """Return the last command sent; ``"run"`` where there is none."""
        try:
            text = (self.path / "control").read_text(encoding="utf-8").strip()
        except OSError:
            return "run"
        return text if text in ("pause", "stop") else "run"  # type: ignore[return-value]

    def is_alive(self) -> bool:
        """Say whether somebody is at work here, on this machine or another."""
        beat = self._read_beat()
        if beat is None:
            return False
        last = beat.pop("time")
        process = ProcessId(**beat)
        if process.is_here():
            return process.is_alive()
        return bool(time.time() - last < SILENT_SECONDS)

    def silent_seconds(self) -> float:
        """Return how long ago the last heartbeat was; 0 before the first."""
        try:
            return max(0.0, time.time() - (self.path / "heartbeat.json").stat().st_mtime)
        except OSError:
            return 0.0

    def require_idle(self) -> None:
        """Refuse a folder in which somebody is at work.

        Raises
        ------
        RunError
            Naming the folder.
        """
        if self.is_alive():
            raise RunError(
                f"{self.path} is in use by another training, prediction or download. Wait for "
                "it, stop it, or choose another folder."
            )

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Do the work inside: refuse if somebody is at it, and show a heartbeat.

        Raises
        ------
        RunError
            If the folder is being worked in already.
        """
        self.require_idle()
        done = threading.Event()
        self._beat()
        heart = threading.Thread(target=self._keep_beating, args=(done,), daemon=True)
        heart.start()
        try:
            yield
        finally:
            done.set()
            heart.join()
            (self.path / "heartbeat.json").unlink(missing_ok=True)

    def _read_beat(self) -> dict[str, Any] | None:
        """Return the last heartbeat; None where there is none, or none that can be read."""
        for _ in range(READ_TRIES):
            try:
                beat = json.loads((self.path / "heartbeat.json").read_text(encoding="utf-8"))
            except (FileNotFoundError, NotADirectoryError):
                return None
            except (OSError, ValueError):
                # A shared disk, or a system that locks files being replaced, fails now and then.
                time.sleep(READ_AGAIN_SECONDS)
            else:
                return dict(beat)
        return None

    def _keep_beating(self, done: threading.Event) -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            try:
                self._beat()
            except Exception:  # a full disk must not end the work
                continue

    def _beat(self) -> None:
        beat = {**ProcessId.own().model_dump(), "time": time.time()}
        with atomic_path(self.path / "heartbeat.json") as temporary:
            temporary.write_text(json.dumps(beat), encoding="utf-8")
