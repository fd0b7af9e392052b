"""Measure how long the package and its docks keep a user waiting, each in a fresh process.

    xvfb-run -a -s "-screen 0 1920x1200x24" python benchmarks/import_time.py

Importing the package, and reading the registries, may not import torch; neither may opening
a dock. A dock is timed from the call that opens it, in a napari window that is open already
with one image, to the moment when it is painted. Nothing is warm from another measurement
but the disk's cache.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

IMPORT_TARGET = 0.1
DOCK_TARGET = 0.5
DOCKS = ("Train", "Preview", "Predict", "Compare", "Inspect")
NAPARI = "napari itself, for scale"
TIMED = """
import json, sys, time
started = time.perf_counter()
{statement}
seconds = time.perf_counter() - started
print(json.dumps({{"seconds": seconds, "torch": "torch" in sys.modules}}))
"""
STATEMENTS = {
    "import napari_medcontext": "import napari_medcontext",
    "registries and defaults": (
        "from napari_medcontext.core.config import RunConfig\n"
        "from napari_medcontext.core.networks import NETWORKS\n"
        "assert list(NETWORKS) and RunConfig().model_dump()"
    ),
}
TARGETS = {
    "import napari_medcontext": IMPORT_TARGET,
    **{f"open {name}": DOCK_TARGET for name in DOCKS},
}
SETTLE_SECONDS = 2.0
PAINT_SECONDS = 60.0


def open_dock(name: str) -> dict[str, Any]:
    """Open napari, then one dock; return the seconds that each took."""
    started = time.perf_counter()
    import napari
    import numpy as np
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer()
    until_painted(viewer.window._qt_window)
    napari_seconds = time.perf_counter() - started
    viewer.add_image(np.random.default_rng(0).random((16, 64, 64), dtype=np.float32))
    end = time.perf_counter() + SETTLE_SECONDS
    while time.perf_counter() < end:
        QApplication.processEvents()
        time.sleep(0.005)
    started = time.perf_counter()
    _, widget = viewer.window.add_plugin_dock_widget("napari-medcontext", name)
    until_painted(widget)
    seconds = time.perf_counter() - started
    torch = "torch" in sys.modules
    viewer.close()
    return {"seconds": seconds, "torch": torch, "napari": napari_seconds}


def until_painted(widget: Any) -> None:
    """Handle events until something of the widget is painted and no more painting waits."""
    from qtpy.QtCore import QEvent, QObject
    from qtpy.QtWidgets import QApplication, QWidget

    class Painted(QObject):
        count = 0

        def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # Qt's own name
            self.count += event.type() == QEvent.Type.Paint
            return False

    painted, before = Painted(), -1
    parts = [widget, *widget.findChildren(QWidget)]
    for part in parts:
        part.installEventFilter(painted)
    end = time.perf_counter() + PAINT_SECONDS
    while not painted.count or painted.count != before:
        if time.perf_counter() > end:
            raise TimeoutError(f"{widget} was not painted in {PAINT_SECONDS:.0f} s.")
        before = painted.count
        QApplication.processEvents()
    painted.deleteLater()


def in_fresh_process(arguments: Sequence[str]) -> dict[str, Any]:
    """Run Python with these arguments, under preferences of its own, and read what it found."""
    with tempfile.TemporaryDirectory(prefix="medcontext-import-") as folder:
        own = {"XDG_CONFIG_HOME": folder, "NAPARI_CONFIG": str(Path(folder) / "napari.yaml")}
        done = subprocess.run(
            [sys.executable, *arguments],
            env=os.environ | own,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(repeats: int) -> dict[str, list[dict[str, Any]]]:
    """Return all measurements by name; the rounds alternate, so that noise is shared."""
    jobs: dict[str, Callable[[], dict[str, Any]]] = {
        name: partial(in_fresh_process, ["-c", TIMED.format(statement=statement)])
        for name, statement in STATEMENTS.items()
    }
    for dock in DOCKS:
        jobs[f"open {dock}"] = partial(in_fresh_process, [__file__, "--open", dock])
    found: dict[str, list[dict[str, Any]]] = {NAPARI: []}
    for _ in range(repeats):
        for name, job in jobs.items():
            result = job()
            found.setdefault(name, []).append(result)
            if "napari" in result:
                found[NAPARI].append({"seconds": result["napari"], "torch": False})
    return found


def verdict(name: str, results: Sequence[Mapping[str, Any]]) -> str:
    """Say whether the slowest of them meets the target, and whether torch stayed away."""
    if name == NAPARI:
        return ""
    told = ["MISS: torch was imported" if any(r["torch"] for r in results) else "no torch: pass"]
    if name in TARGETS:
        met = max(result["seconds"] for result in results) <= TARGETS[name]
        told.insert(0, f"target {TARGETS[name]:.1f} s: {'pass' if met else 'MISS'}")
    return "; ".join(told)


def report(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> bool:
    """Print the table; return whether every target was met."""
    print(f"{'':26s} {'n':>3s} {'median':>8s} {'max':>8s}  (seconds)")
    verdicts = {name: verdict(name, results) for name, results in found.items()}
    for name, results in found.items():
        times = [result["seconds"] for result in results]
        print(
            f"{name:26s} {len(times):3d} {median(times):8.3f} {max(times):8.3f}  {verdicts[name]}"
        )
    return not any("MISS" in text for text in verdicts.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="processes a measurement")
    parser.add_argument("--out", type=Path, help="JSON file for all numbers")
    parser.add_argument("--open", choices=DOCKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open:
        print(json.dumps(open_dock(options.open)))
        return 0
    found = measure(options.repeats)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0 if report(found) else 1


if __name__ == "__main__":
    sys.exit(main())
