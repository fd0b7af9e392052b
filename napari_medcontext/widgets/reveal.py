"""Bring a part of a dock into view when there is something to see."""

from __future__ import annotations

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QScrollArea, QWidget

from napari_medcontext.widgets.beat import Beat


class Reveal(QObject):
    """Scrolls to a part of a dock, unless the user scrolled since it was promised.

    Parameters
    ----------
    area
        What scrolls.
    part
        What is to be seen, somewhere in it.
    """

    def __init__(self, area: QScrollArea, part: QWidget) -> None:
        super().__init__(area)
        self._area, self._part = area, part
        self._place: int | None = None
        self._beat = Beat(self, self._show)

    def promise(self) -> None:
        """Remember where the user is: there will be something to see."""
        self._place = self._area.verticalScrollBar().value()

    def keep(self) -> None:
        """Scroll there soon, when what is new has its place; once for each promise."""
        if self._place is not None:
            self._beat.start()

    def _show(self) -> None:
        if self._area.verticalScrollBar().value() == self._place:
            self._area.ensureWidgetVisible(self._part)
        self._place = None
