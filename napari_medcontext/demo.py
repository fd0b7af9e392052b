"""The main job in a real window: load the sample study, train, watch, predict, compare."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import chain, count
from pathlib import Path
from typing import Any

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.errors import MedContextError
from napari_medcontext.widgets.docks import open_dock
from napari_medcontext.widgets.panel_layers import best_slice

PATIENCE_SECONDS = 1200.0
LEFTOVERS = re.compile(r"run(-\d+)?|[1-5]-[a-z0-9-]+\.png|metrics\.csv")
"""Names of what a demo leaves in its folder."""
WINDOW = (1880, 1160)
SCREEN = "-screen 0 1920x1200x24"


def run_demo(out: Path, steps: int, *, unattended: bool) -> int:
    """Run the demo and return an exit code.

    Parameters
    ----------
    out
        Folder for pictures, the metrics table and the run; replaced if it is there.
    steps
        Training steps.
    unattended
        Press the buttons too, take pictures, and close.
    """
    if not unattended and sys.platform == "linux" and not _has_screen():
        return _under_xvfb(out, steps)
    import napari

    viewer = napari.Viewer(title="napari-medcontext")
    tour = Tour(viewer, out, steps)
    if unattended:
        tour.make_room()
    tour.open_sample()
    if not unattended:
        napari.run()
        return 0
    tour.do_all()
    viewer.close()
    print("\n".join(["The demo is done. It left:", *map(str, tour.results())]))
    return 0


class Tour:
    """Steps through the main job by pressing the docks' own buttons.

    Parameters
    ----------
    viewer
        A napari viewer with a window.
    out
        Folder for pictures, the metrics table and the run.
    steps
        Training steps.
    """

    def __init__(self, viewer: Any, out: Path, steps: int) -> None:
        self._viewer, self._steps = viewer, steps
        self.out = out.absolute()
        self._pictures: list[Path] = []

    def open_sample(self) -> None:
        """Open the sample study and the Train dock, ready to press."""
        self._viewer.open_sample("napari-medcontext", "abdomens")
        self.train_dock = open_dock(self._viewer, "Train")
        self.train_dock.remembers = False
        images = [layer for layer in self._viewer.layers if layer._type_string == "image"]
        labels = [layer for layer in self._viewer.layers if layer._type_string == "labels"]
        roles = ["training"] * 4 + ["preview", "unused"]
        for image, drawn, role in zip(images, labels, roles, strict=False):
            self.train_dock.scans.choose(image, drawn, role)
        self.test_image, self.test_labels = images[4], labels[4]
        self._run = _free_run(self.out)
        self.train_dock.run_path.setText(str(self._run))
        changes = {
            "data": {"patch_size": (64, 64, 32), "intensity": "window"},
            "training": {"steps": self._steps},
        }
        self.train_dock.set_config(RunConfig().updated(changes))

    def do_all(self) -> None:
        """Train, watch, predict and compare, with a picture of each."""
        self._viewer.window.resize(*WINDOW)
        self._settle(1.0)
        self._picture("1-loaded")
        preview = open_dock(self._viewer, "Preview")
        self._press_and_wait(self.train_dock.train_button, self.train_dock.finished)
        self._wait(lambda: preview.panels.shown_image is not None)
        self._settle(2.0)
        self._picture("2-trained")
        preview.volumes_button.click()
        self._settle(4.0)
        self._picture("3-preview-3d")
        preview.slices_button.click()
        self.predict()
        self.compare()

    def make_room(self) -> None:
        """Remove what an earlier demo left, and nothing else.

        Raises
        ------
        MedContextError
            If the folder holds anything else.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        foreign = [path.name for path in self.out.iterdir() if not LEFTOVERS.fullmatch(path.name)]
        if foreign:
            raise MedContextError(
                f"{self.out} holds files that no demo left ({', '.join(sorted(foreign)[:3])}). "
                "Name an empty folder with --out."
            )
        for path in self.out.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def predict(self) -> None:
        """Predict the scan that was not trained on, and look at it alone."""
        for layer in self._viewer.layers:
            layer.visible = layer is self.test_image
        self._viewer.dims.set_point(0, best_slice([self.test_labels]))
        dock = open_dock(self._viewer, "Predict")
        dock.tick([self.test_image])
        self._press_and_wait(dock.predict_button, dock.finished)
        self._settle(1.0)
        self._picture("4-predicted")

    def compare(self) -> None:
        """Compare the prediction with the reference and write the table."""
        dock = open_dock(self._viewer, "Compare")
        self.prediction = next(
            layer
            for layer in self._viewer.layers
            if layer.name.startswith(f"{self.test_image.name} ·")
        )
        dock.choose(self.prediction, self.test_labels)
        self._press_and_wait(dock.findChild(object, "compare_button"), dock.compared)
        dock.save(self.out / "metrics.csv")
        self._settle(1.0)
        self._picture("5-compared")
        self._press_and_wait(dock.all_button, dock.errors.shown)
        self._settle(1.0)
        self._picture("6-errors")

    def results(self) -> list[Path]:
        """Return what was left, in order."""
        return [*self._pictures, self.out / "metrics.csv", self._run]

    def _picture(self, name: str) -> None:
        path = self.out / f"{name}.png"
        self._viewer.screenshot(str(path), canvas_only=False, flash=False)
        self._pictures.append(path)

    def _press_and_wait(self, button: Any, done: Any) -> None:
        heard: list[bool] = []
        done.connect(lambda *_: heard.append(True))
        button.click()
        self._wait(lambda: bool(heard))

    def _settle(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self._wait(lambda: time.monotonic() > end)

    def _wait(self, happened: Callable[[], bool]) -> None:
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + PATIENCE_SECONDS
        while not happened():
            if time.monotonic() > end:
                raise TimeoutError("The demo waited in vain; see output.log in the run folder.")
            QApplication.processEvents()
            time.sleep(0.005)


def _free_run(folder: Path) -> Path:
    """Return a folder for a run beside those of earlier demos."""
    names = chain(["run"], (f"run-{number}" for number in count(2)))
    return next(folder / name for name in names if not (folder / name).exists())


def _has_screen() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _under_xvfb(out: Path, steps: int) -> int:
    xvfb = shutil.which("xvfb-run")
    if xvfb is None:
        print("There is no screen, and no xvfb-run to stand in for one: install xvfb.")
        return 1
    command = [xvfb, "-a", "-s", SCREEN, sys.executable, "-m", "napari_medcontext", "demo"]
    arguments = ["--out", str(out), "--steps", str(steps), "--unattended"]
    # X11 is what Xvfb offers, and Mesa draws where there is no graphics card.
    drawn = {"QT_QPA_PLATFORM": "xcb", "LIBGL_ALWAYS_SOFTWARE": "1"}
    return subprocess.call([*command, *arguments], env=os.environ | drawn)
