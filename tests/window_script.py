"""Do the main job in a real napari window, as a user does, and tell how it went.

Started as a program of its own by ``test_window.py``, so that nothing of other tests is loaded:
``python window_script.py PLAN.json``. The plan names the files, the settings and the folder
``out`` for pictures, the table and ``report.json``.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QDialogButtonBox,
    QFileDialog,
    QLineEdit,
    QWidget,
)

from napari_medcontext.core.events import PreviewReady, RunStarted
from napari_medcontext.widgets.session import session_of

PLUGIN = "napari-medcontext"
WINDOW = (1560, 1100)


class Window:
    """A napari window and what was seen in it."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.out = Path(plan["out"])
        self.ends = time.monotonic() + plan["patience"]
        self.viewer = napari.Viewer(title=PLUGIN)
        self.viewer.window.resize(*WINDOW)
        self.report: dict[str, Any] = {"pictures": {}}

    @property
    def qt(self) -> QWidget:
        return self.viewer.window._qt_window

    def wait(self, what: str, happened: Callable[[], bool]) -> None:
        while not happened():
            if time.monotonic() > self.ends:
                raise TimeoutError(f"waited in vain for {what}")
            QApplication.processEvents()
            time.sleep(0.005)

    def settle(self, seconds: float = 0.5) -> None:
        until = time.monotonic() + seconds
        self.wait("time to pass", lambda: time.monotonic() > until)

    def press(self, dock: QWidget, name: str) -> None:
        """Click a button by its name; it must be there to be clicked."""
        button = dock.findChild(QAbstractButton, name)
        assert button is not None, f"{name} is missing"
        assert button.isVisible(), f"{name} cannot be seen"
        assert button.isEnabled(), f"{name} cannot be pressed"
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def press_and_wait(self, dock: QWidget, name: str, done: Any) -> None:
        heard: list[bool] = []
        done.connect(lambda *_: heard.append(True))
        self.press(dock, name)
        self.wait(f"{name} to end", lambda: bool(heard))

    def dock(self, name: str) -> Any:
        container, widget = self.viewer.window.add_plugin_dock_widget(
            PLUGIN, name, tabify=name in ("Predict", "Compare")
        )
        container.raise_()
        self.settle()
        return widget

    def picture(self, name: str, part: QWidget) -> None:
        """Save the whole window, and note where the part of interest lies in it."""
        self.settle(1.0)
        path = self.out / f"{name}.png"
        self.viewer.screenshot(str(path), canvas_only=False, flash=False)
        ratio = self.qt.devicePixelRatioF()
        corner = part.mapTo(self.qt, QPoint(0, 0))
        box = (corner.x(), corner.y(), corner.x() + part.width(), corner.y() + part.height())
        self.report["pictures"][name] = {
            "path": str(path),
            "size": [round(self.qt.width() * ratio), round(self.qt.height() * ratio)],
            "box": [round(edge * ratio) for edge in box],
        }


def fingerprint(layer: Any) -> str:
    """Return a digest of a layer's data, which for shapes is a list of arrays."""
    parts = layer.data if isinstance(layer.data, list) else [layer.data]
    digest = hashlib.sha256()
    for array in map(np.ascontiguousarray, parts):
        digest.update(f"{array.shape} {array.dtype}".encode() + array.tobytes())
    return digest.hexdigest()


def layers_state(viewer: Any, names: list[str] | None = None) -> list[dict[str, Any]]:
    """Return what a user would notice of each layer, lowest first."""
    return [
        {
            "name": layer.name,
            "kind": layer._type_string,
            "data": fingerprint(layer),
            "visible": layer.visible,
            "opacity": layer.opacity,
            "scale": list(layer.scale),
            "translate": list(layer.translate),
        }
        for layer in viewer.layers
        if names is None or layer.name in names
    ]


def view_state(viewer: Any) -> dict[str, Any]:
    """Return where the user looks, and what is selected and has the keyboard."""
    camera, dims, active = viewer.scene.camera, viewer.dims, viewer.layers.selection.active
    focused = QApplication.focusWidget()
    return {
        "layers": layers_state(viewer),
        "selection": sorted(layer.name for layer in viewer.layers.selection),
        "active": None if active is None else active.name,
        "camera": [list(camera.center), camera.zoom, list(camera.angles)],
        "dims": [list(dims.point), dims.ndisplay, list(dims.order)],
        "focus": None if focused is None else focused.objectName(),
    }


