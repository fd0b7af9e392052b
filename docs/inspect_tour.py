"""A tour of the Inspect dock and of Compare's errors: each control, and a picture of each part.

Given a trained run, a scan with labels, and a prediction of it, it uses what a user would press, in
a real window:

    python docs/inspect_tour.py RUN SCAN LABELS PREDICTION OUT

With no screen, put ``xvfb-run -a -s "-screen 0 1920x1200x24"`` before it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
from napari.layers import Image
from qtpy.QtWidgets import QApplication, QWidget

from napari_medcontext.layer_geometry import layer_grid
from napari_medcontext.scan_metadata import is_made
from napari_medcontext.widgets.docks import open_dock

PLUGIN = "napari-medcontext"
WINDOW = (1680, 1120)
SECONDS = 900.0
SETTLING = 1.5
"""Seconds after which animations and late drawings are over."""


class Tour:
    """One window, one run and one scan.

    Parameters
    ----------
    viewer
        A real viewer with the scan and its labels open.
    out
        Folder for pictures and tables.
    settling
        Seconds in which the window comes to rest before it is looked at.
    """

    def __init__(self, viewer: napari.Viewer, out: Path, settling: float = SETTLING) -> None:
        self.viewer, self.out, self.settling = viewer, out, settling
        self.pictures: dict[str, Path] = {}
        out.mkdir(parents=True, exist_ok=True)
        viewer.window.resize(*WINDOW)

    def inspect(self, run: Path, scan: Any, labels: Any) -> Any:
        """Go through every section of the Inspect dock, and return the dock."""
        self.dock = open_dock(self.viewer, "Inspect")
        self.dock.inputs.run_path.setText(str(run))
        self.dock.inputs.choose(scan, labels)
        self._mask()
        self._timeline()
        self._reconstruction()
        self._probe()
        self._disagreement()
        return self.dock

    def compare(self, prediction: Any, reference: Any) -> Any:
        """Compare two layers, look at the errors in every way, and return the dock."""
        dock = open_dock(self.viewer, "Compare")
        self.viewer.dims.order = tuple(range(self.viewer.dims.ndim))
        for layer in self.viewer.layers:
            layer.visible = layer is reference or self._is_scan_of(reference, layer)
        dock.choose(prediction, reference)
        self._press(dock.compare_button, dock.compared)
        self._heard(dock.errors.shown, lambda: dock.table.selectRow(0))
        dock.errors.boxes_box.setChecked(True)
        self._picture("compare-class")
        dock.errors.boxes_box.setChecked(False)
        dock.errors.alone_box.setChecked(True)
        dock.errors.style.setCurrentText("outline")
        dock.errors.next_button.click()
        self._picture("compare-outline")
        dock.errors.alone_box.setChecked(False)
        dock.errors.style.setCurrentText("filled")
        self._press(dock.all_button, dock.errors.shown)
        dock.errors.worst_button.click()
        dock.save(self.out / "scores.csv")
        dock.save_picture(self._named("compare-figure"))
        self._picture("compare-all")
        return dock

    def _is_scan_of(self, reference: Any, layer: Any) -> bool:
        if not isinstance(layer, Image) or is_made(layer):
            return False
        return layer_grid(layer).turned_onto(layer_grid(reference)) is not None

    def _mask(self) -> None:
        section = self.dock.unfold("mask")
        form = section.form
        self._drawn(section, lambda: form.set_values({"scheme": "tube", "ratio": 0.4}))
        self._picture("mask-columns")
        self._drawn(section, lambda: form.set_values({"scheme": "blocks", "block_size_mm": 20.0}))
        self._drawn(section, section.draw_button.click)
        section.volume_button.click()
        self._picture("mask-blocks-3d")
        section.volume_button.click()
        self._drawn(
            section, lambda: form.set_values({"scheme": "structure", "block_size_mm": None})
        )
        self._picture("mask-structure")
        section.use_button.click()
        self._settle()
        open_dock(self.viewer, "Inspect")
        section.live_box.setChecked(False)
        self._fold("mask")

    def _timeline(self) -> None:
        section = self.dock.unfold("timeline")
        section.refresh()
        shown = self.dock.panels.panels.shown
        self._heard(shown, lambda: self._move(section.slider, section.slider.minimum()))
        self._picture("timeline-first")
        section.play_button.click()
        self._wait("the last step to play", lambda: not section.play_button.isChecked())
        self._settle()
        self._picture("timeline-last")
        section.back_button.click()
        section.forth_button.click()
        self._fold("timeline")

    def _reconstruction(self) -> None:
        section = self.dock.unfold("recon")
        self._press(section.bar.ask_button, section.bar.ended)
        self._settle()
        self._picture("reconstruction-mask")
        self._heard(section.bar.ended, section.draw_button.click)
        organ = min(section.organ_box.count() - 1, 2)
        self._heard(section.bar.ended, lambda: section.organ_box.setCurrentIndex(organ))
        self._heard(section.bar.ended, lambda: section.hiding_box.setCurrentIndex(1))
        self._heard(section.bar.ended, lambda: section.hiding_box.setCurrentIndex(0))
        self._settle()
        self._picture("reconstruction-organ")
        self.dock.panels.controls.save_picture(self._named("reconstruction-figure"))
        self._fold("recon")

    def _probe(self) -> None:
        section = self.dock.unfold("probe")
        section.draws_box.setValue(2)
        self._press(section.bar.ask_button, section.bar.ended)
        section.save(self.out / "probe.csv")
        self._picture("probe")
        self._fold("probe")

    def _disagreement(self) -> None:
        section = self.dock.unfold("disagree")
        section.draws_box.setValue(2)
        self._press(section.bar.ask_button, section.bar.ended)
        section.next_button.click()
        self._picture("disagreement")
        section.axis_box.setCurrentIndex(1)
        self._press(section.bar.ask_button, section.bar.ended)
        section.next_button.click()
        section.next_button.click()
        self._picture("disagreement-coronal")
        self._fold("disagree")

    def _fold(self, name: str) -> None:
        self.dock._folds[name].collapse(animate=False)

    def _drawn(self, section: Any, act: Callable[[], object]) -> None:
        before = section.mask
        act()
        self._wait("the mask to be drawn", lambda: section.mask is not before)
        self._settle()

    def _move(self, slider: Any, value: int) -> None:
        slider.setValue(slider.maximum())
        self._settle()
        slider.setValue(value)

    def _press(self, button: QWidget, done: Any) -> None:
        assert button.isEnabled(), f"{button.objectName()} cannot be pressed"
        self._heard(done, button.click)

    def _heard(self, signal: Any, act: Callable[[], object]) -> None:
        heard: list[bool] = []
        signal.connect(lambda *_: heard.append(True))
        act()
        self._wait("an answer", lambda: bool(heard))

    def _wait(self, what: str, happened: Callable[[], bool]) -> None:
        until = time.monotonic() + SECONDS
        while not happened():
            if time.monotonic() > until:
                raise TimeoutError(f"waited in vain for {what}")
            QApplication.processEvents()
            time.sleep(0.005)

    def _settle(self) -> None:
        until = time.monotonic() + self.settling
        self._wait("time to pass", lambda: time.monotonic() > until)

    def _named(self, name: str) -> Path:
        self.pictures[name] = self.out / f"{name}.png"
        return self.pictures[name]

    def _picture(self, name: str) -> None:
        self._settle()
        self.viewer.screenshot(str(self._named(name)), canvas_only=False, flash=False)


def main() -> None:
    """Take the tour and name what it left."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("run", "scan", "labels", "prediction", "out"):
        parser.add_argument(name, type=Path)
    text = "seconds in which the window comes to rest before a picture; default: %(default)s"
    parser.add_argument("--settling", type=float, default=SETTLING, help=text)
    options = parser.parse_args()
    viewer = napari.Viewer(title=PLUGIN)
    scan, labels, prediction = (
        viewer.open(path, plugin=PLUGIN)[0]
        for path in (options.scan, options.labels, options.prediction)
    )
    prediction.visible = False
    tour = Tour(viewer, options.out, options.settling)
    tour.inspect(options.run, scan, labels)
    tour.compare(prediction, labels)
    viewer.close()
    for path in tour.pictures.values():
        print(path)


if __name__ == "__main__":
    main()
