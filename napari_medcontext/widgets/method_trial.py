"""“Does it help on my scans?”: the method against plain supervision, on the scans of the dock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_medcontext.core.config import Case, RunConfig
from napari_medcontext.core.errors import MedContextError, ScanError
from napari_medcontext.core.events import Event, RunFinished, StudyProgress
from napari_medcontext.core.method_settings import ObjectiveSettings
from napari_medcontext.core.region_tables import Regions
from napari_medcontext.core.settings import validated
from napari_medcontext.core.study.arms import BASELINE, Arm
from napari_medcontext.core.study.plan import StudyFolder, StudySpec, cells_of
from napari_medcontext.snapshots import Scan, planned_cases, writer
from napari_medcontext.widgets.pace import about_text, expected_seconds
from napari_medcontext.widgets.parts import button, label, row
from napari_medcontext.widgets.report_window import ReportWindow
from napari_medcontext.widgets.run_monitor import RunMonitor
from napari_medcontext.widgets.run_names import first_free
from napari_medcontext.widgets.session import Session

FEW = 5
"""With fewer scans than this each is left out in turn."""
HELD_OUT = 3
"""With more, and none for validation, every third is scored and not trained on."""
METHOD = "MedContext"
CHECKPOINTS = 4


class TrialInputs(NamedTuple):
    """What a trial takes from its dock: scans, settings, regions, and a folder for its own."""

    scans: Sequence[Scan]
    config: RunConfig
    regions: Regions
    parent: Path


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
        self.plan = label("train_trial_plan")
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
            scans, config, regions, parent = self._inputs()
            study = StudyFolder(first_free(parent / "comparison", 1))
            kept = scans_to_compare_on(scans)
            cases = planned_cases(kept, study.path / "scans")
            spec = planned_study(cases, config, regions)
            told = plan_text(spec, scans, study)
        except MedContextError as error:
            self._monitor.tell_error(str(error))
            return
        write_scans = writer(kept, cases, config.data.ignore_label)

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


def scans_to_compare_on(scans: Sequence[Scan]) -> list[Scan]:
    """Return the scans of a comparison; those to score alone have the role ``validation``.

    Of under five scans each is left out in turn, so none is set aside. Scans without labels
    take no part.

    Raises
    ------
    ScanError
        If there are too few.
    """
    labelled = [
        scan
        for scan in scans
        if scan.labels is not None and scan.role in ("training", "validation")
    ]
    if len(labelled) < 2:
        raise ScanError(
            "To see whether the method helps, a scan must be scored that was not trained on: "
            "choose at least two scans with labels for training or validation."
        )
    if len(labelled) < FEW:
        return [replace(scan, role="training") for scan in labelled]
    if any(scan.role == "validation" for scan in labelled):
        return labelled
    return [
        replace(scan, role="validation") if place % HELD_OUT == HELD_OUT - 1 else scan
        for place, scan in enumerate(labelled)
    ]


def planned_study(cases: Sequence[Case], config: RunConfig, regions: Regions) -> StudySpec:
    """Return the plan: plain supervision, and the method as the settings have it."""
    objective = config.objective
    if objective.method == BASELINE:
        objective = ObjectiveSettings()
    method = {
        "objective": objective.model_dump(mode="json"),
        "masking": config.masking.model_dump(mode="json"),
    }
    values = {
        "config": config,
        "networks": [config.network.name],
        "arms": [Arm(name=BASELINE, preset=BASELINE), Arm(name=METHOD, changes=method)],
        "seeds": [config.training.seed],
        "training": [case for case in cases if case.role == "training"],
        "test": [case for case in cases if case.role == "validation"],
        "regions": regions,
        "checkpoints": CHECKPOINTS,
    }
    return validated(StudySpec, values, "the comparison")


def require_scans(spec: StudySpec) -> None:
    """Refuse a plan whose scans are gone.

    Raises
    ------
    ScanError
        Naming the first file that is not there.
    """
    files = [path for case in (*spec.training, *spec.test) for path in (case.image, case.labels)]
    missing = next((path for path in files if path is not None and not path.is_file()), None)
    if missing is not None:
        raise ScanError(
            f"{missing} is not there any more. If the comparison was moved, move it back to where "
            "it was made."
        )


def plan_text(spec: StudySpec, scans: Sequence[Scan], study: StudyFolder) -> str:
    """Say how many trainings a comparison takes, how long, and which scans are scored.

    Raises
    ------
    SettingsError
        If one of its trainings cannot work.
    """
    configs = [cell.run_spec().config for cell in cells_of(spec)]
    text = f"{len(configs)} trainings of {spec.config.training.steps} steps"
    seconds = [expected_seconds(config) for config in configs]
    if None not in seconds:
        text += f", {about_text(sum(filter(None, seconds)))} as fast as the last runs here"
    scored = ", ".join(case.name for case in spec.test)
    if spec.leaves_one_out:
        scored = f"each of {len(spec.training)} scans, left out in turn"
    bare = [scan.image.name for scan in scans if scan.labels is None and scan.role == "training"]
    without = f" Without labels, and so left out: {', '.join(bare)}." if bare else ""
    return (
        f"{text}; scored on {scored}.{without} In {study.path}: name it beside “Run” and press "
        "Resume to see it again or go on with it."
    )