def open_files(window: Window) -> list[tuple[Any, Any]]:
    """Open each scan and its labels through the reader."""
    pairs = []
    for image, labels in zip(window.plan["images"], window.plan["labels"], strict=True):
        opened = [window.viewer.open(path, plugin=PLUGIN)[0] for path in (image, labels)]
        assert [layer._type_string for layer in opened] == ["image", "labels"]
        pairs.append(tuple(opened))
    if window.plan["further"]:
        window.viewer.open(window.plan["further"], plugin=PLUGIN)
    return pairs


def add_layers_of_the_user(viewer: Any) -> None:
    """Add layers that have nothing to do with the run."""
    rng = np.random.default_rng(0)
    grid = {"scale": (1.0, 1.0, 1.0), "units": ("mm",) * 3}
    noise = rng.random((8, 9, 10), np.float32)
    viewer.add_image(noise, name="older scan", visible=False, **grid)
    viewer.add_image(noise[::-1], name="distance map", opacity=0.3, **grid)
    viewer.add_labels((noise > 0.7).astype(np.uint8), name="draft", visible=False, **grid)
    viewer.add_points(rng.random((5, 3)) * 8, name="landmarks", size=1, **grid)
    viewer.add_points(rng.random((3, 3)) * 8, name="seeds", size=1, visible=False, **grid)
    outline = [[4.0, 1.0, 1.0], [4.0, 1.0, 8.0], [4.0, 8.0, 8.0], [4.0, 8.0, 1.0]]
    viewer.add_shapes([outline], shape_type="polygon", name="outline", **grid)


def look_somewhere(window: Window, active: Any, notes: QLineEdit) -> None:
    """Select a layer, zoom, pick a slice and put the cursor into a field, as a user does."""
    viewer = window.viewer
    viewer.layers.selection = {active}
    first = viewer.dims.range[0]
    viewer.dims.set_point(0, (first.start + first.stop) / 2 - first.step)
    viewer.scene.camera.zoom *= 1.1
    window.qt.activateWindow()
    notes.setFocus()
    window.wait("the field to have the keyboard", notes.hasFocus)
    window.settle()


def train(window: Window, pairs: list[tuple[Any, Any]]) -> None:
    """Train on the first scan and preview the second; the user works meanwhile."""
    viewer, plan = window.viewer, window.plan
    notes = QLineEdit(objectName="notes of the user")
    viewer.window.add_dock_widget(notes, name="Notes", area="bottom")
    dock = window.dock("Train")
    dock.set_config(dock.config().updated(plan["settings"]))
    dock.channels.setText(plan["channels"])
    dock.channels.editingFinished.emit()
    if plan["regions"]:
        dock.regions.expand(animate=False)
        window.settle()
        window.press(dock, "train_regions_brats")
        window.report["regions"] = dock.regions.regions()
    dock.run_path.setText(str(window.out / "run"))
    window.report["preflight"] = dock.preflight.text()
    window.report["runner"] = dock.runner.currentData()
    rows = [row.image for row in dock.scans.rows()]
    window.report["paired"] = [
        row.labels is pairs[index][1] for index, row in enumerate(dock.scans.rows()[:2])
    ]
    dock.scans.findChild(QComboBox, f"scan_{rows.index(pairs[1][0])}_role").setCurrentText(
        "preview"
    )
    preview = window.dock("Preview")
    window.picture("1-opened", dock)
    seen: list[PreviewReady] = []
    started: list[RunStarted] = []
    shown: list[bool] = []
    finished: list[bool] = []
    preview.panels.shown.connect(lambda: shown.append(True))
    dock.finished.connect(lambda: finished.append(True))

    def note(event: object) -> None:
        for kind, heard in ((PreviewReady, seen), (RunStarted, started)):
            if isinstance(event, kind):
                heard.append(event)

    session_of(viewer).event_received.connect(note)
    window.press(dock, "train_start")
    look_somewhere(window, pairs[0][0], notes)
    looks = [("before any preview", view_state(viewer), len(shown))]
    window.wait("the first preview", lambda: bool(shown))
    window.settle()
    looks.append(("after the first previews", view_state(viewer), len(shown)))
    window.picture("2-training", preview.panels)
    if plan["crowded"]:
        viewer.add_image(np.ones((6, 6, 6), np.float32), name="added in mid-run", units=("mm",) * 3)
        window.report["added_while_training"] = not finished
        look_somewhere(window, pairs[1][1], notes)
    looks.append(("before the other previews", view_state(viewer), len(shown)))
    if plan["crowded"]:
        # By number, not by steps: how many steps a preview takes depends on the machine.
        count = len(shown) + 2
        window.wait("further previews", lambda: len(shown) >= count)
        looks.append(("after the other previews", view_state(viewer), len(shown)))
        window.press(dock, "train_stop")
    window.wait("the run to end", lambda: bool(finished))
    window.settle(2.0)
    if not plan["crowded"]:
        looks.append(("after the run", view_state(viewer), len(shown)))
    window.picture("3-trained", preview.panels)
    window.report |= {
        "looks": [{"when": when, "view": view, "shown": count} for when, view, count in looks],
        "previews": len(seen),
        "preview_of": sorted({event.name for event in seen}),
        "panels_filled": [bool(np.any(layer.data)) for layer in preview.panels.model.layers[::2]],
        "steps_planned": started[0].steps,
        "steps_drawn": dock.curves.points("dice_ce")[0],
        "train_message": dock.message.text(),
    }


