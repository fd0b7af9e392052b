"""The other processes of a training on one machine: started by the first, and ended with it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from napari_medcontext.core.errors import TrainingError
from napari_medcontext.core.folder import ProcessId, WorkFolder

READY = b"ready\n"
POLL_SECONDS = 0.5
GRACE_SECONDS = 20.0
"""So long may a process take to end by itself when another is gone."""


class Others:
    """The processes that the first one has started.

    Parameters
    ----------
    folder
        The run; what they print goes into its log.
    count
        How many.
    """

    def __init__(self, folder: WorkFolder, count: int) -> None:
        self._folder = folder
        self._processes = [self._start(rank, count + 1) for rank in range(1, count + 1)]
        self._over = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def wait_until_ready(self) -> None:
        """Wait until all have loaded what they need.

        Raises
        ------
        TrainingError
            If one cannot start.
        """
        for process in self._processes:
            assert process.stdout is not None
            if process.stdout.readline() != READY:
                process.wait()
                raise TrainingError(
                    f"{self.who_ended()} before the training began. What it said last is in "
                    f"{self._folder.log}."
                )

    def who_ended(self, within: float = 0.0) -> str:
        """Say which of them have ended, or will in so many seconds; an empty text if none."""
        until = time.monotonic() + within
        while within and all(process.poll() is None for process in self._processes):
            if time.monotonic() > until:
                break
            time.sleep(POLL_SECONDS / 10)
        ended = [
            f"process {rank} of {len(self._processes) + 1} ended (exit status {process.returncode})"
            for rank, process in enumerate(self._processes, start=2)
            if process.poll() is not None
        ]
        return " and ".join(ended).capitalize()

    def close(self, patience: float) -> None:
        """Let them end, for so many seconds, then end them."""
        self._over.set()
        until = time.monotonic() + patience
        for process in self._processes:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def _start(self, rank: int, size: int) -> subprocess.Popen[bytes]:
        module = "napari_medcontext.core.parallel.follow"
        words = [str(self._folder.path), str(rank), str(size)]
        with self._folder.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", module, *words],
                env={**os.environ, "LOCAL_RANK": str(rank)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def _watch(self) -> None:
        """End this process where it waits for one that is gone, as GPUs do without an end."""
        while not self.who_ended():
            if self._over.wait(POLL_SECONDS):
                return
        if not self._over.wait(GRACE_SECONDS):
            text = f"{self.who_ended()}, and the training cannot go on. What was saved is kept."
            self._folder.note(text)
            print(text, file=sys.stderr, flush=True)
            for process in self._processes:
                process.kill()
            os._exit(1)


@contextmanager
def started(folder: WorkFolder, size: int) -> Iterator[Others]:
    """Start the others of so many processes; they have ended when this is over."""
    with addressed():
        others = Others(folder, size - 1)
        patience = 0.0
        try:
            others.wait_until_ready()
            yield others
            patience = GRACE_SECONDS
        finally:
            others.close(patience)


@contextmanager
def addressed() -> Iterator[None]:
    """Say, in this process's variables, where the others find it, and that it is the first."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {"LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    before: Mapping[str, str | None] = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def end_with(process: ProcessId) -> None:
    """End this process some seconds after another, whatever it waits for then."""

    def watch() -> None:
        while process.is_alive():
            time.sleep(POLL_SECONDS)
        time.sleep(GRACE_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
