"""All settings of a run as a form: those that matter plainly, the rest folded to one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_medcontext.core.config import RunConfig, section_model
from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.networks import NETWORKS, check_patch_size
from napari_medcontext.core.settings import validated
from napari_medcontext.widgets.forms import SectionForm, field_label
from napari_medcontext.widgets.parts import choices, row

VISIBLE = {
    "training": ("steps", "learning_rate"),
    "data": ("patch_size", "spacing"),
    "masking": ("ratio", "block_size"),
    "objective": ("consistency_weight",),
    "device": ("device",),
}
FORM_SPACING = 4
ELSEWHERE = {"objective": ("method",)}
"""Settings that have an editor of their own at the top."""

SUMMARIES: Mapping[str, Callable[[RunConfig], str]] = {
    "training": lambda c: (
        f"Training: {c.training.batch_size} patches a step, preview every "
        f"{c.training.preview_every:g} s, seed {c.training.seed}"
    ),
    "data": lambda c: f"Scans: {_intensity(c)}, {c.data.augmentation} augmentation",
    "masking": lambda c: f"Masking: columns along {_axis(c)}",
    "objective": lambda c: (
        f"Teacher: λ from {c.objective.momentum:g}, "
        f"{c.objective.momentum_schedule.replace('_', ' ')}"
    ),
    "device": lambda c: (
        f"Computing: {c.device.precision} precision, {c.device.threads or 'all'} threads"
    ),
}


class SettingsPanel(QWidget):
    """Network, method and every setting of a run."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.network = choices(
            "train_network",
            "The network to train.",
            [(entry.title, name) for name, entry in NETWORKS.items()],
        )
        self.size = choices(
            "train_size",
            "Small trains on a laptop; paper is the published size.",
            [("small", "small"), ("paper", "paper")],
        )
        self.method = choices(
            "train_method",
            "MedContext learns from the plain and the masked scan with a teacher; supervised from "
            "the plain scan alone, in about half the time a step.",
            [("MedContext", "medcontext"), ("supervised", "supervised")],
        )
        self._boxes = (self.network, self.size, self.method)
        self._main = {s: SectionForm(section_model(s), names) for s, names in VISIBLE.items()}
        self._folded = {s: SectionForm(section_model(s), _rest(s)) for s in VISIBLE}
        self._folds = {s: QCollapsible("", None, "▾", "▸") for s in VISIBLE}
        self._lay_out()
        for box in self._boxes:
            box.currentIndexChanged.connect(lambda _: self._follow())
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
        values: dict[str, dict[str, Any]] = {
            section: {**self._main[section].values(), **self._folded[section].values()}
            for section in VISIBLE
        }
        values["network"] = {"name": self.network.currentData(), "size": self.size.currentData()}
        values["objective"]["method"] = self.method.currentData()
        config = validated(RunConfig, values, "the settings")
        check_patch_size(config.network.name, config.data.patch_size)
        return config

    def set_config(self, config: RunConfig) -> None:
        """Show these settings."""
        values = config.model_dump()
        for section in VISIBLE:
            self._main[section].set_values(values[section])
            self._folded[section].set_values(values[section])
        chosen = (config.network.name, config.network.size, config.objective.method)
        for box, value in zip(self._boxes, chosen, strict=True):
            box.setCurrentIndex(box.findData(value))
        self._follow()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(FORM_SPACING)
        layout.addLayout(row(field_label("Network"), self.network, self.size))
        layout.addLayout(row(field_label("Method"), self.method))
        for form in self._main.values():
            layout.addWidget(form)
        for section, fold in self._folds.items():
            fold.setObjectName(f"train_more_{section}")
            fold.setToolTip("Press to see and change these settings.")
            fold.addWidget(self._folded[section])
            fold.layout().setContentsMargins(0, 0, 0, 0)
            fold.layout().setSpacing(0)
            layout.addWidget(fold)

    def _follow(self) -> None:
        """Tell of the change, and say in each folded line what lies beneath."""
        # A value may be half typed; the press of Train says what is wrong with it.
        with suppress(MedContextError):
            config = self.config()
            for section, fold in self._folds.items():
                fold.setText(SUMMARIES[section](config))
        self.changed.emit()


def _axis(config: RunConfig) -> str:
    return "the slice axis" if config.masking.axis == "auto" else config.masking.axis


def _intensity(config: RunConfig) -> str:
    low, high = config.data.window
    return f"{low:g} to {high:g} HU" if config.data.intensity == "window" else config.data.intensity


def _rest(section: str) -> tuple[str, ...]:
    elsewhere = {*VISIBLE[section], *ELSEWHERE.get(section, ())}
    return tuple(name for name in section_model(section).model_fields if name not in elsewhere)
