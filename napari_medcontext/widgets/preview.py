"""The preview dock: what the student and the teacher see and say while they learn."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import Any

import numpy as np
from napari.settings import get_settings
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_medcontext.core.events import Event, PreviewReady, RunStarted
from napari_medcontext.core.volume import Volume
from napari_medcontext.viewer_layers import add_volumes
from napari_medcontext.widgets.beat import Beat
from napari_medcontext.widgets.panel_controls import PanelControls
from napari_medcontext.widgets.panel_layers import Panel
from napari_medcontext.widgets.panels import PanelViewer
from napari_medcontext.widgets.parts import Text, button, row
from napari_medcontext.widgets.session import real_viewer, session_of

DOCK_NAME = "Preview (napari-medcontext)"
"""What napari calls the dock."""
TITLES = ("reference", "masked input · student", "student", "teacher")
NO_REFERENCE = "reference –\nthis scan has none"
NO_TEACHER = "teacher –\nnone in a supervised run"
WAITING = (
    "No preview yet. Start a run in the Train dock. While it trains, the preview scan appears here "
    "four times: with your labels; with columns hidden, and what the student makes of it; with the "
    "student's labels for the whole scan; and with those of the teacher, its slow average."
)

NO_PREVIEWS = "A comparison of methods was started last. It makes no previews."


class PreviewDock(QWidget):
    """Four linked panels that follow the previews of the viewer's run.

    Parameters
    ----------
    napari_viewer
        The viewer, or napari's proxy of it, whose session is watched. It is touched only
        by *Keep as layers* and, while slices are linked, by moving its slice.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        # napari hands docks a proxy, whose layers are never the same objects twice.
        viewer = real_viewer(napari_viewer)
        _prefer_below_the_canvas(viewer)
        self._viewer = viewer
        self._steps = 0
        self._class_names: Mapping[int, str] = {}
        self._preview: PreviewReady | None = None
        self._arrived = 0.0
        self.panels = PanelViewer(TITLES)
        self.panels.follow(self._viewer)
        self._build()
        self._clock = Beat(self, self._tell_age)
        session = session_of(viewer)
        session.event_received.connect(self._on_event)
        session.run_changed.connect(self._forget)
        # A dock that opens in mid-run shows what came before it.
        for kind in (RunStarted, PreviewReady):
            if kind in session.recent:
                self._on_event(session.recent[kind])

    def _build(self) -> None:
        self.header = Text("preview_header", WAITING)
        layout = QVBoxLayout(self)
        layout.addWidget(self.header)
        layout.addWidget(self.panels, stretch=1)
        layout.addLayout(self._controls())

    def _controls(self) -> QHBoxLayout:
        self.controls = controls = PanelControls("preview", self.panels, self.header.text)
        self.slices_button, self.volumes_button = controls.slices_button, controls.volumes_button
        self.link_box = controls.link_box
        self.contrast_slider, self.opacity_slider = (
            controls.contrast_slider,
            controls.opacity_slider,
        )
        self.keep_button = button(
            "preview_keep",
            "Keep as layers",
            "Add the scan, the masked scan and the labels of all panels to the main window. "
            "Only the student's labels are switched on, so that none covers another.",
            self.keep_as_layers,
        )
        self.keep_button.setEnabled(False)
        return row(controls, controls.picture_button, self.keep_button)

    def keep_as_layers(self) -> None:
        """Add what is shown to the main viewer: the scan, the masked scan and the labels."""
        if self._preview is not None:
            keep(self._viewer, self._preview, self._class_names)

    def _on_event(self, event: Event) -> None:
        match event:
            case RunStarted(steps=steps, class_names=class_names):
                self._steps, self._class_names = steps, class_names
            case PreviewReady():
                self._show(event)

    def _show(self, preview: PreviewReady) -> None:
        image = self._same_image(preview)
        self._preview = preview
        self._arrived = monotonic()
        self.panels.show_panels(panels_of(preview, image, self._class_names))
        self.keep_button.setEnabled(True)
        self._tell_age()

    def _forget(self, run: object) -> None:
        """Take the old run's answers away: the next ones are another run's."""
        self._steps, self._class_names, self._preview = 0, {}, None
        self._clock.stop()
        self.keep_button.setEnabled(False)
        self.header.setText(WAITING if run is not None else NO_PREVIEWS)
        self.panels.take_labels_away()

    def _same_image(self, preview: PreviewReady) -> Any:
        """Return the image that is on show where the new one equals it: it need not be drawn."""
        shown = self.panels.shown_image
        return shown if np.array_equal(shown, preview.image) else preview.image

    def _tell_age(self) -> None:
        if self._preview is not None:
            steps = f" of {self._steps}" if self._steps else ""
            age = age_text(monotonic() - self._arrived)
            self.header.setText(f"step {self._preview.step}{steps} · {self._preview.name} · {age}")
            self._clock.start()


def _prefer_below_the_canvas(viewer: Any) -> None:
    """Open under the canvas the first time, beside the forms, which stay whole.

    napari asks for the place once the dock is made, and remembers where a user moves it.
    """
    get_settings().application.plugin_widget_positions.setdefault(DOCK_NAME, "bottom")
    window = getattr(getattr(viewer, "window", None), "_qt_window", None)
    if window is not None:
        window.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)


def panels_of(
    preview: PreviewReady, image: Any, class_names: Mapping[int, str]
) -> tuple[Panel, Panel, Panel, Panel]:
    """Return the four panels of a preview, ``image`` standing for its own equal one."""
    reference, masked, student, teacher = TITLES
    contents = (
        (reference if preview.reference is not None else NO_REFERENCE, image, preview.reference),
        (masked, preview.masked, preview.student_masked),
        (student, image, preview.student),
        (teacher if preview.teacher is not None else NO_TEACHER, image, preview.teacher),
    )
    first, second, third, fourth = (
        Panel(title, pixels, labels, preview.affine, class_names)
        for title, pixels, labels in contents
    )
    return first, second, third, fourth


def keep(viewer: Any, preview: PreviewReady, class_names: Mapping[int, str]) -> None:
    """Add a preview to a viewer as layers, the image and the student's labels switched on.

    The layers are copies: painting on them changes neither the preview nor its panels.
    """
    images = {"image": preview.image, "masked input": preview.masked}
    labels = {
        "reference": preview.reference,
        "teacher": preview.teacher,
        "student, masked": preview.student_masked,
        "student": preview.student,
    }
    add_volumes(
        viewer,
        [
            Volume(array.copy(), preview.affine, _kept_name(preview, what))
            for what, array in images.items()
        ],
        [
            Volume(array.copy(), preview.affine, _kept_name(preview, what), class_names)
            for what, array in labels.items()
            if array is not None
        ],
        seen={_kept_name(preview, "image"), _kept_name(preview, "student")},
        preview_of=preview.name,
    )


def age_text(seconds: float) -> str:
    """Return how long ago something was, in words."""
    if seconds < 1:
        return "just now"
    if seconds < 60:
        return f"{seconds:.0f} s ago"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min ago"
    return f"{seconds / 3600:.0f} h ago"


def _kept_name(preview: PreviewReady, what: str) -> str:
    return f"preview step {preview.step}: {what}"
