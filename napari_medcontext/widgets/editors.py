"""Editors of settings: one a field, of its type, with its unit and bounds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QWidget,
)

from napari_medcontext.widgets.parts import ChoiceBox, DecimalBox, WholeBox, button

LARGEST = 1_000_000
EMPTY = "Empty: "
"""Begins the sentence of a description that says what an empty editor means."""


class NumberBox(DecimalBox):
    """A number of any size: shows 0.996, 1e-4 and 3e-05 exactly, and steps by its own size."""

    def __init__(self) -> None:
        super().__init__()
        self.setDecimals(12)
        self.setStepType(DecimalBox.AdaptiveDecimalStepType)
        self.setKeyboardTracking(False)

    def textFromValue(self, value: float) -> str:  # Qt's own name
        """Show as many digits as there are."""
        return f"{value:.10g}"

    def valueFromText(self, text: str) -> float:  # Qt's own name
        """Read scientific notation too."""
        return float(text.removesuffix(self.suffix()))

    def validate(self, text: str, position: int) -> Any:
        """Let scientific notation be typed."""
        from qtpy.QtGui import QValidator

        try:
            number = self.valueFromText(text)
        except ValueError:
            return QValidator.State.Intermediate, text, position
        inside = self.minimum() <= number <= self.maximum()
        state = QValidator.State.Acceptable if inside else QValidator.State.Intermediate
        return state, text, position


class Editor:
    """One field's widget, with how to read and write it."""

    def __init__(
        self, widget: QWidget, read: Callable[[], Any], write: Callable[[Any], None]
    ) -> None:
        self.widget, self.read, self.write = widget, read, write


def make_editor(field: FieldInfo, changed: Callable[[], None]) -> Editor:
    """Choose the editor that fits a field's type."""
    kind, optional = without_none(field.annotation)
    low, high = _bounds(field)
    if get_origin(kind) is Literal:
        return _choice(get_args(kind), changed)
    if kind is bool:
        return _switch(changed)
    if get_origin(kind) is tuple and Ellipsis in get_args(kind):
        return _listed(_empty(field), changed)
    if get_origin(kind) is tuple:
        return _numbers(len(get_args(kind)), _base(get_args(kind)[0]), optional, changed)
    if kind is Path:
        return _file(_empty(field), changed)
    if optional:
        return _optional_number(_empty(field), changed)
    if kind is int:
        return _whole(low, high, unit_of(field), changed)
    if kind is float:
        return _number(low, high, unit_of(field), changed)
    return _text(changed)


def _choice(options: tuple[str, ...], changed: Callable[[], None]) -> Editor:
    box = ChoiceBox()
    box.addItems([str(option) for option in options])
    box.currentTextChanged.connect(lambda _: changed())
    return Editor(box, box.currentText, lambda value: box.setCurrentText(str(value)))


def _switch(changed: Callable[[], None]) -> Editor:
    box = QCheckBox()
    box.toggled.connect(lambda _: changed())
    return Editor(box, box.isChecked, box.setChecked)


def _whole(low: float, high: float, unit: str, changed: Callable[[], None]) -> Editor:
    box = WholeBox()
    box.setRange(int(low), int(high))
    box.setSuffix(unit)
    box.setStepType(WholeBox.AdaptiveDecimalStepType)
    box.setKeyboardTracking(False)
    box.valueChanged.connect(lambda _: changed())
    return Editor(box, box.value, box.setValue)


def _number(low: float, high: float, unit: str, changed: Callable[[], None]) -> Editor:
    box = NumberBox()
    box.setRange(low, high)
    box.setSuffix(unit)
    box.valueChanged.connect(lambda _: changed())
    return Editor(box, box.value, box.setValue)


def _optional_number(empty: str, changed: Callable[[], None]) -> Editor:
    line = QLineEdit()
    line.setPlaceholderText(empty)
    line.editingFinished.connect(changed)
    return Editor(
        line,
        lambda: line.text().strip() or None,
        lambda value: line.setText("" if value is None else f"{value:.10g}"),
    )


def _numbers(count: int, kind: type, optional: bool, changed: Callable[[], None]) -> Editor:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    lines = [QLineEdit() for _ in range(count)]
    for line in lines:
        line.setPlaceholderText("auto" if optional else "")
        line.editingFinished.connect(changed)
        layout.addWidget(line)

    def read() -> tuple[Any, ...] | None:
        texts = [line.text().strip() for line in lines]
        return None if optional and not any(texts) else tuple(texts)

    def write(values: tuple[Any, ...] | None) -> None:
        for line, value in zip(lines, values or [""] * count, strict=True):
            line.setText(f"{value:.10g}" if isinstance(value, (int, float)) else str(value))

    return Editor(row, read, write)


def _listed(empty: str, changed: Callable[[], None]) -> Editor:
    line = QLineEdit()
    line.setPlaceholderText(empty)
    line.editingFinished.connect(changed)

    def read() -> tuple[str, ...] | None:
        return tuple(part.strip() for part in line.text().split(",") if part.strip()) or None

    return Editor(line, read, lambda values: line.setText(", ".join(map(str, values or ()))))


def _file(empty: str, changed: Callable[[], None]) -> Editor:
    row, line = QWidget(), QLineEdit()
    line.setPlaceholderText(empty)
    line.editingFinished.connect(changed)

    def browse() -> None:
        chosen, _ = QFileDialog.getOpenFileName(row, "Choose a file", line.text())
        if chosen:
            line.setText(chosen)
            changed()

    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(line)
    layout.addWidget(button("setting_browse", "…", "Choose the file.", browse))

    def read() -> Path | None:
        text = line.text().strip()
        return Path(text).expanduser() if text else None

    return Editor(row, read, lambda value: line.setText("" if value is None else str(value)))


def _text(changed: Callable[[], None]) -> Editor:
    line = QLineEdit()
    line.editingFinished.connect(changed)
    return Editor(line, line.text, line.setText)


def without_none(annotation: Any) -> tuple[Any, bool]:
    """Return a type without None, and whether None was among it."""
    arguments = get_args(annotation)
    if type(None) in arguments and get_origin(annotation) is not Literal:
        return next(part for part in arguments if part is not type(None)), True
    return annotation, False


def _empty(field: FieldInfo) -> str:
    """Return what it means that an editor is empty, from the field's description."""
    _, said, meaning = (field.description or "").partition(EMPTY)
    return meaning.partition(".")[0] if said else "automatic"


def _base(annotation: Any) -> type:
    arguments = get_args(annotation)
    return arguments[0] if arguments else annotation


def _bounds(field: FieldInfo) -> tuple[float, float]:
    low, high = -float(LARGEST), float(LARGEST)
    for item in field.metadata:
        low = next(
            (getattr(item, n) for n in ("ge", "gt") if getattr(item, n, None) is not None), low
        )
        high = next(
            (getattr(item, n) for n in ("le", "lt") if getattr(item, n, None) is not None), high
        )
    return low, high


def unit_of(field: FieldInfo) -> str:
    """Return a field's unit behind a space, or nothing."""
    extra = field.json_schema_extra
    return f" {extra['unit']}" if isinstance(extra, dict) and extra.get("unit") else ""
