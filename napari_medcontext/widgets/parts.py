"""Small widgets that every dock is put together from, each with its name and its tooltip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QWidget,
)


def button(name: str, text: str, tip: str, action: Callable[[], object]) -> QPushButton:
    """Return a button that does something when pressed."""
    made = QPushButton(text)
    made.setObjectName(name)
    made.setToolTip(tip)
    made.clicked.connect(lambda _: action())
    return made


def choices(name: str, tip: str, options: Sequence[tuple[str, Any]]) -> QComboBox:
    """Return a list to choose from; each option is its text and its data."""
    box = QComboBox()
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


def folder_chooser(dock: str, tip: str) -> tuple[QLineEdit, QPushButton]:
    """Return a line for a run's folder, and a button that asks for it."""
    line = QLineEdit()
    line.setObjectName(f"{dock}_run")
    line.setToolTip(tip)

    def browse() -> None:
        chosen = QFileDialog.getExistingDirectory(line, "Run folder", line.text())
        if chosen:
            line.setText(chosen)

    return line, button(f"{dock}_browse", "…", "Choose the run's folder.", browse)


def label(name: str, text: str = "") -> QLabel:
    """Return a text that breaks its lines and can be copied."""
    made = QLabel(text)
    made.setObjectName(name)
    made.setWordWrap(True)
    made.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return made


def row(*widgets: QWidget | None) -> QHBoxLayout:
    """Return widgets side by side; ``None`` is a gap that stretches."""
    layout = QHBoxLayout()
    for widget in widgets:
        if widget is None:
            layout.addStretch()
        else:
            layout.addWidget(widget)
    return layout
