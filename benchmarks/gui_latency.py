"""Measure how fluid napari stays while a network trains, and what the window costs the training.

    xvfb-run -a -s "-screen 0 1920x1200x24" python benchmarks/gui_latency.py --rounds 2

Each phase is a fresh process with a napari window (or a terminal's ``medcontext train``).
A timer of 10 ms in the GUI thread notes by how much each tick comes late, from the press of
Train on, while slices are scrolled ten times a second or nobody scrolls. The real docks are
open, their real button is pressed, and a preview of a whole scan arrives every 10 s. Steps a
second are read from the run's ``log.csv`` as it grows, in the same way for every phase.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from latency_window import PATIENCE_SECONDS, STUCK_MS, TICK_MS, Task, settings

from napari_medcontext.core.cases import decathlon_cases
from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.formats import scan_name
from napari_medcontext.core.phantom import write_study
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.settings import dump

P99_TARGET, GAP_TARGET, STEPS_TARGET = 1.5, 250.0, 0.9
SPACING = (1.25, 1.25, 1.25)
DATASET = Path(__file__).parents[2] / "shared/data/left_atrium/dataset.json"


@dataclass(frozen=True)
class Phase:
    """What trains, and what the user does meanwhile."""

    name: str
    runner: str
    scrolls: bool = False
    previews: bool = True


IDLE = Phase("idle, scrolled", "none", scrolls=True)
PROCESS = Phase("process, scrolled", "process", scrolls=True)
THREAD = Phase("thread, scrolled", "thread", scrolls=True)
PROCESS_STILL = Phase("process, still", "process")
THREAD_STILL = Phase("thread, still", "thread")
TERMINAL = Phase("terminal", "terminal")
TERMINAL_PLAIN = Phase("terminal, no previews", "terminal", previews=False)
PHASES = (IDLE, PROCESS, THREAD, PROCESS_STILL, TERMINAL, THREAD_STILL, TERMINAL_PLAIN)


class LogWatcher(threading.Thread):
    """Note when each step is written to a run's ``log.csv``."""

    def __init__(self, run: Path) -> None:
        super().__init__(daemon=True)
        self._log, self._done = run / "log.csv", threading.Event()
        self.moments: list[tuple[float, int]] = []

    def run(self) -> None:
        """Look every 50 ms, until stopped."""
        while not self._done.wait(0.05):
            steps = len(self._rows())
            if steps and (not self.moments or steps > self.moments[-1][1]):
                self.moments.append((time.monotonic(), steps))

    def stop(self) -> None:
        """Look no more."""
        self._done.set()
        self.join()

    def seconds(self) -> float:
        """Return how long ago the first step was written; 0 before that."""
        return time.monotonic() - self.moments[0][0] if self.moments else 0.0

    def steps(self, seconds: float) -> dict[str, float]:
        """Return the steps done in so many seconds from the first step on, which is not counted.

        ``step_window`` is the time up to the last of them, previews and saving included;
        ``step_time`` the duration of the steps themselves.
        """
        if not self.moments:
            return {}
        until = self.moments[0][0] + seconds
        moments = [(when, steps) for when, steps in self.moments if when <= until]
        (start, first), (end, last) = moments[0], moments[-1]
        return {
            "steps": last - first,
            # A run that did not come to another step took all the time for none.
            "step_window": end - start if last > first else seconds,
            "step_time": sum(float(row.rsplit(",", 1)[1]) for row in self._rows()[first:last]),
        }

    def _rows(self) -> list[str]:
        try:
            text = self._log.read_text(encoding="utf-8")
        except OSError:
            return []
        # A line that is being written is not counted yet.
        return text[: text.rfind("\n") + 1].splitlines()[1:]


@contextmanager
def watched(run: Path) -> Iterator[LogWatcher]:
    """Watch a run's log, and see to it that nobody trains there afterwards."""
    log = LogWatcher(run)
    log.start()
    try:
        yield log
    finally:
        log.stop()
        folder, end = RunFolder(run), time.monotonic() + 60
        while folder.is_alive() and time.monotonic() < end:
            folder.send("stop")
            time.sleep(0.2)


def measure(phase: Phase, scans: list[list[str]], options: argparse.Namespace) -> dict[str, Any]:
    """Do one phase in a fresh process, in a folder of its own."""
    spacing = SPACING if options.dataset.is_file() else None
    with tempfile.TemporaryDirectory(prefix="medcontext-latency-") as name:
        folder = Path(name)
        with watched(folder / "run") as log:
            if phase.runner == "terminal":
                config = settings(spacing, phase.previews)
                found = in_terminal(folder, config, scans, log, options.seconds)
            else:
                result = folder / "result.json"
                task = Task(
                    runner=phase.runner,
                    scrolls=phase.scrolls,
                    seconds=options.seconds,
                    scans=scans,
                    spacing=spacing,
                    run=str(folder / "run"),
                    result=str(result),
                    stacks=options.stacks,
                )
                found = in_window(folder, task)
            return found | log.steps(options.seconds)


