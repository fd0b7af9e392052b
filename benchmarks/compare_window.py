"""How long a large comparison makes its user wait: classes, slices and outlines, in a window.

Opens two label maps in napari with the Compare dock, compares them, then chooses each class in
turn, moves through slices, and switches between filled and outlined errors. Times run from the
press to the first drawn picture after it. With no screen:

    xvfb-run -a -s "-screen 0 1920x1200x24" python benchmarks/compare_window.py PREDICTION REFERENCE
"""

from __future__ import annotations

import argparse
from pathlib import Path

import napari
from stopwatch import Stopwatch, print_table

from napari_medcontext.widgets.compare import CompareDock

PLUGIN = "napari-medcontext"
SLICES = 40


def main() -> None:
    """Print a table of medians and worst times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prediction", type=Path)
    parser.add_argument("reference", type=Path)
    options = parser.parse_args()
    viewer = napari.Viewer(title=PLUGIN)
    viewer.window.resize(1560, 1100)
    layers = [
        viewer.open(path, plugin=PLUGIN)[0] for path in (options.prediction, options.reference)
    ]
    dock = CompareDock(viewer)
    viewer.window.add_dock_widget(dock, name="Compare")
    dock.choose(*layers)
    watch = Stopwatch(viewer.window._qt_viewer)
    ended: list[bool] = []
    dock.compared.connect(lambda: ended.append(True))
    compared = watch.milliseconds(dock.compare, lambda: bool(ended))
    shown: list[bool] = []
    dock.errors.shown.connect(lambda: shown.append(True))

    def choose(row: int) -> float:
        shown.clear()
        return watch.milliseconds(lambda: dock.table.selectRow(row), lambda: bool(shown))

    choose(0)  # makes the layer
    classes = [choose(row) for row in (*range(1, dock.table.rowCount()), 0)]
    dock.table.selectRow(5)
    count = layers[0].data.shape[0]
    slices = [
        watch.milliseconds(lambda index=index: dock.errors._go_to_slice(index))
        for index in range(count // 4, count // 4 + SLICES)
    ]
    styles = [
        watch.milliseconds(lambda style=style: dock.errors.style.setCurrentText(style))
        for style in ("outline", "filled") * 5
    ]
    rows = {"comparing once": [compared], "another class": classes, "another slice": slices}
    print_table(rows | {"filled or outlined": styles})
    viewer.close()


if __name__ == "__main__":
    main()
