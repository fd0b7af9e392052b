"""The Train dock: choose scans, press Train, watch it learn."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_error, show_info
from napari.viewer import Viewer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_medcontext.core.config import RunConfig, RunSpec, Settings, validated
from napari_medcontext.core.errors import MedContextError, RunError, ScanError
from napari_medcontext.core.events import (
    Event,
    Paused,
    Preparing,
    Resumed,
    RunFinished,
    RunStarted,
    StepFinished,
    Warned,
)
from napari_medcontext.core.networks import NETWORKS, check_patch_size
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.volume import same_grid
from napari_medcontext.layers import layer_grid, layer_to_volume
from napari_medcontext.snapshots import Scan, planned_cases, writer
from napari_medcontext.widgets.curves import Curves
from napari_medcontext.widgets.forms import SectionForm
from napari_medcontext.widgets.preferences import load_preferences, save_preferences
from napari_medcontext.widgets.scan_table import ScanRow, ScanTable
from napari_medcontext.widgets.session import real_viewer, session_of

VISIBLE = {
    "training": ("steps", "learning_rate"),
    "data": ("patch_size", "spacing"),
    "masking": ("ratio", "block_size"),
    "objective": ("consistency_weight",),
    "device": ("device",),
}
RUNNER_TITLES = {"process": "in the background", "thread": "inside napari"}


class TrainDock(QWidget):
    """Choose image and label layers, train on them, and watch.

    Parameters
    ----------
    napari_viewer
        The napari viewer whose layers are offered.
    """

    finished = Signal()
    """A run has ended, in whatever way."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        # napari hands docks a proxy, whose layers are never the same objects twice.
        viewer = real_viewer(napari_viewer)
        self.setObjectName("train")
        self._viewer = viewer
        self._session = session_of(viewer)
        self._steps, self._times = 0, []  # type: tuple[int, list[tuple[int, float]]]
        self._paused = False
        self._build()
        self._lay_out()
        self._restore_preferences()
        self.scans.changed.connect(self._check)
        self._session.event_received.connect(self._receive)
        self._show_state()
        self._check()

    # What a test or a script presses.

    def train(self) -> None:
        """Start a new run on the chosen scans."""
        try:
            config, run = self.config(), RunFolder(self.run_path.text().strip())
            if run.exists():
                raise RunError(
                    f"{run.path} holds a run already. Press Resume to go on with it, or name "
                    "another folder."
                )
            scans = self._chosen_scans()
            cases = planned_cases(scans, run.path / "scans")
            write_scans = writer(scans, cases)
            spec = RunSpec(config=config, cases=cases)
        except MedContextError as error:
            self._tell_error(str(error))
            return
        save_preferences(train=config.model_dump(mode="json"), folder=str(run.path.parent))

        def prepare() -> None:
            write_scans()
            run.create(spec)

        self._begin(run)
        self._session.train(run, prepare, self._runner_kind())

    def resume(self) -> None:
        """Go on with the run in the named folder, or watch it if somebody trains it already."""
        try:
            run = RunFolder(self.run_path.text().strip())
            run.spec()
        except MedContextError as error:
            self._tell_error(str(error))
            return
        self._begin(run)
        if run.is_alive():
            self._session.attach(run.path)
        else:
            self._session.train(run, lambda: None, self._runner_kind())

    def pause(self) -> None:
        """Pause, or go on after a pause."""
        if self._paused:
            self._session.resume()
        else:
            self._session.pause()
            self.message.setText("Pausing after this step…")

    def stop(self) -> None:
        """Save and end."""
        self._session.stop()
        self.message.setText("Stopping after this step; what was learned is kept…")

    def config(self) -> RunConfig:
        """Return the settings as the form says.

        Raises
        ------
        SettingsError
            Naming what cannot work.
        """
        changes: dict[str, dict[str, Any]] = {}
        for (section, _), form in self._forms.items():
            changes.setdefault(section, {}).update(form.values())
        changes["network"] = {"name": self.network.currentData(), "size": self.size.currentText()}
        changes["objective"]["method"] = self.method.currentText()
        config = validated(RunConfig, changes, "the settings")
        check_patch_size(config.network.name, config.data.patch_size)
        return config

    def set_config(self, config: RunConfig) -> None:
        """Show these settings."""
        values = config.model_dump()
        for (section, _), form in self._forms.items():
            form.set_values(values[section])
        self.network.setCurrentIndex(self.network.findData(config.network.name))
        self.size.setCurrentText(config.network.size)
        self.method.setCurrentText(config.objective.method)

    # Building

    def _build(self) -> None:
        self.scans = ScanTable(self._viewer)
        self.pair_button = _button(
            "train_pair",
            "Pair layers",
            "Pair scans and labels anew, by name and shape.",
            self.scans.pair,
        )
        self.preflight = _label("train_preflight")
        self.network = _choices(
            "train_network",
            "The network to train.",
            [(entry.title, name) for name, entry in NETWORKS.items()],
        )
        self.size = _choices(
            "train_size",
            "Small trains on a laptop; paper is the published size.",
            [("small", None), ("paper", None)],
        )
        self.method = _choices(
            "train_method",
            "medcontext learns from the plain and the masked scan with a teacher; supervised from "
            "the plain scan alone.",
            [("medcontext", None), ("supervised", None)],
        )
        self.runner = _choices(
            "train_runner",
            "In the background: a process of its own, which keeps napari fluid and may outlive "
            "it. Inside napari: a thread.",
            [(title, kind) for kind, title in RUNNER_TITLES.items()],
        )
        self._forms = {(s, "main"): SectionForm(_section(s), names) for s, names in VISIBLE.items()}
        for section, names in VISIBLE.items():
            hidden = {"method"} if section == "objective" else set()
            rest = tuple(n for n in _section(section).model_fields if n not in {*names, *hidden})
            if rest:
                self._forms[section, "more"] = SectionForm(_section(section), rest)
        self.run_path = QLineEdit()
        self.run_path.setObjectName("train_run")
        self.run_path.setToolTip("The folder that the run is written to.")
        self.browse_button = _button("train_browse", "…", "Choose the run's folder.", self._browse)
        self.train_button = _button(
            "train_start", "Train", "Train on the chosen scans.", self.train
        )
        self.resume_button = _button(
            "train_resume", "Resume", "Go on with the run in this folder, or watch it.", self.resume
        )
        self.pause_button = _button(
            "train_pause", "Pause", "Wait after the current step; press again to go on.", self.pause
        )
        self.stop_button = _button(
            "train_stop", "Stop", "End after the current step; what was learned is kept.", self.stop
        )
        self.progress = QProgressBar()
        self.progress.setObjectName("train_progress")
        self.progress.setTextVisible(False)
        self.message = _label("train_message")
        self.curves = Curves()

    def _lay_out(self) -> None:
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(_row(QLabel("<b>Scans</b>"), None, self.pair_button))
        layout.addWidget(self.scans)
        layout.addWidget(self.preflight)
        layout.addLayout(_row(QLabel("Network"), self.network, self.size))
        layout.addLayout(_row(QLabel("Method"), self.method, self.runner))
        for (_, part), form in self._forms.items():
            if part == "main":
                layout.addWidget(form)
        more = QCollapsible("More settings")
        more.setObjectName("train_more")
        for (section, part), form in self._forms.items():
            if part == "more":
                more.addWidget(QLabel(f"<b>{section.capitalize()}</b>"))
                more.addWidget(form)
        layout.addWidget(more)
        layout.addLayout(_row(QLabel("Run"), self.run_path, self.browse_button))
        layout.addLayout(
            _row(self.train_button, self.resume_button, self.pause_button, self.stop_button)
        )
        layout.addWidget(self.progress)
        layout.addWidget(self.message)
        layout.addWidget(self.curves)
        self.scans.setMinimumHeight(140)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)
        self.setMinimumWidth(380)

    def _restore_preferences(self) -> None:
        remembered = load_preferences()
        try:
            self.set_config(validated(RunConfig, remembered.get("train", {}), "preferences"))
        except MedContextError:
            self.set_config(RunConfig())
        parent = Path(remembered.get("folder", Path.home() / "medcontext"))
        self.run_path.setText(str(_free_name(parent)))

    # Scans

    def _chosen_scans(self) -> list[Scan]:
        layers = list(self._viewer.layers)
        rows = [row for row in self.scans.rows() if row.role != "unused"]
        if not any(row.role == "training" for row in rows):
            raise ScanError(
                "There is no scan to train on. Open scans and their labels (File > Open, or "
                "File > Open Sample > MedContext), and set at least one to “training”."
            )
        for row in rows:
            problem = self._row_problem(row)
            if problem:
                raise ScanError(problem)
        return [
            Scan(
                layer_to_volume(row.image, layers),
                None if row.labels is None else layer_to_volume(row.labels, layers),
                row.role,
            )
            for row in rows
        ]

    def _row_problem(self, row: ScanRow) -> str:
        """Say what is wrong with a row, as far as it shows without reading voxels."""
        if row.labels is None:
            if row.role in ("training", "validation"):
                return f"“{row.image.name}” is for {row.role} but has no labels. Choose its labels."
            return ""
        layers = list(self._viewer.layers)
        try:
            image, labels = layer_grid(row.image, layers), layer_grid(row.labels, layers)
        except MedContextError as error:
            return str(error)
        if image.shape != labels.shape:
            return (
                f"“{labels.name}” has the shape {labels.shape} but “{image.name}” has "
                f"{image.shape}. Pair each scan with the labels drawn on it."
            )
        if not same_grid(image, labels):
            return (
                f"“{labels.name}” does not lie on “{image.name}”: their affines differ. Choose "
                "the labels that belong to this scan."
            )
        return ""

    def _check(self) -> None:
        rows = [row for row in self.scans.rows() if row.role != "unused"]
        training = [row for row in rows if row.role == "training"]
        problem = next(filter(None, map(self._row_problem, rows)), "")
        if problem:
            self.preflight.setText(f"⚠ {problem}")
        elif not training:
            self.preflight.setText("Open scans with their labels, and set some to “training”.")
        else:
            spacing = layer_grid(training[0].image, list(self._viewer.layers)).spacing
            sizes = " × ".join(f"{size:.3g}" for size in spacing)
            self.preflight.setText(f"✓ {len(training)} to train on, {sizes} mm; all good.")

    # Events

    def _begin(self, run: RunFolder) -> None:
        self._paused, self._times = False, []
        self.curves.clear()
        self.progress.setRange(0, 0)
        self.message.setText(f"Preparing {run.name}…")
        self._show_state(running=True)

    def _receive(self, event: Event) -> None:
        self.curves.receive(event)
        match event:
            case Preparing(message=message):
                self.message.setText(f"{message}…")
            case RunStarted(steps=steps, first_step=first):
                self._steps, self._times = steps, []
                self.progress.setRange(0, steps)
                self.progress.setValue(first)
                self._show_state()
            case StepFinished(step=step):
                self._times = [*self._times[-50:], (step, time.monotonic())]
                self.progress.setValue(step)
                self.message.setText(f"Step {step} of {self._steps}{self._time_left()}")
            case Paused(step=step):
                self._paused = True
                self.message.setText(f"Paused after step {step} of {self._steps}.")
                self._show_state()
            case Resumed():
                self._paused, self._times = False, []
                self._show_state()
            case Warned(message=message):
                show_info(message)
            case RunFinished():
                self._end(event)

    def _end(self, event: RunFinished) -> None:
        self.progress.setRange(0, max(1, self._steps))
        self.progress.setValue(event.step)
        self._paused = False
        if event.reason == "failed":
            self._tell_error(event.message)
        else:
            self.message.setText(event.message)
            show_info(event.message)
        self._show_state()
        self.finished.emit()

    def _time_left(self) -> str:
        if len(self._times) < 3:
            return ""
        (first, then), (last, now) = self._times[0], self._times[-1]
        seconds = (now - then) / max(1, last - first) * (self._steps - last)
        return f" · {int(seconds) // 60}:{int(seconds) % 60:02d} left"

    def _show_state(self, running: bool | None = None) -> None:
        running = self._session.is_training if running is None else running
        self.train_button.setEnabled(not running)
        self.resume_button.setEnabled(not running)
        self.pause_button.setEnabled(running)
        self.stop_button.setEnabled(running)
        self.pause_button.setText("Go on" if self._paused else "Pause")

    def _tell_error(self, text: str) -> None:
        self.message.setText(f"⚠ {text}")
        show_error(text)

    def _runner_kind(self) -> str:
        return str(self.runner.currentData())

    def _browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Run folder", self.run_path.text())
        if chosen:
            self.run_path.setText(chosen)


def _section(name: str) -> type[Settings]:
    annotation = RunConfig.model_fields[name].annotation
    assert isinstance(annotation, type)
    return annotation


def _free_name(parent: Path) -> Path:
    number = 1
    while (parent / f"run-{number}").exists():
        number += 1
    return parent / f"run-{number}"


def _button(name: str, text: str, tip: str, action: Any) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    button.setToolTip(tip)
    button.clicked.connect(lambda _: action())
    return button


def _choices(name: str, tip: str, options: list[tuple[str, Any]]) -> QComboBox:
    box = QComboBox()
    box.setObjectName(name)
    box.setToolTip(tip)
    for text, data in options:
        box.addItem(text, data)
    return box


def _label(name: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    return label


def _row(*widgets: QWidget | None) -> QHBoxLayout:
    layout = QHBoxLayout()
    for widget in widgets:
        if widget is None:
            layout.addStretch()
        else:
            layout.addWidget(widget)
    return layout
