"""Context probe: how much of an organ the student knows from what lies around it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QFileDialog, QFormLayout, QVBoxLayout, QWidget

from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.events import InspectionReady, ProbeFinished
from napari_medcontext.core.inspection import ProbeAsk
from napari_medcontext.core.probe import ProbedRow, ProbeRow
from napari_medcontext.core.probe.rows import write_probe_rows
from napari_medcontext.widgets.ask_bar import AskBar
from napari_medcontext.widgets.inspect_inputs import InspectInputs
from napari_medcontext.widgets.inspector import Inspector
from napari_medcontext.widgets.organ_choice import OrganChoice
from napari_medcontext.widgets.organ_table import Column, OrganRow, OrganTable
from napari_medcontext.widgets.parts import WholeBox, button, row
from napari_medcontext.widgets.probe_bars import ProbeBars

MOST_DRAWS = 64
HIDINGS = ("token", "mean", "noise")
HIDDEN_PLACES = ("organ", "box")
"""Where a row hides the scan: round the organ, or in a box that was drawn."""
COLUMNS = (
    Column("DSC\nvisible", "Dice (0 to 1) of the organ in the whole scan.", 3),
    Column("by\ntoken", "Dice with the organ hidden by the token that the run learned.", 3),
    Column("by\nmean", "Dice with the organ hidden by the mean of the scan.", 3),
    Column("by\nnoise", "Dice with the organ hidden by noise.", 3),
    Column(
        "Known\n%",
        "How much of the organ the network knows from around it: its best Dice with the organ "
        "hidden, in per cent of that with the organ visible.",
        0,
    ),
    Column("else-\nwhere", "Control: Dice with a box of that size hidden elsewhere.", 3),
    Column("shape", "Control: Dice of the organ's average shape pasted in its place.", 3),
)
HINT = (
    "“Known” near 0: the network needs to see the organ. Near “shape” over “visible”: it knows "
    "where such organs lie. Above: it reads the organ from its surroundings."
)


class ProbeView(QWidget):
    """Hides one organ after the other, and shows what is left of its Dice.

    Parameters
    ----------
    viewer
        The napari viewer, where a box may be drawn.
    inputs
        The run, the scan and its labels.
    inspector
        Who answers.

    Attributes
    ----------
    rows
        What the last probe found; empty before the first.
    """

    def __init__(self, viewer: Any, inputs: InspectInputs, inspector: Inspector) -> None:
        super().__init__()
        self.rows: list[ProbeRow] = []
        self._asked = ("", "", 0)
        """Name of the run that was asked, how it was trained, and with which seed."""
        self._viewer, self._inputs = viewer, inputs
        self.organ_box = OrganChoice(
            "probe_organ", "Which organ is hidden, or each one after the other.", "all organs"
        )
        self.draws_box = WholeBox()
        self.draws_box.setObjectName("probe_draws")
        self.draws_box.setRange(1, MOST_DRAWS)
        self.draws_box.setValue(3)
        self.draws_box.setToolTip(
            "How many boxes are drawn round each organ; their scores are averaged. Unit: draws."
        )
        self.bar = AskBar(
            "probe",
            "Probe",
            "Hide each organ and score what the student makes of it.",
            "Alt+Shift+O",
            self._ask,
            inspector,
        )
        self.table = OrganTable("probe_table", COLUMNS)
        self.bars = ProbeBars()
        self.save_button = button(
            "probe_save",
            "Save CSV…",
            "Save every number of the probe as a CSV file.",
            self._save_as,
        )
        self._lay_out()
        self.bar.answered.connect(self._show)
        inputs.changed.connect(self._follow_inputs)
        self._follow_inputs()

    def save(self, path: Path) -> None:
        """Write every row as CSV, as ``medcontext probe`` does."""
        try:
            write_probe_rows(path, [ProbedRow(*self._asked, line) for line in self.rows])
        except MedContextError as error:
            self.bar.tell(f"⚠ {error}")

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow("Hide", self.organ_box)
        form.addRow("Draws", self.draws_box)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.bar)
        layout.addWidget(self.table)
        layout.addWidget(self.bars)
        layout.addLayout(row(self.save_button, None))
        self._offer(False)

    def _offer(self, there: bool) -> None:
        for widget in (self.table, self.bars, self.save_button):
            widget.setVisible(there)

    def _ask(self, loaded: InspectionReady | None) -> ProbeAsk:
        run = self._inputs.required_run()
        config = run.spec().config
        self._asked = run.name, config.objective.method, config.training.seed
        chosen = self.organ_box.class_id
        return ProbeAsk(
            class_ids=() if chosen is None else (chosen,),
            box=self.organ_box.box(self._viewer, self._inputs.scan, loaded),
            draws=self.draws_box.value(),
        )

    def _follow_inputs(self) -> None:
        self.organ_box.show_organs(self._inputs.labels)

    def _show(self, answer: ProbeFinished) -> None:
        self.rows = [ProbeRow(**values) for values in answer.rows]
        organs = organ_rows(self.rows)
        self.table.show_rows(organs, self._inputs.labels)
        self.bars.show_rows(self.rows)
        self._offer(bool(organs))
        self.bar.tell(f"{answer.name}, probed in {answer.seconds:.0f} s. {HINT}")

    def _save_as(self) -> None:
        chosen, _ = QFileDialog.getSaveFileName(self, "Save the probe", "probe.csv", "CSV (*.csv)")
        if chosen:
            self.save(Path(chosen))


def organ_rows(rows: Sequence[ProbeRow]) -> list[OrganRow]:
    """Return one row for each organ, with a number for each of ``COLUMNS``."""
    names = {line.class_id: line.class_name for line in rows}
    return [
        OrganRow(class_id, name, _values([line for line in rows if line.class_id == class_id]))
        for class_id, name in names.items()
    ]


def _values(rows: Sequence[ProbeRow]) -> tuple[float | None, ...]:
    seen = {line.condition: line for line in rows if line.place == "nowhere"}
    hidden = {line.condition: line for line in rows if line.place in HIDDEN_PLACES}
    known = _measured(hidden[way].ratio for way in HIDINGS if way in hidden)
    elsewhere = _measured(line.dsc for line in rows if line.place == "elsewhere")

    def dsc(lines: Mapping[str, ProbeRow], condition: str) -> float | None:
        return lines[condition].dsc if condition in lines else None

    return (
        dsc(seen, "visible"),
        *(dsc(hidden, way) for way in HIDINGS),
        100 * max(known) if known else None,
        max(elsewhere, default=None),
        dsc(hidden, "average shape"),
    )


def _measured(values: Iterable[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]
