"""Forms made from settings: an editor a field, and its words."""

from __future__ import annotations

from typing import Any, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QWidget

from napari_medcontext.widgets.editors import Editor, make_editor, unit_of, without_none

LABEL_WIDTH = 168
"""Pixels, the same in every form, so that forms under each other line up."""


class SectionForm(QWidget):
    """A form for one section of the settings.

    Parameters
    ----------
    model
        The section's class.
    names
        The fields to show, in order; by default all.
    """

    changed = Signal()

    def __init__(self, model: type[BaseModel], names: tuple[str, ...] = ()) -> None:
        super().__init__()
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._editors: dict[str, Editor] = {}
        for name in names or tuple(model.model_fields):
            field = model.model_fields[name]
            editor = make_editor(field, self.changed.emit)
            editor.widget.setObjectName(f"setting_{name}")
            editor.widget.setToolTip(_tooltip(field))
            editor.write(field.default)
            layout.addRow(field_label(_title(name, field)), editor.widget)
            self._editors[name] = editor

    def values(self) -> dict[str, Any]:
        """Return what the form says."""
        return {name: editor.read() for name, editor in self._editors.items()}

    def set_values(self, values: dict[str, Any]) -> None:
        """Show these values; names that the form does not show are passed over."""
        for name, value in values.items():
            if name in self._editors:
                self._editors[name].write(value)

    def widget(self, name: str) -> QWidget:
        """Return one field's editor."""
        return self._editors[name].widget


def field_label(text: str) -> QLabel:
    """Return the words left of an editor."""
    label = QLabel(text)
    label.setFixedWidth(LABEL_WIDTH)
    label.setWordWrap(True)
    return label


def _title(name: str, field: FieldInfo) -> str:
    """Return a field's words, with the unit where its editor has no place for one."""
    words = field.title or name.replace("_", " ").capitalize()
    kind, _ = without_none(field.annotation)
    unit = unit_of(field).strip() if get_origin(kind) is tuple else ""
    return f"{words} ({unit})" if unit else words


def _tooltip(field: FieldInfo) -> str:
    unit = unit_of(field).strip()
    return f"{field.description}" + (f" Unit: {unit}." if unit else "")