def predict(window: Window, image: Any) -> Any:
    """Predict a scan and return the layer that was made."""
    before = list(window.viewer.layers)
    dock = window.dock("Predict")
    for index in range(dock.scans.count()):
        item = dock.scans.item(index)
        wanted = item.data(Qt.ItemDataRole.UserRole) is image
        item.setCheckState(Qt.CheckState.Checked if wanted else Qt.CheckState.Unchecked)
    window.press_and_wait(dock, "predict_start", dock.finished)
    window.picture("4-predicted", dock)
    made = [layer for layer in window.viewer.layers if layer not in before]
    window.report |= {
        "predict_message": dock.message.text(),
        "predicted": [layer.name for layer in made],
        "places": [
            {
                "kind": layer._type_string,
                "shape": list(layer.data.shape),
                "scale": list(layer.scale),
                "translate": list(layer.translate),
                "units": [str(unit) for unit in layer.units],
                "axis_labels": list(layer.axis_labels),
                "affine": layer.affine.affine_matrix.tolist(),
            }
            for layer in (image, *made)
        ],
    }
    return made[0]


def compare(window: Window, prediction: Any, reference: Any) -> None:
    """Compare both through the lists, and save the table through the file dialog."""
    dock = window.dock("Compare")
    window.report["suggested"] = [
        dock.prediction_box.layer is prediction,
        dock.reference_box.layer is reference,
    ]
    window.press_and_wait(dock, "compare_button", dock.compared)
    window.report |= {"compare_error": dock.error.text(), "compare_rows": dock.table.rowCount()}
    window.picture("5-compared", dock.table)
    window.press_and_wait(dock, "compare_all", dock.errors.shown)
    window.picture("6-errors", dock.errors)
    window.report["errors_of"] = dock.errors.title.text()
    answer_file_dialog(window.out / "metrics.csv")
    window.press(dock, "compare_save")
    window.settle()


def answer_file_dialog(path: Path) -> None:
    """Name this file in the file dialog that is about to open."""

    def answer() -> None:
        dialog = QApplication.activeModalWidget()
        if not isinstance(dialog, QFileDialog):
            QTimer.singleShot(50, answer)
            return
        dialog.findChild(QLineEdit, "fileNameEdit").setText(str(path))
        save = dialog.findChild(QDialogButtonBox).button(QDialogButtonBox.StandardButton.Save)
        QTest.mouseClick(save, Qt.MouseButton.LeftButton)

    QTimer.singleShot(50, answer)


def do_all(window: Window) -> None:
    pairs = open_files(window)
    if window.plan["crowded"]:
        add_layers_of_the_user(window.viewer)
    window.settle()
    own = [layer.name for layer in window.viewer.layers]
    before = layers_state(window.viewer)
    train(window, pairs)
    image, reference = pairs[1]
    compare(window, predict(window, image), reference)
    window.report |= {
        "layers_before": before,
        "layers_after": layers_state(window.viewer, own),
        "heavy_modules": sorted({"torch", "monai"} & set(sys.modules)),
        "complaints": [
            str(record)
            for record in notification_manager.records
            if str(record.severity) in ("error", "warning")
        ],
    }


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    QApplication.setAttribute(Qt.ApplicationAttribute.AA_DontUseNativeDialogs)
    window = Window(plan)
    session = session_of(window.viewer)
    try:
        do_all(window)
    finally:
        session.ask_on_close = lambda *_: "stop"
        window.viewer.close()
    (window.out / "report.json").write_text(json.dumps(window.report, indent=1))


if __name__ == "__main__":
    main()
