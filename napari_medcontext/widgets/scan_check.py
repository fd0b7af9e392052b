"""Check the chosen scans before they are trained on, and mend what a press can mend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from napari_medcontext.core.config import Role, RunConfig
from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.volume import Volume
from napari_medcontext.layer_volumes import layer_to_volume
from napari_medcontext.widgets.latest import Latest
from napari_medcontext.widgets.parts import Text, button, row
from napari_medcontext.widgets.scan_choice import in_use
from napari_medcontext.widgets.scan_table import ScanTable

if TYPE_CHECKING:
    from napari_medcontext.core.preflight import Checked, Finding

MARKS = {True: "⛔", False: "⚠"}
LIST_HEIGHT = 130


class ScanCheck(QWidget):
    """A button that looks at all chosen scans, and what it found: a list, and a forecast.

    Parameters
    ----------
    scans
        The table of scans.
    layers
        Those of the viewer.
    config
        Returns the settings of the training to come.

    Attributes
    ----------
    findings
        What was found last.
    """

    def __init__(
        self, scans: ScanTable, layers: Sequence[Layer], config: Callable[[], RunConfig]
    ) -> None:
        super().__init__()
        self.findings: list[Finding] = []
        self._scans, self._layers, self._config = scans, layers, config
        self._worker = Latest(self, rest=0)
        self._worker.done.connect(self._show)
        self._worker.failed.connect(self._tell)
        # By itself: what was found is read while the steps are measured.
        self._prober = Latest(self, rest=0)
        self._prober.done.connect(self._show_forecast)
        self._prober.failed.connect(self._tell_no_forecast)
        self.check_button = button(
            "train_check",
            "Check scans",
            "Look for what would spoil the training: labels beside their scan, one scan used "
            "twice, CT that is not in HU, rare classes, specks, cut organs and more. A few "
            "steps then tell how long the training will take.",
            self.check,
        )
        self.leave_button = button(
            "train_leave_out",
            "Leave these scans out",
            "Set the scans of the chosen finding to “unused”.",
            self.leave_out,
        )
        self.message = Text("train_check_message")
        self.forecast = Text("train_forecast")
        self.forecast.setToolTip(
            "Measured in a process of its own, with the settings as they were."
        )
        self.list = QListWidget()
        self.list.setObjectName("train_findings")
        self.list.setToolTip("What was found, what stops a training first.")
        self.list.setWordWrap(True)
        self.list.setMaximumHeight(LIST_HEIGHT)
        self.list.currentRowChanged.connect(lambda _: self._offer())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row(self.check_button, self.leave_button, None))
        layout.addWidget(self.message)
        layout.addWidget(self.list)
        layout.addWidget(self.forecast)
        scans.changed.connect(self._forget)
        self._forget()

    def check(self) -> None:
        """Look at the scans as they are now."""
        try:
            rows, layers, config = in_use(self._scans.rows()), list(self._layers), self._config()
            scans = [
                (
                    each.role,
                    layer_to_volume(each.image, layers, held=False),
                    None if each.labels is None else layer_to_volume(each.labels, layers),
                )
                for each in rows
            ]
        except MedContextError as error:
            self._tell(str(error))
            return
        if not scans:
            self._tell("No scan is used. Set some to “training”.")
            return
        self.check_button.setEnabled(False)
        self.message.setText("Looking…")
        self.forecast.setText("")
        self._worker.ask(partial(_checked, scans, config, self._scans.channels))

    def leave_out(self) -> None:
        """Set the scans of the chosen finding to “unused”, and look at the others again."""
        finding = self._chosen()
        if finding is None:
            return
        for each in self._scans.rows():
            if each.image.name in finding.scans:
                self._scans.choose(each.image, each.labels, "unused")
        self.check()

    def _show(self, checked: Checked) -> None:
        self.check_button.setEnabled(True)
        self._list(checked.findings)
        if not checked.stops:
            self.forecast.setText("Measuring what a step takes…")
            self._prober.ask(partial(_with_forecast, checked))

    def _show_forecast(self, checked: Checked) -> None:
        if not self.forecast.text():
            return  # The scans are others now.
        self.forecast.setText(str(checked.forecast or ""))
        if len(checked.findings) > len(self.findings):
            self._list(checked.findings)

    def _tell_no_forecast(self, message: str) -> None:
        self.forecast.setText(f"⚠ {message}" if self.forecast.text() else "")

    def _list(self, findings: Sequence[Finding]) -> None:
        self.findings = list(findings)
        self.list.clear()
        for finding in findings:
            text = f"{MARKS[finding.stops]} {finding.what} {finding.remedy}".strip()
            item = QListWidgetItem(text)
            item.setData(Qt.ItemDataRole.UserRole, finding)
            self.list.addItem(item)
        stopping = sum(finding.stops for finding in findings)
        self.message.setText(
            f"{stopping} findings would stop the training, {len(findings) - stopping} are odd."
            if findings
            else "✓ Nothing is wrong or odd."
        )
        self._offer()

    def _chosen(self) -> Any:
        item = self.list.currentItem()
        return None if item is None else item.data(Qt.ItemDataRole.UserRole)

    def _offer(self) -> None:
        finding = self._chosen()
        self.list.setVisible(bool(self.findings))
        self.leave_button.setVisible(bool(self.findings))
        self.leave_button.setEnabled(finding is not None and bool(finding.scans))

    def _forget(self) -> None:
        """Drop what was found: the scans are others now."""
        self.findings = []
        self.list.clear()
        self.message.setText("")
        self.forecast.setText("")
        self._offer()

    def _tell(self, message: str) -> None:
        self.check_button.setEnabled(True)
        self._forget()
        self.message.setText(f"⚠ {message}")


def _checked(
    scans: Sequence[tuple[Role, Volume, Volume | None]], config: RunConfig, channels: Sequence[str]
) -> Checked:
    # What looks for them is imported here, in the background: a dock should open at once.
    from napari_medcontext.core.preflight import check_volumes

    return check_volumes(scans, config, channels)


def _with_forecast(checked: Checked) -> Checked:
    from napari_medcontext.core.preflight import with_forecast

    return with_forecast(checked)
