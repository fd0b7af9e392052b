"""“Does it help on my scans?”: the method against plain supervision, on the scans of the dock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.events import Event, RunFinished, StudyProgress
from napari_medcontext.core.region_tables import Regions
from napari_medcontext.core.study.plan import StudyFolder
from napari_medcontext.snapshots import Scan, planned_cases, writer
from napari_medcontext.widgets.parts import Text, button, row
from napari_medcontext.widgets.report_window import ReportWindow
from napari_medcontext.widgets.run_monitor import RunMonitor
from napari_medcontext.widgets.run_names import first_free
from napari_medcontext.widgets.session import Session
from napari_medcontext.widgets.trial_plan import (
    plan_text,
    planned_study,
    require_scans,
    scans_to_compare_on,
)


class TrialInputs(NamedTuple):
    """What a trial takes from its dock: scans, settings, regions, and a folder for its own."""

    scans: Sequence[Scan]
    config: RunConfig
    regions: Regions
    parent: Path
    channels: Sequence[str] = ()


class MethodTrial(QWidget):
    """The button that starts a comparison, and what is told of it.

    Parameters
    ----------
    session
        Does the comparison in the background, in place of a training.
    monitor
        Shows it while it runs.
    inputs
        Returns what the dock has chosen; raises ``MedContextError`` where that cannot work.
    """

    def __init__(
        self, session: Session, monitor: RunMonitor, inputs: Callable[[], TrialInputs]
    ) -> None:
        super().__init__()
        self._session, self._monitor, self._inputs = session, monitor, inputs
        self.study: StudyFolder | None = None
        """The comparison that was started or shown last."""
        self.start_button = button(
            "train_trial",
            "Does it help on my scans?",
            "Train with MedContext and plainly supervised, with the same patches and steps, and "
            "score scans that were not trained on: those for validation; of under five scans, "
            "each in turn. It runs in the background, in a folder of its own.",
            self.start,
        )
        self.resume_button = button(
            "train_trial_resume",
            "Go on",
            "Do what is missing of the comparison that was stopped.",
            self._resume_last,
        )
        self.resume_button.setVisible(False)
        self.report_button = button(
            "train_trial_report",
            "Show the comparison",
            "Tables, curves and what may be said, as far as they are.",
            self.show_report,
        )
        self.report_button.setEnabled(False)
        self.plan = Text("train_trial_plan")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row(self.start_button, self.resume_button, self.report_button, None))
        layout.addWidget(self.plan)
        monitor.running_told.connect(self._follow_running)
        session.event_received.connect(self._follow)
        if session.is_training and isinstance(session.folder, StudyFolder):
            self.study = session.folder
            self._follow_running(True)

    def start(self) -> None:
        """Begin a comparison on the chosen scans, in a new folder."""
        try:
            scans, config, regions, parent, channels = self._inputs()
            study = StudyFolder(first_free(parent / "comparison", 1))
            kept = scans_to_compare_on(scans)
            cases = planned_cases(kept, study.path / "scans")
            spec = planned_study(cases, config, regions, channels)
            told = plan_text(spec, scans, study)
        except MedContextError as error:
            self._monitor.tell_error(str(error))
            return
        write_scans = writer(kept, cases, config.data)

        def prepare() -> None:
            write_scans()
            study.create(spec)

        self._begin(study, prepare, told)

    def resume(self, path: Path) -> None:
        """Go on with a comparison that was cut; show one that is alive or complete."""
        study = StudyFolder(path)
        try:
            spec = study.spec()
            require_scans(spec)
            told = plan_text(spec, (), study)
        except MedContextError as error:
            self._monitor.tell_error(str(error))
            return
        self._begin(study, lambda: None, told)

    def show_report(self) -> None:
        """Open a window with what has been found so far."""
        if self.study is None:
            return
        try:
            ReportWindow(self.study.report, self).show()
        except OSError as error:
            self._monitor.tell_error(
                f"{self.study.report} cannot be read ({error.strerror}). Was its folder moved? "
                "Name the folder beside “Run” and press Resume."
            )

    def _resume_last(self) -> None:
        if self.study is not None:
            self.resume(self.study.path)

    def _begin(self, study: StudyFolder, prepare: Callable[[], None], told: str) -> None:
        self.study = study
        self.plan.setText(told)
        self.resume_button.setVisible(False)
        self._monitor.begin(study.name, None)
        self._session.compare(study, prepare)

    def _follow(self, event: Event) -> None:
        if isinstance(event, (StudyProgress, RunFinished)):
            self._show_report_button()
        if isinstance(event, RunFinished) and self.study is self._session.folder:
            made = self.study is not None and self.study.exists()
            self.resume_button.setVisible(made and event.reason != "completed")
            if not made:
                self.plan.setText("")

    def _follow_running(self, running: bool) -> None:
        self.start_button.setEnabled(not running)
        self.resume_button.setEnabled(not running)
        self._show_report_button()

    def _show_report_button(self) -> None:
        there = self.study is not None and self.study.report.is_file()
        self.report_button.setEnabled(there)
