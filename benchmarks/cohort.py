"""Predict a cohort by two dask workers, kill one of them, and watch everybody's memory.

    python benchmarks/cohort.py --out docs/evidence/cohort

Makes 190 small good scans and 10 broken ones, each in another way, starts a dask scheduler and two
workers (each under a nanny, which starts it again if it dies), and runs ``medcontext predict
--scheduler``. When a third is done, one worker is killed with SIGKILL. Writes ``report.md``,
``memory.csv`` (MiB of resident memory of each process, over time) and ``memory.png``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
from cohort_report import Kill, Sample, write_report
from cohort_scans import BROKEN, make_scans, tiny_run
from score_rows import finished_rows

from napari_medcontext.core.prediction_plan import LEDGER

WORKERS = 2
POLL_SECONDS = 0.5
START_SECONDS = 60.0
DASK = "distributed.cli.dask_"
UNPROFILED = {"DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False"}
"""As `medcontext` does with workers that it starts itself; else they note down all they do."""


@contextmanager
def started(module: str, *words: object, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a module as a process, its words in a file; it ends with the block."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, words)],
            stdout=file,
            stderr=file,
            env={**os.environ, **UNPROFILED},
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(START_SECONDS)


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, dict[str, psutil.Process]]]:
    """Start a scheduler and workers; give the address, and the processes by their names."""
    known = folder / "scheduler.json"
    local = ("--host", "127.0.0.1", "--no-dashboard")
    words = (*local, "--port", 0, "--scheduler-file", known)
    threads = max(1, (os.cpu_count() or 1) // WORKERS)
    worker = (*local, "--scheduler-file", known, "--nthreads", threads, "--nworkers", WORKERS)
    log = folder / "dask.log"
    with started(f"{DASK}scheduler", *words, log=log) as scheduler:
        until = time.monotonic() + START_SECONDS
        while not known.is_file() and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        with started(f"{DASK}worker", *worker, log=log) as nanny:
            address = json.loads(known.read_text(encoding="utf-8"))["address"]
            processes = {"scheduler": scheduler, "nannies": nanny}
            yield address, {name: psutil.Process(one.pid) for name, one in processes.items()}


def named_workers(nanny: psutil.Process, names: dict[int, str]) -> dict[str, psutil.Process]:
    """Return the processes that compute, each by the name that it got when it was first seen."""
    found = {}
    for child in nanny.children():
        try:
            computes = "spawn_main" in " ".join(child.cmdline())
        except psutil.Error:  # it has just ended
            continue
        if computes:
            name = names.setdefault(child.pid, f"worker {len(names) + 1}")
            found[name] = child
    return found


def sampled(processes: Mapping[str, psutil.Process], seconds: float) -> list[Sample]:
    """Return how much memory each process holds, in MiB; of those that still live."""
    samples = []
    for name, process in processes.items():
        try:
            samples.append(Sample(seconds, name, process.memory_info().rss / 2**20))
        except psutil.Error:
            continue
    return samples


def watch(
    command: psutil.Popen, others: Mapping[str, psutil.Process], out: Path, kill_after: int
) -> tuple[list[Sample], Kill, tuple[float, float]]:
    """Sample memory until the command ends, killing a worker on the way.

    Returns the samples, what was killed, and when the first and the last case were done.
    """
    names: dict[int, str] = {}
    samples: list[Sample] = []
    kill: Kill | None = None
    began, counts = time.monotonic(), {}
    while command.poll() is None:
        seconds = time.monotonic() - began
        workers = named_workers(others["nannies"], names)
        samples += sampled({"client": command, **others, **workers}, seconds)
        done = len(finished_rows(out / LEDGER))
        counts[seconds] = done
        if kill is None and done >= kill_after and workers:
            name, victim = next(iter(workers.items()))
            os.kill(victim.pid, signal.SIGKILL)
            kill = Kill(name, seconds, done)
        time.sleep(POLL_SECONDS)
    assert kill is not None, "the command ended before a worker was to be killed"
    first = min(seconds for seconds, done in counts.items() if done)
    return samples, kill, (first, max(counts))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scans", type=int, default=200, help="the broken ones among them")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    good = options.scans - len(BROKEN)
    with tempfile.TemporaryDirectory(prefix="medcontext-cohort-") as name:
        folder = Path(name)
        make_scans(folder / "scans", good)
        run, out = tiny_run(folder / "training"), folder / "predicted"
        with cluster(folder) as (address, processes):
            words = ["predict", run, folder / "scans", "--out", out, "--scheduler", address]
            command = psutil.Popen(
                [sys.executable, "-m", "napari_medcontext", *map(str, words)],
                stdout=subprocess.DEVNULL,
                stderr=(folder / "told.txt").open("wb"),
            )
            seen = watch(command, processes, out, options.scans // 3)
        told = (folder / "told.txt").read_text(encoding="utf-8")
        print(write_report(options.out, folder / "scans", out, seen, (command.returncode, told)))


if __name__ == "__main__":
    main()
