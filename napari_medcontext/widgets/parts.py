"""Small widgets that every dock is put together from, each with its name and its tooltip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QWidget


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


def label(name: str, text: str = "") -> QLabel:
    """Return a text that breaks its lines."""
    made = QLabel(text)
    made.setObjectName(name)
    made.setWordWrap(True)
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
