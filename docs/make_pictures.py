"""Take the pictures of the documentation: take both tours of the sample, and keep what they show.

With no screen, ``make docs-pictures``.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

STEPS = 300
PICTURES = Path(__file__).parent / "pictures"
INSIDE = (
    *("mask-blocks-3d", "timeline-last", "reconstruction-organ", "reconstruction-figure"),
    *("probe", "disagreement", "compare-class", "compare-figure"),
)
"""Those of the second tour that the documentation shows."""


def main() -> None:
    """Run the tour in a temporary folder and copy its pictures."""
    with tempfile.TemporaryDirectory(prefix="medcontext-pictures-") as name:
        folder = Path(name)
        # Pictures show the defaults, not what the user chose last; napari reads this on import.
        os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
        import napari
        from inspect_tour import Tour as InsideTour

        from napari_medcontext.demo import Tour

        viewer = napari.Viewer(title="napari-medcontext")
        tour = Tour(viewer, folder / "demo", STEPS)
        tour.make_room()
        tour.open_sample()
        tour.do_all()
        clear(viewer)
        # A path of its own, as a user would see it, and none of this machine's.
        os.chdir(tour.out)
        inside = InsideTour(viewer, folder / "inside")
        inside.inspect(Path("run"), tour.test_image, tour.test_labels)
        inside.compare(tour.prediction, tour.test_labels)
        viewer.close()
        PICTURES.mkdir(exist_ok=True)
        taken = {path.stem: path for path in tour.results() if path.suffix == ".png"}
        taken |= {f"inside-{part}": inside.pictures[part] for part in INSIDE}
        for stem, path in taken.items():
            print(shutil.copy(path, PICTURES / f"{stem}.png"))


def clear(viewer: Any) -> None:
    """Leave the scans and labels alone for the second tour: its own panels tell enough."""
    from napari._qt.dialogs.qt_notification import NapariQtNotification
    from qtpy.QtWidgets import QDockWidget

    from napari_medcontext.overlays import take_away
    from napari_medcontext.widgets.docks import open_dock
    from napari_medcontext.widgets.error_layers import ERRORS

    take_away(viewer, ERRORS)
    part = open_dock(viewer, "Preview")
    while not isinstance(part, QDockWidget):
        part = part.parent()
    part.close()
    for told in viewer.window._qt_window.findChildren(NapariQtNotification):
        told.close()


if __name__ == "__main__":
    main()