def in_window(folder: Path, task: Task) -> dict[str, Any]:
    """Run a phase that has a window, with preferences of its own."""
    file = folder / "task.json"
    file.write_text(json.dumps(asdict(task)), encoding="utf-8")
    own = {
        "XDG_CONFIG_HOME": str(folder / "config"),
        "NAPARI_CONFIG": str(folder / "napari.yaml"),
    }
    subprocess.run(
        [sys.executable, str(Path(__file__).with_name("latency_window.py")), str(file)],
        env=os.environ | own,
        check=True,
        timeout=task.seconds + 2 * PATIENCE_SECONDS,
    )
    return dict(json.loads(Path(task.result).read_text(encoding="utf-8")))


def in_terminal(
    folder: Path, config: RunConfig, scans: list[list[str]], log: LogWatcher, seconds: float
) -> dict[str, Any]:
    """Train by ``medcontext train`` for so many seconds, then press Ctrl-C."""
    dataset, file = folder / "dataset.json", folder / "settings.yaml"
    pairs = [{"image": image, "label": labels} for image, labels in scans]
    dataset.write_text(json.dumps({"training": pairs}), encoding="utf-8")
    file.write_text(dump(config), encoding="utf-8")
    command = [sys.executable, "-m", "napari_medcontext", "train", "--dataset", str(dataset)]
    command += ["--validation", scan_name(Path(scans[-1][0]))]
    command += ["--config", str(file), "--out", str(folder / "run")]
    with (folder / "terminal.log").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        end = time.monotonic() + PATIENCE_SECONDS + seconds
        while process.poll() is None and log.seconds() < seconds and time.monotonic() < end:
            time.sleep(0.1)
        if process.poll() is not None or not log.moments:
            process.kill()
            raise RuntimeError((folder / "terminal.log").read_text(encoding="utf-8"))
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_SECONDS)
    return {}


def chosen_scans(dataset: Path, count: int, folder: Path) -> list[list[str]]:
    """Return files of scans and their labels; the last one is for previews."""
    if not dataset.is_file():
        print(f"{dataset} is not there: training on synthetic scans.", file=sys.stderr)
        dataset = write_study(folder, count)
    cases, _ = decathlon_cases(dataset)
    return [[str(case.image), str(case.labels)] for case in cases[:count]]


