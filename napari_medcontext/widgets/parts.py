"""Small widgets that every dock is put together from, each with its name and its tooltip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QResizeEvent, QShortcut, QShowEvent, QWheelEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

TICKS = """
QListWidget::indicator {
    width: 14px; height: 14px; border: 1px solid #8f979e; border-radius: 2px;
}
QListWidget::item { min-height: 18px; }
QListWidget::indicator:checked {
    background: #1f74c4; border-color: #1f74c4; image: url("theme_dark:/check.svg");
}
"""
"""The theme's own boxes cannot be told from their dark ground while they are unticked."""
POPUP_MARGIN = 24
"""Pixels of an opened list beside its longest text: the frame, and what scrolls it."""


class _Unscrolled:
    """Scrolling the dock must not change a value that passes under the pointer."""

    def wheelEvent(self, event: QWheelEvent) -> None:  # Qt's own name
        """Leave the wheel to the dock."""
        event.ignore()


class ChoiceBox(_Unscrolled, QComboBox):
    """A list to choose from, deaf to the mouse wheel."""


class LongList(ChoiceBox):
    """Texts of any length: as wide as there is room, so that no name pushes a dock's buttons out.

    Opened, it shows all of each.

    Parameters
    ----------
    letters
        How many of a text are seen at least.
    """

    def __init__(self, letters: int = 12) -> None:
        super().__init__()
        self.setSizeAdjustPolicy(self.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(letters)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def showPopup(self) -> None:  # Qt's own name
        """Open the list."""
        self.view().setMinimumWidth(self.view().sizeHintForColumn(0) + POPUP_MARGIN)
        super().showPopup()


class WholeBox(_Unscrolled, QSpinBox):
    """A whole number, deaf to the mouse wheel."""


class DecimalBox(_Unscrolled, QDoubleSpinBox):
    """A number, deaf to the mouse wheel."""


def button(name: str, text: str, tip: str, action: Callable[[], object]) -> QPushButton:
    """Return a button that does something when pressed."""
    made = QPushButton(text)
    made.setObjectName(name)
    made.setToolTip(tip)
    made.clicked.connect(lambda _: action())
    return made


def shortcut(pressed: QAbstractButton, keys: str) -> None:
    """Let keys press a button as long as it is in sight, and say so in its tooltip."""
    made = QShortcut(QKeySequence(keys), pressed)
    made.activated.connect(pressed.click)
    pressed.setToolTip(f"{pressed.toolTip()} Keys: {keys}.")


def choices(
    name: str, tip: str, options: Sequence[tuple[str, Any]], box: ChoiceBox | None = None
) -> ChoiceBox:
    """Return a list to choose from; each option is its text and its data."""
    box = ChoiceBox() if box is None else box
    box.setObjectName(name)
    box.setToolTip(tip)
    for text, data in options:
        box.addItem(text, data)
    return box


def tick_box(name: str, text: str, tip: str) -> QCheckBox:
    """Return a box to tick."""
    box = QCheckBox(text)
    box.setObjectName(name)
    box.setToolTip(tip)
    return box


def text_line(name: str, tip: str, empty: str = "") -> QLineEdit:
    """Return a line to type in; ``empty`` stands in it where nothing is typed."""
    line = QLineEdit()
    line.setObjectName(name)
    line.setToolTip(tip)
    line.setPlaceholderText(empty)
    return line


def folder_chooser(
    dock: str, tip: str, named: Callable[[Path], Path] = Path
) -> tuple[QLineEdit, QPushButton]:
    """Return a line for a run's folder, and a button that asks for it.

    ``named`` says which folder is meant by the one that was chosen.
    """
    line = text_line(f"{dock}_run", tip)

    def browse() -> None:
        named_now = Path(line.text()).expanduser()
        start = next((path for path in (named_now, *named_now.parents) if path.is_dir()), "")
        chosen = QFileDialog.getExistingDirectory(line, "Run folder", str(start))
        if chosen:
            line.setText(str(named(Path(chosen))))

    return line, button(f"{dock}_browse", "…", "Choose the run's folder.", browse)


class Text(QWidget):
    """A text that breaks its lines, can be copied, and has just the height of its lines.

    Each text of a ``QLabel`` has its window laid out and drawn anew, and inside of nested layouts
    and folds it gets the height of a wider text. This one holds a label in no layout: what lies
    round it is laid out only when its height changes.
    """

    def __init__(self, name: str, text: str = "") -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._label = QLabel(text, self)
        self._label.setObjectName(name)
        self._label.setWordWrap(True)
        self._label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)

    def text(self) -> str:
        """Return what is shown."""
        return self._label.text()

    def setText(self, text: str) -> None:  # as Qt's own labels have it
        """Show another text."""
        self._label.setText(text)
        if self.isVisible():
            self._make_room()

    def showEvent(self, event: QShowEvent | None) -> None:  # Qt's own name
        """Make room for what was set out of sight."""
        super().showEvent(event)
        self._make_room()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # Qt's own name
        """Break the lines anew."""
        super().resizeEvent(event)
        self._make_room()

    def _make_room(self) -> None:
        height = max(0, self._label.heightForWidth(self.width()))  # -1 where there is no text
        self.setFixedHeight(height)
        self._label.resize(self.width(), height)


def row(*widgets: QWidget | None) -> QHBoxLayout:
    """Return widgets side by side; ``None`` is a gap that stretches."""
    layout = QHBoxLayout()
    for widget in widgets:
        if widget is None:
            layout.addStretch()
        else:
            layout.addWidget(widget)
    return layout
