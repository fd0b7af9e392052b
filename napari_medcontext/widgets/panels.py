"""Panels side by side in a viewer of their own; all of napari's less public API is here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Layer
from napari.qt import QtViewer
from qtpy.QtCore import QSize, QTimer, Signal
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_medcontext.core.volume import Volume, same_grid
from napari_medcontext.layers import image_layer_data, labels_layer_data

Array = npt.NDArray[Any]

COLUMNS = 2
TITLE_POINTS = 8
GAP = 4
"""Space between panels, in pixels."""
SECONDS_BETWEEN_3D = 3.0
"""Rest between two redraws in 3D: with software rendering each takes about one second."""
CONTRAST_PERCENTILES = (0.5, 99.5)
FROM_THE_FRONT = {"view_direction": (0.35, 1.0, -0.3), "up_direction": (-1.0, 0.0, 0.0)}
"""First view in 3D: from before and a little above, the head up."""


@dataclass(frozen=True, eq=False)
class Panel:
    """What one panel shows.

    ``image`` and ``labels`` share one grid, shape ``(x, y, z)``; ``affine`` takes its
    indices to RAS+ millimetres. Without ``labels`` the image is shown alone.
    """

    title: str
    image: Array
    labels: Array | None
    affine: Array
    class_names: Mapping[int, str] = field(default_factory=dict)

    def image_volume(self) -> Volume:
        """Return the image with its geometry."""
        return Volume(self.image, self.affine, name=self.title)

    def labels_volume(self) -> Volume:
        """Return the labels with their geometry; empty ones where there are none."""
        labels = np.zeros(self.image.shape, np.uint8) if self.labels is None else self.labels
        return Volume(labels, self.affine, name=self.title, class_names=self.class_names)


class ViewerLink:
    """Gives a viewer the theme of another one and, if asked, holds both at the same slice.

    Slices are matched by world millimetres along the last three axes; a viewer of fewer
    axes is left alone. This is no QObject, so that it can be ended after its widget's death.
    """

    def __init__(self, leader: ViewerModel, follower: ViewerModel) -> None:
        self._leader, self._follower = leader, follower
        self._slices_linked = self._moving = False
        leader.events.theme.connect(self._take_theme)
        leader.dims.events.point.connect(self._leader_moved)
        follower.dims.events.point.connect(self._follower_moved)
        self._take_theme()

    def end(self) -> None:
        """Let the two viewers go their own ways."""
        self._leader.events.theme.disconnect(self._take_theme)
        self._leader.dims.events.point.disconnect(self._leader_moved)
        self._follower.dims.events.point.disconnect(self._follower_moved)

    def link_slices(self, on: bool) -> None:
        """Hold the follower at the leader's slice, and the leader at the follower's."""
        self._slices_linked = on
        self._leader_moved()

    def _take_theme(self, event: object = None) -> None:
        self._follower.theme = self._leader.theme

    def _leader_moved(self, event: object = None) -> None:
        if self._leader.layers:
            self._move(self._leader.dims, self._follower.dims)

    def _follower_moved(self, event: object = None) -> None:
        self._move(self._follower.dims, self._leader.dims)

    def _move(self, source: Any, target: Any) -> None:
        # A point outside the other's range is clipped there; it must not come back clipped.
        if not self._slices_linked or self._moving or min(source.ndim, target.ndim) < 3:
            return
        self._moving = True
        try:
            axes = tuple(range(target.ndim - 3, target.ndim))
            target.set_point(axes, source.point[-3:])
        finally:
            self._moving = False


class PanelViewer(QWidget):
    """Titled panels in a grid, each an image under labels, with one camera and one slider.

    Nothing is shown, and no canvas made, while the widget is hidden; the newest contents
    wait until it is seen. Updates on the same grid replace voxels in place.

    Parameters
    ----------
    titles
        One for each panel, row by row.
    """

    shown = Signal()
    """The newest contents are in the panels."""

    volumes_shown = Signal(bool)
    """Whether volumes are shown, or slices, has changed, here or by napari's own key."""

    def __init__(self, titles: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = ViewerModel()
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
        self.setMinimumSize(420, 360)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._arrange_grid()
        # Else turning around in 3D would move the slice and the zoom of 2D.
        self.model.scene.camera.synced = False
        self.model.dims.axis_labels = ("inferior", "posterior", "left")
        # napari's preferences for the grid are written into every viewer there is.
        self.model.canvas.grid.events.connect(self._arrange_grid)
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

    @property
    def shown_image(self) -> Array | None:
        """The first panel's image, shape ``(x, y, z)``, as last given; None before that."""
        newest = self._pending or self._current
        return newest[0].image if newest else None

    def show_3d(self, on: bool) -> None:
        """Show volumes, or slices of them."""
        self.model.dims.ndisplay = 3 if on else 2

    def set_labels_opacity(self, opacity: float) -> None:
        """Set how much the labels cover, from 0 to 1."""
        self._opacity = opacity
        for labels in self.model.layers[1::2]:
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
        if (canvas := self._canvas()) is not None:
            canvas.dims.stop()

    def _canvas(self) -> QtViewer | None:
        """Return the canvas, which only Qt holds, so that it dies with its window."""
        return self.findChild(QtViewer)

    def _schedule(self) -> None:
        busy = self._steps is not None or self._timer.isActive()
        if busy or not self._pending or not self.isVisible():
            return
        rest = 0.0
        if self.model.dims.ndisplay == 3 and self._current:
            rest = max(0.0, self._changed_at + SECONDS_BETWEEN_3D - monotonic())
        self._timer.start(ceil(rest * 1000))

    def _advance(self) -> None:
        """Do one piece of the work, so that the window stays alive between pieces."""
        if self._steps is None:
            if not self._pending or not self.isVisible():
                return
            contents, self._pending = self._pending, ()
            self._steps = self._show(contents)
        try:
            next(self._steps)
        except StopIteration:
            self._steps = None
            self._changed_at = monotonic()
            self.shown.emit()
            self._schedule()
        else:
            self._timer.start(0)

    def _show(self, contents: tuple[Panel, ...]) -> Iterator[None]:
        if self._canvas() is None:
            self._make_canvas()
            yield
        previous, self._current = self._current, contents
        if previous and same_grid(previous[0].image_volume(), contents[0].image_volume()):
            self._replace(previous, contents)
        else:
            yield from self._rebuild(contents)

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

    def _arrange_grid(self, event: object = None) -> None:
        grid = self.model.canvas.grid
        wanted = {
            "stride": 2,
            "shape": (ceil(len(self._titles) / COLUMNS), COLUMNS),
            "spacing": GAP,
            "enabled": True,
        }
        for name, value in wanted.items():
            if getattr(grid, name) != value:
                setattr(grid, name, value)

    def _replace(self, previous: Sequence[Panel], contents: Sequence[Panel]) -> None:
        layers = zip(self.model.layers[::2], self.model.layers[1::2], strict=True)
        for (image, labels), before, panel in zip(layers, previous, contents, strict=True):
            if panel.image is not before.image:
                image.data = image_layer_data(panel.image_volume())[0]
            labels.data = labels_layer_data(panel.labels_volume())[0]
            if image.name != panel.title:
                image.name = panel.title

    def _rebuild(self, contents: Sequence[Panel]) -> Iterator[None]:
        """Add the layers, one a turn of the event loop: eight at once freeze the window."""
        # The slider jumps while layers come and go; the user's may not jump with it.
        self._hold_slices(False)
        self.model.layers.clear()
        limits = _contrast_limits(contents[0].image)
        for panel in contents:
            for make_layer in (partial(_image_layer, panel, limits), partial(_labels_layer, panel)):
                layer = make_layer()
                yield
                self._append(layer)
                yield
        self.set_labels_opacity(self._opacity)
        self._share_contrast()
        self.model.dims.set_point(0, _best_slice(self.model.layers[1::2]))
        self.model.reset_view()
        self._hold_slices(self._slices_linked)

    def _hold_slices(self, on: bool) -> None:
        if self._link is not None:
            self._link.link_slices(on)

    def _append(self, layer: Layer) -> None:
        self.model.layers.append(layer)
        # An active labels layer would answer keys with its painting tools.
        self.model.layers.selection.clear()

    def _share_contrast(self) -> None:
        images = self.model.layers[::2]

        def spread(event: Any) -> None:
            for image in images:
                if not np.array_equal(image.contrast_limits, event.source.contrast_limits):
                    image.contrast_limits = event.source.contrast_limits

        for image in images:
            image.events.contrast_limits.connect(spread)


def _layer(layer_data: tuple[Any, dict[str, Any], str]) -> Layer:
    return Layer.create(*layer_data)


def _image_layer(panel: Panel, limits: tuple[float, float]) -> Layer:
    image = _layer(image_layer_data(panel.image_volume()))
    image.name = panel.title
    image.contrast_limits = limits
    image.name_overlay.font_size = TITLE_POINTS
    image.name_overlay.visible = True
    # In 3D the scan is the faint background in which the labels stand.
    image.rendering = "attenuated_mip"
    image.blending = "translucent_no_depth"
    return image


def _labels_layer(panel: Panel) -> Layer:
    labels = _layer(labels_layer_data(panel.labels_volume()))
    labels.blending = "translucent_no_depth"
    return labels


def _contrast_limits(image: Array) -> tuple[float, float]:
    """Return limits in which the image's bulk is seen, from a thinned-out copy."""
    step = max(1, round((image.size / 1e6) ** (1 / 3)))
    low, high = np.percentile(image[::step, ::step, ::step], CONTRAST_PERCENTILES)
    return (float(low), float(high)) if low < high else (float(low), float(low) + 1.0)


def _best_slice(labels: Sequence[Any]) -> float:
    """Return where, along the first axis in mm, the first labels that there are cover most."""
    for layer in labels:
        counts = np.count_nonzero(layer.data, axis=(1, 2))
        if counts.any():
            return float(layer.data_to_world((int(counts.argmax()), 0, 0))[0])
    middle = (labels[0].data.shape[0] - 1) // 2
    return float(labels[0].data_to_world((middle, 0, 0))[0])
