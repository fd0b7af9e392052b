"""How fluid four linked panels of a large scan are: slices, panels, and what they show.

Shows a scan made of two label maps of many classes in the panels that the Preview and Inspect docks
have, then moves through slices, shows other labels in all panels, as the slider through time and a
new draw do, changes how much the labels cover, and turns from slices to volumes and back. Times run
from the press to the first drawn picture after it. With no screen:

    xvfb-run -a -s "-screen 0 1920x1200x24" python benchmarks/panels_window.py LABELS OTHER_LABELS
"""

from __future__ import annotations

import argparse
from pathlib import Path

import napari
import numpy as np
from stopwatch import Stopwatch, print_table, waited

from napari_medcontext.core.io import read_volume
from napari_medcontext.core.volume import Volume
from napari_medcontext.widgets.panel_layers import Panel
from napari_medcontext.widgets.panels import PanelViewer

TITLES = ("reference", "masked input", "student", "teacher")
ROUNDS, SLICES = 8, 40


def panels_of(scan: np.ndarray, hidden: np.ndarray, maps: list[Volume]) -> list[Panel]:
    """Return what four panels show: the scan, or what is left of it, under labels each."""
    affine, names = maps[0].affine, maps[0].class_names
    images = (scan, hidden, scan, scan)
    return [
        Panel(title, image, labels.array, affine, names)
        for title, image, labels in zip(TITLES, images, maps, strict=True)
    ]


def main() -> None:
    """Print a table of medians and worst times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labels", type=Path)
    parser.add_argument("other", type=Path)
    options = parser.parse_args()
    first, second = (read_volume(path) for path in (options.labels, options.other))
    noise = np.random.default_rng(0).integers(-40, 40, first.shape, np.int16)
    scan = (20 * first.array.astype(np.int16) + noise).astype(np.float32)
    hidden = scan.copy()
    hidden[::2] = 0
    contents = [
        panels_of(scan, hidden, [first, one, other, one])
        for one, other in ((first, second), (second, first))
    ]
    viewer = napari.Viewer(title="panels")
    viewer.window.resize(1560, 1100)
    panels = PanelViewer(TITLES)
    viewer.window.add_dock_widget(panels, name="Preview")
    ended: list[bool] = []
    panels.shown.connect(lambda: ended.append(True))
    panels.show_panels(contents[0])
    waited(lambda: bool(ended))
    watch = Stopwatch(panels.canvas())

    def show(number: int) -> float:
        ended.clear()
        return watch.milliseconds(lambda: panels.show_panels(contents[number]), lambda: bool(ended))

    dims = panels.model.dims
    middle = dims.nsteps[0] // 4
    slices = [
        watch.milliseconds(lambda at=at: dims.set_current_step(0, at))
        for at in range(middle, middle + SLICES)
    ]
    others = [show(number % 2) for number in range(1, ROUNDS + 1)]
    covers = [
        watch.milliseconds(lambda cover=cover: panels.set_labels_opacity(cover))
        for cover in np.linspace(0.2, 0.9, ROUNDS)
    ]
    volumes = [watch.milliseconds(lambda on=on: panels.show_3d(on)) for on in (True, False) * 2]
    rows = {"another slice": slices, "other labels, 4 panels": others, "labels' cover": covers}
    print(f"{TITLES} of {first.shape}, {len(np.unique(first.array)) - 1} classes")
    print_table(rows | {"2D to 3D": volumes[::2], "3D to 2D": volumes[1::2]})
    viewer.close()


if __name__ == "__main__":
    main()
