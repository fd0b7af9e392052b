"""Start a folder's work in a thread or in a child process, and watch it; the same events from both.

Neither needs Qt: ``events()`` blocks, and is iterated by a thread that relays to the window.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from napari_medcontext.core.events import Event, RunFinished, Warned
from napari_medcontext.core.folder import Command, WorkFolder
from napari_medcontext.core.journal import JournalReader
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.study.plan import StudyFolder

POLL_SECONDS = 0.25
QUIET_SECONDS = 30.0
"""After so long without a heartbeat the user is told, once."""


class Runner(Protocol):
    """One piece of work, started and watched."""

    folder: WorkFolder

    def start(self) -> None:
        """Begin; returns at once."""

    def events(self) -> Iterator[Event]:
        """Yield events until the work has ended or is let go; the last is ``RunFinished``."""

    def pause(self) -> None:
        """Ask the work to wait after its current step."""

    def resume(self) -> None:
        """Let the work go on."""

    def stop(self) -> None:
        """Ask the work to save and end."""

    def let_go(self) -> None:
        """Stop watching; work in another process goes on."""


class _FolderRunner:
    """What both runners share: commands pass through the folder."""

    def __init__(self, folder: WorkFolder) -> None:
        self.folder = folder
        self._first: Command = "run"
        self._lock = threading.Lock()

    def pause(self) -> None:
        self._send("pause")

    def resume(self) -> None:
        self._send("run")

    def stop(self) -> None:
        self._send("stop")

    def _send(self, command: Command) -> None:
        with self._lock:
            # Remembered too: before the start, from which the work takes its first command.
            self._first = command
            self.folder.send(command)

    def _send_first(self) -> None:
        """Take the place of an earlier attempt's command, but not of one given to this runner."""
        with self._lock:
            self.folder.send(self._first)


class ThreadRunner(_FolderRunner):
    """The work in the very thread that iterates ``events()``."""

    def start(self) -> None:
        """Forget an earlier attempt's commands; the work begins when its events are asked for."""
        self._send_first()

    def let_go(self) -> None:
        """Stop the work: a thread cannot outlive its program."""
        self.stop()

    def events(self) -> Iterator[Event]:
        """Do the work and yield its events."""
        from napari_medcontext.core.jobs import execute

        yield from execute(self.folder.path)


class FolderWatcher(_FolderRunner):
    """Work that somebody else does, here or on another machine, watched through its folder."""

    def __init__(self, folder: WorkFolder) -> None:
        super().__init__(folder)
        self._reader = JournalReader(folder.path)
        self._let_go = False

    def start(self) -> None:
        """Nothing to do: the work runs already, or has ended."""

    def let_go(self) -> None:
        """Stop watching; the work goes on."""
        self._let_go = True

    def events(self) -> Iterator[Event]:
        """Yield what the folder records, until the work ends."""
        warned, last, began = False, None, time.monotonic()
        while not self._let_go:
            # Asked before reading: what a dying process wrote last is read still.
            alive = self._is_alive()
            for event in self._reader.read():
                # Kept back: more follows where a run was stopped and gone on with.
                last = event if isinstance(event, RunFinished) else None
                if last is None:
                    yield event
            if not alive:
                break
            # An earlier attempt's last heartbeat, hours old perhaps, tells nothing of this one.
            silent = min(self.folder.silent_seconds(), time.monotonic() - began)
            if silent > QUIET_SECONDS and not warned and last is None:
                warned = True
                yield Warned(f"No sign of life from {self.folder.path} for half a minute.")
            time.sleep(POLL_SECONDS)
        if not self._let_go:
            yield last or self._died()

    def _is_alive(self) -> bool:
        return self.folder.is_alive()

    def _died(self) -> RunFinished:
        folder, advice = self.folder.path, "try again"
        if RunFolder(folder).exists():
            advice = "press Resume to go on from there"
        elif StudyFolder(folder).exists():
            advice = "the comparison can go on from there"
        return RunFinished(
            "failed",
            message=f"The work in {folder} ended without a word"
            f"{self._exit_status()}: it was killed, or the machine ran out of memory. What was "
            f"saved is kept; {advice}.",
            detail=str(self.folder.log),
        )

    def _exit_status(self) -> str:
        return ""


class ProcessRunner(FolderWatcher):
    """The work as a child process at low priority, which outlives this program if let go."""

    def __init__(self, folder: WorkFolder) -> None:
        super().__init__(folder)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the child by module name; the user's own script is not run again."""
        # Earlier attempts in this folder are told already.
        self._reader.skip_to_end()
        self._send_first()
        with self.folder.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "napari_medcontext.worker", str(self.folder.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **_detached(),
            )

    @property
    def pid(self) -> int:
        """The child's process id."""
        assert self._process is not None
        return self._process.pid

    def _is_alive(self) -> bool:
        assert self._process is not None
        return self._process.poll() is None

    def _exit_status(self) -> str:
        assert self._process is not None
        return f" (exit status {self._process.returncode})"


def _detached() -> Mapping[str, object]:
    """Return how to start a child that Ctrl-C in our terminal does not reach."""
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.BELOW_NORMAL_PRIORITY_CLASS
        return {"creationflags": flags}
    return {"start_new_session": True}


RUNNERS = {"process": ProcessRunner, "thread": ThreadRunner}


def runner_for(kind: str, folder: Path | WorkFolder) -> Runner:
    """Return a runner by name: ``"process"`` (the default in the window) or ``"thread"``."""
    work = folder if isinstance(folder, WorkFolder) else WorkFolder(folder)
    return RUNNERS[kind](work)
