"""The Train dock: choose scans, press Train, watch it learn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari.viewer import Viewer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from napari_medcontext.core.channel_files import listed_channels
from napari_medcontext.core.config import Case, RunConfig, RunSpec
from napari_medcontext.core.data_presets import DataPreset
from napari_medcontext.core.errors import MedContextError, RunError
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.settings import validated
from napari_medcontext.core.study.plan import StudyFolder
from napari_medcontext.snapshots import Scan, planned_cases, writer
from napari_medcontext.widgets.data_set_box import DataSetBox
from napari_medcontext.widgets.docks import Dock, open_dock
from napari_medcontext.widgets.forms import field_label
from napari_medcontext.widgets.method_trial import MethodTrial, TrialInputs
from napari_medcontext.widgets.pace import about_text, expected_seconds
from napari_medcontext.widgets.parts import Text, button, choices, folder_chooser, row, text_line
from napari_medcontext.widgets.patch_section import PatchSection
from napari_medcontext.widgets.preferences import load_preferences, save_preferences
from napari_medcontext.widgets.regions_editor import RegionsEditor
from napari_medcontext.widgets.reveal import Reveal
from napari_medcontext.widgets.run_monitor import RunMonitor
from napari_medcontext.widgets.run_names import free_name, next_name, run_in
from napari_medcontext.widgets.scan_check import ScanCheck
from napari_medcontext.widgets.scan_choice import chosen_scans, preflight, present_classes
from napari_medcontext.widgets.scan_table import ScanTable
from napari_medcontext.widgets.session import real_viewer, session_of
from napari_medcontext.widgets.settings_panel import SettingsPanel

OTHER_DOCKS: dict[Dock, str] = {
    "Preview": "Watch what the student and the teacher answer while they learn.",
    "Predict": "Apply this run to open scans.",
    "Compare": "Score a prediction against a reference.",
    "Inspect": "See what is hidden, what comes back, and where the networks disagree.",
}


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
        self.remembers = True
        """Whether the settings of a run that starts come back next time."""
        self._viewer = viewer
        self._session = session_of(viewer)
        self._build()
        self._lay_out()
        self._restore_preferences()
        self.scans.changed.connect(self._check)
        self.channels.editingFinished.connect(self.follow_channels)
        self.data_set.chosen.connect(self._follow_data_set)
        self.settings.changed.connect(self._follow_settings)
        self.monitor.running_told.connect(self._follow_running)
        self.monitor.ended.connect(self._end)
        self.curves.began.connect(self._curves_seen.keep)
        self._follow_settings()
        self._join()

    # What a test or a script presses.

    def train(self) -> None:
        """Start a new run on the chosen scans."""
        try:
            config, run = self.config(), self._new_run()
            scans = self._chosen(config)
            cases = planned_cases(scans, run.path / "scans")
            spec = self._spec(config, cases)
        except MedContextError as error:
            self.monitor.tell_error(str(error))
            return
        self.run_path.setText(str(run.path))
        kind = str(self.runner.currentData())
        write_scans = writer(scans, cases, config.data)
        if self.remembers:
            # Weights to start from are chosen for one run; the next starts afresh.
            afresh = config.updated({"network": {"pretrained": None}})
            settings = afresh.model_dump(mode="json")
            save_preferences(train=settings, folder=str(run.path.parent), runner=kind)

        def prepare() -> None:
            # Again: another program may have begun a run here since.
            run.require_free()
            write_scans()
            run.create(spec)

        self._begin(run, config)
        self._session.train(run, prepare, kind)

    def resume(self) -> None:
        """Go on with the run in the named folder; watch one that is alive, show a finished one.

        The same for the folder of a comparison.
        """
        try:
            run = self._named_run()
            if StudyFolder(run.path).exists():
                self.trial.resume(run.path)
                return
            config = run.spec().config
        except MedContextError as error:
            self.monitor.tell_error(str(error))
            return
        finished = run.last_step() >= config.training.steps
        # A finished run tells nothing of how fast this machine is now.
        self._begin(run, None if finished else config)
        if run.is_alive() or finished:
            self._session.attach(run.path)
        else:
            self.monitor.show_log(run)
            self._session.train(run, lambda: None, str(self.runner.currentData()))

    def follow_channels(self) -> None:
        """Take layers for channels as the line says."""
        try:
            self.scans.show_channels(listed_channels(self.channels.text()))
        except MedContextError as error:
            self.preflight.setText(f"⚠ {error}")

    def config(self) -> RunConfig:
        """Return the settings as the form says.

        Raises
        ------
        SettingsError
            Naming what cannot work.
        """
        return self.settings.config()

    def set_config(self, config: RunConfig) -> None:
        """Show these settings."""
        self.settings.set_config(config)

    # Building

    def _build(self) -> None:
        self.scans = ScanTable(self._viewer)
        self.scans.setMinimumHeight(140)
        self.pair_button = button(
            "train_pair",
            "Pair layers",
            "Pair scans and labels anew, by name and shape.",
            self.scans.pair,
        )
        self.channels = text_line(
            "train_channels",
            "Where each scan is several layers: what they are, such as FLAIR, T1. Their names "
            "begin with the scan's and end with the channel's: case1_FLAIR, case1_T1.",
            "one layer is one scan",
        )
        self.data_set = DataSetBox(self.scans)
        self.preflight = Text("train_preflight")
        self.settings = SettingsPanel()
        self.patches = PatchSection(self._viewer, self.scans, self.settings)
        self.check = ScanCheck(self.scans, self._viewer.layers, self.config)
        self._valid = RunConfig()
        """The settings when they were last without fault."""
        self.regions = RegionsEditor(lambda: present_classes(self.scans.rows()))
        self.estimate = Text("train_estimate")
        self.runner = choices(
            "train_runner",
            "In the background: a process of its own, which keeps napari fluid and may outlive "
            "it. Inside napari: a thread.",
            [("in the background", "process"), ("inside napari", "thread")],
        )
        self.run_path, self.browse_button = folder_chooser(
            "train", "The folder that the run is written to.", run_in
        )
        self.train_button = button("train_start", "Train", "Train on the chosen scans.", self.train)
        self.resume_button = button(
            "train_resume", "Resume", "Go on with the run in this folder, or show it.", self.resume
        )
        self.monitor = RunMonitor(self._session, self)
        # Shown in this dock like its own.
        self.pause_button, self.stop_button = self.monitor.pause_button, self.monitor.stop_button
        self.progress, self.message = self.monitor.progress, self.monitor.message
        self.curves = self.monitor.curves
        self.trial = MethodTrial(self._session, self.monitor, self._trial_inputs)
        self.next_buttons = [self._opener(name, tip) for name, tip in OTHER_DOCKS.items()]

    def _lay_out(self) -> None:
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(row(QLabel("<b>Scans</b>"), None, self.pair_button))
        layout.addWidget(self.scans)
        layout.addWidget(self.data_set)
        layout.addLayout(row(field_label("Channels"), self.channels))
        layout.addWidget(self.preflight)
        layout.addWidget(self.check)
        layout.addWidget(self.settings)
        layout.addWidget(self.patches)
        layout.addWidget(self.regions)
        layout.addLayout(row(field_label("Run"), self.run_path, self.browse_button))
        layout.addLayout(row(field_label("Compute"), self.runner))
        layout.addWidget(self.estimate)
        layout.addLayout(
            row(self.train_button, self.resume_button, self.pause_button, self.stop_button)
        )
        layout.addWidget(self.progress)
        layout.addWidget(self.message)
        layout.addLayout(row(*self.next_buttons))
        layout.addWidget(self.curves)
        layout.addWidget(self.trial)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(content)
        self._curves_seen = Reveal(scroll, self.curves)
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
        self.run_path.setText(str(free_name(parent)))
        self.runner.setCurrentIndex(max(0, self.runner.findData(remembered.get("runner"))))

    # Before a run

    def _named_run(self) -> RunFolder:
        path = self.run_path.text().strip()
        if not path:
            raise RunError("There is no run folder. Name one beside “Run”.")
        return RunFolder(path)

    def _new_run(self) -> RunFolder:
        """Return the named folder, or the next free one after a run that was completed here.

        Raises
        ------
        RunError
            If the folder holds another run.
        """
        run = self._named_run()
        if run.path == self.monitor.completed:
            return RunFolder(next_name(run.path))
        run.require_free()
        return run

    def _trial_inputs(self) -> TrialInputs:
        config, parent = self.config(), self._named_run().path.parent
        channels = self.scans.channels
        return TrialInputs(self._chosen(config), config, self.regions.regions(), parent, channels)

    def _chosen(self, config: RunConfig) -> list[Scan]:
        layers = list(self._viewer.layers)
        return chosen_scans(self.scans.rows(), layers, config, self.scans.channels)

    def _spec(self, config: RunConfig, cases: Sequence[Case]) -> RunSpec:
        values = {"config": config, "cases": cases, "regions": self.regions.regions()}
        values |= {"channels": self.scans.channels, "class_names": self.data_set.class_names}
        return validated(RunSpec, values, "the settings")

    def _follow_data_set(self, preset: DataPreset) -> None:
        """Take all that is known of a public data set."""
        try:
            self.set_config(self.config().updated(preset.changes_to_another))
        except MedContextError as error:
            self.monitor.tell_error(str(error))
            return
        self.channels.setText(", ".join(preset.channels) if len(preset.channels) > 1 else "")
        self.follow_channels()
        self.regions.set_regions(preset.regions)

    def _check(self) -> None:
        rows, layers = self.scans.rows(), list(self._viewer.layers)
        self.preflight.setText(preflight(rows, layers, self._valid, self.scans.channels))

    def _follow_settings(self) -> None:
        self._estimate()
        self._check()

    def _estimate(self) -> None:
        try:
            config = self._valid = self.config()
        except MedContextError as error:
            self.estimate.setText(f"⚠ {error}")
            return
        duration = ""
        if (seconds := expected_seconds(config)) is not None:
            duration = f", {about_text(seconds)}, as fast as the last run here"
        self.estimate.setText(f"{config.training.steps} steps{duration}.")

    # While it runs

    def _begin(self, run: RunFolder, config: RunConfig | None) -> None:
        self.monitor.completed = None
        self.monitor.begin(run.name, config)
        self._curves_seen.promise()

    def _join(self) -> None:
        if self._session.is_training and self._session.run is not None:
            self.run_path.setText(str(self._session.run.path))
        self.monitor.join()

    def _follow_running(self, running: bool) -> None:
        self.train_button.setEnabled(not running)
        self.resume_button.setEnabled(not running)

    def _end(self) -> None:
        self._estimate()
        self.finished.emit()

    def _opener(self, name: Dock, tip: str) -> QPushButton:
        return button(
            f"train_open_{name.lower()}", f"{name}…", tip, lambda: open_dock(self._viewer, name)
        )
