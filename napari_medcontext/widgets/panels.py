"""Panels side by side in a viewer of their own, made and renewed without freezing the window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from time import monotonic

from napari.components import ViewerModel
from napari.layers import Layer
from napari.qt import QtViewer
from qtpy.compat import isalive
from qtpy.QtCore import QSize, QTimer, Signal
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_medcontext.core.volume import Array, same_grid
from napari_medcontext.layer_data import image_layer_data, labels_layer_data
from napari_medcontext.widgets.contrast import SharedContrast
from napari_medcontext.widgets.panel_grid import PanelGrid
from napari_medcontext.widgets.panel_layers import (
    Panel,
    best_slice,
    empty_panel,
    image_layer,
    labels_layer,
    move_layer,
)
from napari_medcontext.widgets.viewer_link import ViewerLink

SECONDS_BETWEEN_3D = 3.0
"""Rest between two redraws in 3D: with software rendering each takes about one second."""
SECONDS_BEFORE_CANVAS = 0.3
"""Rest between the first sight of the widget and the making of its canvas."""
FROM_THE_FRONT = {"view_direction": (0.35, 1.0, -0.3), "up_direction": (-1.0, 0.0, 0.0)}
"""First view in 3D: from before and a little above, the head up."""


class PanelViewer(QWidget):
    """Titled panels in a grid, each an image under labels, with one camera and one slider.

    The canvas and empty panels are made soon after the widget is first seen, since that
    takes half a second which nobody should wait for later. While it is hidden nothing is
    drawn, and the newest contents wait. Contents replace voxels in place, and leave the
    camera alone while they lie on the same grid.

    Parameters
    ----------
    titles
        One for each panel, row by row.

    Attributes
    ----------
    contrast
        The one contrast of all panels; it is kept while the grid is the same.
    """

    shown = Signal()
    """The newest contents are in the panels."""

    volumes_shown = Signal(bool)
    """Whether volumes are shown, or slices, has changed, here or by napari's own key."""

    def __init__(self, titles: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = ViewerModel()
        self.contrast = SharedContrast(self)
        self._titles = tuple(titles)
        self._link: ViewerLink | None = None
        self._slices_linked = False
        self._opacity = 0.5
        self._turned = False
        self._current: tuple[Panel, ...] = ()
        self._pending: tuple[Panel, ...] = ()
        self._steps: Iterator[None] | None = None
        self._changed_at = -SECONDS_BETWEEN_3D
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self._advance)
        self.setMinimumSize(420, 240)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._grid = PanelGrid(self.model, len(self._titles))
        # Else turning around in 3D would move the slice and the zoom of 2D.
        self.model.scene.camera.synced = False
        self.model.dims.axis_labels = ("inferior", "posterior", "left")
        self.model.dims.events.ndisplay.connect(self._on_ndisplay, position="last")

    def sizeHint(self) -> QSize:
        """Ask for a dock in which a scan's panels can be told apart."""
        return QSize(560, 520)

    def follow(self, viewer: ViewerModel) -> None:
        """Take the theme of a viewer, now and later; its slices too once these are linked."""
        self._link = ViewerLink(viewer, self.model)
        self.destroyed.connect(self._link.end)

    def show_panels(self, contents: Sequence[Panel]) -> None:
        """Show these instead of what is shown, soon, without moving what the user set.

        Parameters
        ----------
        contents
            One for each panel, all on one grid.
        """
        if len(contents) != len(self._titles):
            raise ValueError(f"{len(contents)} contents for {len(self._titles)} panels")
        self._pending = tuple(contents)
        self._schedule()

    def take_labels_away(self) -> None:
        """Show the image alone in every panel, where there is one."""
        newest = self._pending or self._current
        if newest:
            image, affine = newest[0].image, newest[0].affine
            self.show_panels([Panel(title, image, None, affine) for title in self._titles])

    @property
    def shown_image(self) -> Array | None:
        """The first panel's image, shape ``(x, y, z)``, as last given; None before that."""
        newest = self._pending or self._current
        return newest[0].image if newest else None

    @property
    def contents(self) -> tuple[Panel, ...]:
        """What the panels show; empty before there is anything."""
        return self._current

    def show_3d(self, on: bool) -> None:
        """Show volumes, or slices of them."""
        self.model.dims.ndisplay = 3 if on else 2

    def set_labels_opacity(self, opacity: float) -> None:
        """Set how much the labels cover, from 0 to 1."""
        self._opacity = opacity
        for _, labels in self._pairs():
            labels.opacity = opacity

    def link_slices(self, on: bool) -> None:
        """Hold the slice at that of the followed viewer, and that one at this, or let go."""
        self._slices_linked = on
        if self._steps is None and self.model.layers:
            self._hold_slices(on)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Show what arrived while the panels were hidden."""
        super().showEvent(event)
        self._schedule()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Stop the slider's animation, whose thread may not outlive the window."""
        super().hideEvent(event)
        if (canvas := self.canvas()) is not None:
            canvas.dims.stop()

    def canvas(self) -> QtViewer | None:
        """Return the canvas, which only Qt holds, so that it dies with its window."""
        return self.findChild(QtViewer)

    def _schedule(self) -> None:
        busy = self._steps is not None or self._timer.isActive()
        idle = not self._pending and len(self.model.layers) > 0
        if busy or idle or not self.isVisible():
            return
        rest = 0.0 if self._pending else SECONDS_BEFORE_CANVAS
        if self.model.dims.ndisplay == 3 and self._current:
            rest = max(0.0, self._changed_at + SECONDS_BETWEEN_3D - monotonic())
        self._timer.start(ceil(rest * 1000))

    def _advance(self) -> None:
        """Do one piece of the work, so that the window stays alive between pieces."""
        if self._steps is None:
            if not self.isVisible():
                return
            contents, self._pending = self._pending, ()
            self._steps = self._show(contents)
        try:
            next(self._steps)
        except StopIteration:
            self._steps = None
            self._changed_at = monotonic()
            if self._current:
                self.shown.emit()
            self._schedule()
        else:
            self._timer.start(0)

    def _show(self, contents: tuple[Panel, ...]) -> Iterator[None]:
        """Show contents, or only get ready for them if there are none yet."""
        if self.canvas() is None:
            self._make_canvas()
            yield
        if not self.model.layers:
            yield from self._build()
        if not contents:
            return
        previous, self._current = self._current, contents
        with self._undrawn():
            if previous and same_grid(previous[0].image_volume(), contents[0].image_volume()):
                yield from self._replace(previous, contents)
            else:
                yield from self._move(contents)

    @contextmanager
    def _undrawn(self) -> Iterator[None]:
        """Draw once at the end: each drawing takes longer than all the rest of a renewal."""
        canvas = self.canvas().canvas.native
        canvas.setUpdatesEnabled(False)
        try:
            yield
        finally:
            if isalive(canvas):
                canvas.setUpdatesEnabled(True)

    def _make_canvas(self) -> None:
        canvas = QtViewer(self.model)
        canvas.setAcceptDrops(False)
        self.layout().addWidget(canvas)

    def _on_ndisplay(self, event: object = None) -> None:
        volumes = self.model.dims.ndisplay == 3
        if volumes and not self._turned:
            self._turned = True
            self.model.scene.camera.set_view_direction(**FROM_THE_FRONT)
            self.model.fit_to_view(margin=0.15)
        self.volumes_shown.emit(volumes)

    def _build(self) -> Iterator[None]:
        """Add empty layers, one a turn of the event loop: eight at once freeze the window."""
        for title in self._titles:
            panel = empty_panel(title)
            image = image_layer(panel)
            self.contrast.add(image)
            yield
            self._append(image)
            yield
            self._append(labels_layer(panel))
            yield
        self.set_labels_opacity(self._opacity)

    def _replace(self, previous: Sequence[Panel], contents: Sequence[Panel]) -> Iterator[None]:
        """Renew voxels, one layer a turn of the event loop."""
        for (image, labels), before, panel in zip(self._pairs(), previous, contents, strict=True):
            if panel.image is not before.image:
                image.data = image_layer_data(panel.image_volume())[0]
                self.contrast.widen(panel.image)
                yield
            labels.data = labels_layer_data(panel.labels_volume())[0]
            if image.name != panel.title:
                image.name = panel.title
            yield

    def _move(self, contents: Sequence[Panel]) -> Iterator[None]:
        """Renew voxels and the place where they lie, and look at the whole of it."""
        # The slider jumps while the layers change; the user's may not jump with it.
        self._hold_slices(False)
        self.contrast.start(contents[0].image)
        for (image, labels), panel in zip(self._pairs(), contents, strict=True):
            move_layer(image, image_layer_data(panel.image_volume()))
            image.name = panel.title
            self.contrast.widen(panel.image)
            yield
            move_layer(labels, labels_layer_data(panel.labels_volume()))
            yield
        self.model.dims.set_point(0, best_slice([labels for _, labels in self._pairs()]))
        self.model.reset_view()
        self._hold_slices(self._slices_linked)

    def _pairs(self) -> list[tuple[Layer, Layer]]:
        # A slice of napari's list would be another such list, with all its events: 25 ms.
        layers = list(self.model.layers)
        return list(zip(layers[::2], layers[1::2], strict=True))

    def _hold_slices(self, on: bool) -> None:
        if self._link is not None:
            self._link.link_slices(on)

    def _append(self, layer: Layer) -> None:
        self.model.layers.append(layer)
        # An active labels layer would answer keys with its painting tools.
        self.model.layers.selection.clear()
