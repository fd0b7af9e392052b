"""All settings of a run as a form: those that matter plainly, the rest folded to one line each."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_medcontext.core.config import RunConfig, section_model
from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.settings import validated
from napari_medcontext.widgets.fold import Fold
from napari_medcontext.widgets.forms import SectionForm, field_label
from napari_medcontext.widgets.method_box import MethodBox
from napari_medcontext.widgets.network_box import NetworkBox
from napari_medcontext.widgets.parts import choices, row
from napari_medcontext.widgets.summaries import SUMMARIES

VISIBLE = {
    "training": ("steps", "learning_rate"),
    "data": ("patch_size", "spacing"),
    "masking": ("ratio", "block_size"),
    "objective": ("consistency_weight",),
    "device": ("device",),
}
FORM_SPACING = 4
ELSEWHERE = {"network": ("name", "size"), "objective": ("method",)}
"""Settings that have an editor of their own at the top."""


class SettingsPanel(QWidget):
    """Network, method and every setting of a run."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.network = NetworkBox()
        self.size = choices(
            "train_size",
            "Small trains on a laptop; paper is the published size.",
            [("small", "small"), ("paper", "paper")],
        )
        self.method = MethodBox()
        self._main = {s: SectionForm(section_model(s), names) for s, names in VISIBLE.items()}
        self._folded = {s: SectionForm(section_model(s), _rest(s)) for s in SUMMARIES}
        self._folds = {s: Fold(f"train_more_{s}") for s in SUMMARIES}
        self._lay_out()
        self.network.currentIndexChanged.connect(self._change_network)
        self.size.currentIndexChanged.connect(self._follow)
        self.method.currentIndexChanged.connect(self._apply_method)
        for form in (*self._main.values(), *self._folded.values()):
            form.changed.connect(self._follow)
        self._follow()

    def config(self) -> RunConfig:
        """Return the settings as the form says.

        Raises
        ------
        SettingsError
            Naming what cannot work.
        """
        config = self._said()
        self.network.check(config)
        return config

    def set_config(self, config: RunConfig) -> None:
        """Show these settings."""
        with QSignalBlocker(self.network), QSignalBlocker(self.size):
            self.network.choose(config.network.name)
            self.size.setCurrentIndex(self.size.findData(config.network.size))
        self.method.show_match(config, self.network.known_name)
        self._show(config.model_dump())
        self._follow()

    def _said(self) -> RunConfig:
        """Return the settings, whether the network can take them or not."""
        values: dict[str, dict[str, Any]] = {s: form.values() for s, form in self._folded.items()}
        for section, form in self._main.items():
            values[section] |= form.values()
        values["network"] |= {"name": self.network.name, "size": self.size.currentData()}
        method = "supervised" if self.method.is_supervised else "medcontext"
        values["objective"]["method"] = method
        return validated(RunConfig, values, "the settings")

    def _show(self, values: Mapping[str, Mapping[str, Any]]) -> None:
        """Fill the forms, and tell of it only once they agree with each other."""
        with ExitStack() as silent:
            for section, form in (*self._main.items(), *self._folded.items()):
                silent.enter_context(QSignalBlocker(form))
                form.set_values(values.get(section, {}))

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(FORM_SPACING)
        layout.addLayout(row(field_label("Network"), self.network, self.size))
        layout.addLayout(row(field_label("Method"), self.method))
        for form in self._main.values():
            layout.addWidget(form)
        for section, fold in self._folds.items():
            fold.addWidget(self._folded[section])
            layout.addWidget(fold)

    def _change_network(self) -> None:
        """Set anew what a way to train sets by the network: whether tokens are hidden."""
        if self.method.hides:
            self._apply_method()
        else:
            self._follow()

    def _apply_method(self) -> None:
        """Take over the settings of the chosen way to train."""
        self._show(self.method.settings(self.network.known_name))
        self._follow()

    def _follow(self) -> None:
        """Tell of the change, and say in each folded line what lies beneath."""
        # A value may be half typed; the press of Train says what is wrong with it.
        with suppress(MedContextError):
            config = self._said()
            self.method.show_match(config, self.network.known_name)
            for section, fold in self._folds.items():
                fold.setText(SUMMARIES[section](config))
        self.changed.emit()


def _rest(section: str) -> tuple[str, ...]:
    elsewhere = {*VISIBLE.get(section, ()), *ELSEWHERE.get(section, ())}
    return tuple(name for name in section_model(section).model_fields if name not in elsewhere)
