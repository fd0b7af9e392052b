"""One contrast for several images, and the slider that sets it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject, QSignalBlocker, Qt, Signal
from superqt import QDoubleRangeSlider

from napari_medcontext.core.volume import Array
from napari_medcontext.layer_data import contrast_limits

PERCENTILES = (1.0, 99.0)

Limits = tuple[float, float]


class SharedContrast(QObject):
    """Holds images at the same contrast limits, whichever of them is changed.

    Attributes
    ----------
    limits
        The intensities that are shown darkest and brightest.
    range
        The lowest and the highest intensity that there is.
    """

    changed = Signal()
    """Limits or range have changed."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.limits: Limits = (0.0, 1.0)
        self.range: Limits = (0.0, 1.0)
        self._images: list[Image] = []

    def start(self, array: Array) -> None:
        """Take the limits in which the bulk of this array is seen, for all images."""
        limits = contrast_limits(array, PERCENTILES)
        self.range = limits
        self.set_limits(limits)
        self.widen(array)

    def add(self, image: Image) -> None:
        """Hold this image too."""
        image.contrast_limits = self.limits
        image.events.contrast_limits.connect(self._follow)
        self._images.append(image)

    def widen(self, array: Array) -> None:
        """Let the range hold these intensities; the limits stay."""
        self._widen((float(np.nanmin(array)), float(np.nanmax(array))))
        self.changed.emit()

    def set_limits(self, limits: Iterable[float]) -> None:
        """Show all images between these; equal ones are passed over, as nothing is between."""
        low, high = limits
        if low >= high or (low, high) == self.limits:
            return
        self.limits = low, high
        self._widen(self.limits)
        for image in self._images:
            if tuple(image.contrast_limits) != self.limits:
                image.contrast_limits = self.limits
        self.changed.emit()

    def _widen(self, limits: Limits) -> None:
        self.range = min(self.range[0], limits[0]), max(self.range[1], limits[1])

    def _follow(self, event: Any) -> None:
        self.set_limits(event.source.contrast_limits)


def contrast_slider(name: str, tip: str, contrast: SharedContrast) -> QDoubleRangeSlider:
    """Return a slider of two handles for a contrast, off until there is an image.

    It shows no numbers: prepared intensities have no unit that a user would know.
    """
    slider = QDoubleRangeSlider(Qt.Orientation.Horizontal)
    slider.setObjectName(name)
    slider.setToolTip(tip)
    slider.setMinimumWidth(70)
    slider.setEnabled(False)

    def show() -> None:
        with QSignalBlocker(slider):
            slider.setRange(*contrast.range)
            slider.setValue(contrast.limits)
        slider.setEnabled(True)

    slider.valueChanged.connect(contrast.set_limits)
    contrast.changed.connect(show)
    return slider
