"""napari ends quietly, whatever is under way."""

import os
import subprocess
import sys

from test_window import SCREEN_OF_ITS_OWN

CLOSED_WHILE_LOADING = """
import sys, time
import napari
from qtpy.QtWidgets import QApplication
from napari_medcontext.widgets.docks import open_dock

run, scan, labels, seconds = sys.argv[1:]
viewer = napari.Viewer()
for path in (scan, labels):
    viewer.open(path, plugin="napari-medcontext")
dock = open_dock(viewer, "Inspect")
dock.inputs.run_path.setText(run)
dock.unfold("recon").bar.ask_button.click()
until = time.monotonic() + float(seconds)
while time.monotonic() < until:
    QApplication.processEvents()
viewer.close()
QApplication.processEvents()
"""


def test_window_closed_while_a_run_is_looked_into_leaves_no_traceback(
    finished_run, study, tmp_path
):
    scan, labels = (study / part / "lps.nii.gz" for part in ("images", "labels"))
    own = {"XDG_CONFIG_HOME": str(tmp_path), "NAPARI_CONFIG": str(tmp_path / "napari.yaml")}
    for seconds in (0.2, 1.0):
        words = [sys.executable, "-c", CLOSED_WHILE_LOADING, finished_run.path, scan, labels]
        done = subprocess.run(
            [*SCREEN_OF_ITS_OWN, *map(str, words), str(seconds)],
            env=os.environ | own,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert "Traceback" not in done.stderr, done.stderr[-3000:]
