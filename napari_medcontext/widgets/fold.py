"""A section that is folded to the one line that says what it holds."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QSizePolicy
from superqt import QCollapsible

BORDERS = 36
"""Pixels of the line that the arrow and the borders take."""


class Fold(QCollapsible):
    """A folded section; a line that is too long is cut with dots and never widens its dock."""

    def __init__(self, name: str) -> None:
        super().__init__("", None, "▾", "▸")
        self.setObjectName(name)
        self._line = ""
        self.toggleButton().setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.layout().setSpacing(0)

    def text(self) -> str:
        """Return the whole line."""
        return self._line

    def setText(self, text: str) -> None:  # Qt's own name
        """Say what the section holds."""
        self._line = text
        self.setToolTip(f"{text}. Press to see and change these settings.")
        self._cut()

    def resizeEvent(self, event: QResizeEvent) -> None:  # Qt's own name
        """Cut the line anew."""
        super().resizeEvent(event)
        self._cut()

    def _cut(self) -> None:
        metrics, room = self.toggleButton().fontMetrics(), self.width() - BORDERS
        self.toggleButton().setText(
            metrics.elidedText(self._line, Qt.TextElideMode.ElideRight, room)
        )
