"""Start ``medcontext`` and dask as commands, and kill what they start; for tests of cohorts."""

import csv
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import psutil

from napari_medcontext.core.prediction_plan import LEDGER


@contextmanager
def started(module: str, *words: object, **environment: str):
    """Start a module as a command, leader of a session; nothing of it outlives the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**psutil.Process().environ(), **environment},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            for one in [*psutil.Process(process.pid).children(recursive=True), process]:
                one.kill()
        process.wait()
        process.stdout.close()


def medcontext(*words: object, **environment: str):
    return started("napari_medcontext", *words, **environment)


def finished(process: subprocess.Popen, seconds: float = 120) -> str:
    """Return all that a command printed, when it has ended."""
    return process.communicate(timeout=seconds)[0]


def wait_for(condition: Callable[[], object], seconds: float = 60):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)
    return found


def workers_of(process: subprocess.Popen) -> list[psutil.Process]:
    """Return the processes that compute for a command, without those that only watch them."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def ledger(out: Path) -> list[dict[str, str]]:
    if not (out / LEDGER).is_file():
        return []
    with (out / LEDGER).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