def pooled(phase: Phase, results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one phase's numbers over all rounds."""
    row: dict[str, Any] = {"phase": phase.name, "rounds": len(results)}
    gaps = [(*gap, result) for result in results for gap in result.get("gaps", [])]
    if gaps:
        late = [gap for _, gap, _, _ in gaps]
        row |= {
            "median_ms": float(np.median(late)),
            "p99_ms": float(np.percentile(late, 99)),
            "maximum_ms": max(late),
            "frames_per_second": sum(r["frames"] for r in results)
            / sum(r["seconds"] for r in results),
            "window_cores": sum(r["computed"] for r in results)
            / sum(r["seconds"] for r in results),
            "torch_in_napari": any(result["torch"] for result in results),
            "largest": [
                {"at": when, "ms": gap, "busy": busy, "near": near(when, gap, result["events"])}
                for when, gap, busy, result in sorted(gaps, key=lambda item: -item[1])[:5]
            ],
        }
    if steps := sum(result.get("steps", 0) for result in results):
        row["steps_per_second"] = steps / sum(r["step_window"] for r in results)
        row["steps_per_second_alone"] = steps / sum(r["step_time"] for r in results)
    return row


def near(when: float, gap: float, events: Sequence[tuple[float, str]]) -> str:
    """Name what happened in a gap, or shortly before it."""
    start = when - (gap + TICK_MS) / 1000
    during = [what for moment, what in events if start - 0.02 <= moment <= when + 0.02]
    if during:
        return ", ".join(dict.fromkeys(during))
    before = [(start - moment, what) for moment, what in events if moment < start]
    return "{:.1f} s after: {}".format(*min(before)) if before else ""


def verdicts(rows: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Hold the default runner against the targets."""

    def value(phase: Phase, key: str) -> float:
        return float(rows.get(phase.name, {}).get(key, float("nan")))

    def ratio(key: str, phase: Phase, other: Phase) -> float:
        return value(phase, key) / value(other, key)

    steps = ratio("steps_per_second", PROCESS_STILL, TERMINAL)
    alone = ratio("steps_per_second_alone", PROCESS_STILL, TERMINAL)
    values = [
        ("p99 gap, process to idle", ratio("p99_ms", PROCESS, IDLE), "<=", P99_TARGET),
        ("largest gap, process, scrolled (ms)", value(PROCESS, "maximum_ms"), "<=", GAP_TARGET),
        ("largest gap, process, still (ms)", value(PROCESS_STILL, "maximum_ms"), "<=", GAP_TARGET),
        ("steps/s, process still to terminal", steps, ">=", STEPS_TARGET),
        ("the same, of the steps alone", alone, ">=", STEPS_TARGET),
    ]
    return [
        {
            "what": what,
            "value": found,
            "target": f"{sign} {target:g}",
            # What was not measured is not met.
            "pass": bool(found <= target if sign == "<=" else found >= target),
        }
        for what, found, sign, target in values
    ]


def report(rows: Sequence[Mapping[str, Any]], judged: Sequence[Mapping[str, Any]]) -> None:
    """Print the table, the largest gaps and the verdicts."""
    heads = ("median", "p99", "max", "frames/s", "cores", "steps/s", "alone")
    keys = ("median_ms", "p99_ms", "maximum_ms", "frames_per_second", "window_cores")
    keys += ("steps_per_second", "steps_per_second_alone")
    print(f"\n{'gaps beyond 10 ms, ms':24s}" + "".join(f"{head:>9s}" for head in heads))
    for row in rows:
        cells = [f"{row[key]:9.2f}" if key in row else f"{'–':>9s}" for key in keys]
        print(f"{row['phase']:24s}" + "".join(cells))
    print("\nlargest gaps: seconds after the press, ms, of these ms at work, what was near")
    for row in rows:
        for gap in row.get("largest", []):
            numbers = f"{gap['at']:8.2f} {gap['ms']:7.0f} {gap['busy']:6.0f}"
            print(f"{row['phase']:24s}{numbers}  {gap['near']}")
    print()
    for one in judged:
        told = "pass" if one["pass"] else "MISS"
        print(f"{one['what']:38s}{one['value']:8.2f}  target {one['target']:8s} {told}")


def print_stacks(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Print what the GUI thread was at in its long gaps: outermost and innermost calls."""
    for name, results in found.items():
        for when, calls in (pair for result in results for pair in result.get("stacks", [])):
            shown = calls if len(calls) <= 9 else [*calls[:5], "…", *calls[-3:]]
            print(f"{name:24s}{when:8.2f}  {' > '.join(shown) or 'Qt itself'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", type=Path, default=DATASET, help="default: %(default)s")
    parser.add_argument("--scans", type=int, default=2, help="how many; the last is the preview's")
    parser.add_argument("--seconds", type=float, default=45.0, help="of training in each phase")
    parser.add_argument("--rounds", type=int, default=1, help="how often all phases are done")
    parser.add_argument("--out", type=Path, help="JSON file for all numbers")
    names = [phase.name for phase in PHASES]
    text = f"only these of: {'; '.join(names)}"
    parser.add_argument(
        "--phases", nargs="+", choices=names, default=names, metavar="NAME", help=text
    )
    parser.add_argument("--stacks", action="store_true", help=f"tell gaps over {STUCK_MS} ms")
    options = parser.parse_args()
    # A benchmark that is told to end leaves no training and no folder behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    phases = [phase for phase in PHASES if phase.name in options.phases]
    found: dict[str, list[dict[str, Any]]] = {phase.name: [] for phase in phases}
    with tempfile.TemporaryDirectory(prefix="medcontext-latency-") as folder:
        scans = chosen_scans(options.dataset.absolute(), options.scans, Path(folder))
        for number in range(options.rounds):
            # There and back, so that a machine that slows down does not favour one phase.
            for phase in phases[:: -1 if number % 2 else 1]:
                print(f"round {number + 1}: {phase.name}", file=sys.stderr, flush=True)
                found[phase.name].append(measure(phase, scans, options))
    if options.stacks:
        print_stacks(found)
    rows = {phase.name: pooled(phase, found[phase.name]) for phase in phases}
    judged = verdicts(rows)
    report(list(rows.values()), judged)
    if options.out:
        numbers = {"summary": list(rows.values()), "verdicts": judged, "phases": found}
        options.out.write_text(json.dumps(numbers) + "\n", encoding="utf-8")
    return 0 if all(one["pass"] for one in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
