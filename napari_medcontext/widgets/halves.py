"""Two halves of a dock, one above the other, for more than a laptop's screen shows at once."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QScrollArea, QSplitter, QWidget

UPPER_SHARE = 0.55
"""Of the height, at most, once the lower half is looked at."""


class Halves(QSplitter):
    """One widget above another, which scrolls; their border can be dragged.

    Parameters
    ----------
    upper, lower
        The two.
    """

    def __init__(self, upper: QWidget, lower: QWidget) -> None:
        super().__init__(Qt.Orientation.Vertical)
        scrolled = QScrollArea()
        scrolled.setWidgetResizable(True)
        scrolled.setFrameShape(QScrollArea.Shape.NoFrame)
        scrolled.setWidget(lower)
        self.addWidget(upper)
        self.addWidget(scrolled)
        self.setStretchFactor(0, 3)
        self.setStretchFactor(1, 2)
        self._is_settled = False
        self.splitterMoved.connect(self._settle)

    def open_lower(self) -> None:
        """Give the lower half what the upper does not need, once, unless the user shared them."""
        if self._is_settled:
            return
        height = sum(self.sizes())
        upper = min(self.widget(0).sizeHint().height(), int(height * UPPER_SHARE))
        self.setSizes([upper, height - upper])
        self._settle()

    def _settle(self, position: int = 0, index: int = 0) -> None:
        self._is_settled = True
