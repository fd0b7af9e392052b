"""Reconstruction: what the student makes of a scan with a part of it hidden."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.events import InspectionReady, PreviewReady, Reconstructed
from napari_medcontext.core.inspection import ReconstructAsk
from napari_medcontext.core.method_settings import MaskingSettings
from napari_medcontext.core.settings import validated
from napari_medcontext.widgets.ask_bar import AskBar
from napari_medcontext.widgets.forms import SectionForm
from napari_medcontext.widgets.inspect_inputs import InspectInputs
from napari_medcontext.widgets.inspect_panels import InspectPanels
from napari_medcontext.widgets.inspector import Inspector
from napari_medcontext.widgets.organ_choice import OrganChoice
from napari_medcontext.widgets.organ_table import Column, OrganRow, OrganTable
from napari_medcontext.widgets.parts import WholeBox, button, choices, row, shortcut

FIELDS = ("scheme", "ratio", "block_size", "block_size_mm")
HIDINGS = (
    ("the token that the run learned", None),
    ("the mean of the scan", "mean"),
    ("noise", "noise"),
)
HIGHEST_SEED = 2**31 - 1
COLUMNS = (
    Column("Hidden\n%", "Share of the organ's voxels that is hidden, in per cent.", 1),
    Column("DSC\nhidden", "Dice (0 to 1) of the masked answer where the scan is hidden.", 3),
    Column(
        "DSC\nvisible",
        "Dice (0 to 1) at the same place, of the answer to the whole scan: what could be had.",
        3,
    ),
    Column("DSC\noutside", "Dice (0 to 1) of the masked answer where nothing is hidden.", 3),
)
MOSTLY_HIDDEN = 0.9


class ReconstructionView(QWidget):
    """Hides a draw, or an organ, and shows what comes back, in panels and by organ.

    Parameters
    ----------
    viewer
        The napari viewer, where a box may be drawn.
    inputs
        The run, the scan and its labels.
    inspector
        Who answers.
    panels
        Where the answer is shown.
    """

    def __init__(
        self, viewer: Any, inputs: InspectInputs, inspector: Inspector, panels: InspectPanels
    ) -> None:
        super().__init__()
        self._viewer, self._inputs, self._panels = viewer, inputs, panels
        self._inspector = inspector
        self._seen = False
        self._masking = MaskingSettings()
        self._build()
        self.bar.answered.connect(self._show)
        inputs.changed.connect(self._follow_inputs)
        self._follow_inputs()

    def new_draw(self) -> None:
        """Hide another part, by the next seed."""
        self._seen = True
        self.seed_box.setValue((self.seed_box.value() + 1) % HIGHEST_SEED)

    def _build(self) -> None:
        self.organ_box = OrganChoice(
            "recon_organ",
            "What is hidden: a mask as drawn below, a box of your own, or one organ, in a box "
            "round it.",
            "a mask, as drawn below",
        )
        self.hiding_box = choices(
            "recon_hiding",
            "What stands where the scan is hidden. A supervised run learned no token; the mean "
            "stands there then.",
            HIDINGS,
        )
        self.form = SectionForm(MaskingSettings, FIELDS)
        self.seed_box = WholeBox()
        self.seed_box.setObjectName("recon_seed")
        self.seed_box.setRange(0, HIGHEST_SEED)
        self.seed_box.setToolTip("Number that fixes the draw.")
        self.draw_button = button(
            "recon_new_draw", "New draw", "Hide another part, by the next seed.", self.new_draw
        )
        shortcut(self.draw_button, "Alt+Shift+M")
        self.bar = AskBar(
            "recon",
            "Reconstruct",
            "Hide it and let the student segment what is left; the answer is in the panels below.",
            "Alt+Shift+R",
            self._ask,
            self._inspector,
        )
        self.table = OrganTable("recon_table", COLUMNS)
        self.table.setVisible(False)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow("Hide", self.organ_box)
        form.addRow("In its place", self.hiding_box)
        form.addRow("Seed", row(self.seed_box, self.draw_button))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.form)
        layout.addWidget(self.bar)
        layout.addWidget(self.table)
        self.form.changed.connect(self._ask_again)
        self.organ_box.currentIndexChanged.connect(self._change_organ)
        self.hiding_box.currentIndexChanged.connect(self._ask_again)
        self.seed_box.valueChanged.connect(self._ask_again)

    def _ask(self, loaded: InspectionReady | None) -> ReconstructAsk:
        self._seen = True
        values: dict[str, Any] = self._masking.model_dump() | self.form.values()
        masking = validated(MaskingSettings, values | {"ratio_range": None}, "the settings")
        return ReconstructAsk(
            masking=masking,
            seed=self.seed_box.value(),
            class_id=self.organ_box.class_id,
            box=self.organ_box.box(self._viewer, self._inputs.scan, loaded),
            hiding=self.hiding_box.currentData(),
        )

    def _ask_again(self) -> None:
        """Answer anew whenever something is changed, once there was an answer."""
        if self._seen:
            self.bar.ask()

    def _change_organ(self) -> None:
        self.form.setEnabled(self.organ_box.currentData() is None)
        self._ask_again()

    def _follow_inputs(self) -> None:
        self._seen = False
        with QSignalBlocker(self.organ_box):
            self.organ_box.show_organs(self._inputs.labels)
        self.form.setEnabled(self.organ_box.currentData() is None)
        run = self._inputs.run
        if run is not None and run.exists():
            with suppress(MedContextError), QSignalBlocker(self.form):
                self._masking = run.spec().config.masking
                self.form.set_values(self._masking.model_dump())

    def _show(self, answer: Reconstructed) -> None:
        loaded = self._inspector.loaded
        names = {} if loaded is None else loaded.class_names
        step = 0 if loaded is None else loaded.step
        preview = PreviewReady(
            step=step,
            name=answer.name,
            affine=answer.affine,
            image=answer.image,
            masked=answer.masked,
            student_masked=answer.student_masked,
            student=answer.student,
            teacher=answer.teacher,
            reference=answer.reference,
        )
        text = f"{100 * answer.share:.1f} % of the scan hidden, answered in {answer.seconds:.1f} s"
        if answer.share > MOSTLY_HIDDEN:
            text += "; hardly any surroundings are left to read from"
        self.bar.tell(f"{text}.")
        self._panels.show_answers(preview, names, f"{answer.name} · step {step} · {text}")
        rows = [
            OrganRow(
                class_id,
                names.get(class_id, f"class {class_id}"),
                (
                    100 * share,
                    answer.dsc_inside.get(class_id),
                    answer.dsc_visible.get(class_id),
                    answer.dsc_outside.get(class_id),
                ),
            )
            for class_id, share in answer.hidden.items()
        ]
        self.table.setVisible(bool(rows))
        self.table.show_rows(rows, self._inputs.labels)
