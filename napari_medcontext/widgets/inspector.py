"""Asks on behalf of the Inspect dock's sections: one run and one scan are held ready at a time."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_medcontext.core.events import InspectionReady
from napari_medcontext.core.inspection import Ask
from napari_medcontext.core.run import RunFolder
from napari_medcontext.layer_volumes import layer_to_volume
from napari_medcontext.snapshots import Scan
from napari_medcontext.widgets.inspect_inputs import InspectInputs
from napari_medcontext.widgets.inspection import Inspection, Question
from napari_medcontext.widgets.scan_choice import scan_of_layer
from napari_medcontext.widgets.session import session_of

MakeAsk = Callable[[InspectionReady | None], Ask]


class Inspector(QObject):
    """Answers about the run and the scan that are chosen; work starts with the first question.

    Parameters
    ----------
    viewer
        The napari viewer; its session holds the work.
    inputs
        What is looked into.
    """

    ready = Signal(object)
    """The ``InspectionReady`` of the run and the scan, once they are loaded."""

    def __init__(self, viewer: Any, inputs: InspectInputs) -> None:
        super().__init__(inputs)
        self._viewer, self._inputs = viewer, inputs
        self._session = session_of(viewer)
        self._held: tuple[Any, ...] = ()
        inputs.destroyed.connect(self._session.end_inspection)
        inputs.changed.connect(self._forget)

    @property
    def loaded(self) -> InspectionReady | None:
        """What is known of the run and the scan that were asked about last."""
        inspection = self._session.inspection
        return None if inspection is None else inspection.loaded

    def ask(self, make_ask: MakeAsk) -> Question:
        """Ask something about the chosen run and scan as they are now.

        Parameters
        ----------
        make_ask
            Returns what to ask, from what is loaded; from None where nothing is as yet.

        Raises
        ------
        MedContextError
            If there is no run, no scan, or one that cannot be used.
        """
        inspection = self._current()
        return inspection.ask(make_ask(inspection.loaded))

    def load(self) -> Question:
        """Ask only that the chosen run and scan be loaded; raises as ``ask``."""
        return self._current().load()

    def _current(self) -> Inspection:
        run = self._inputs.required_run()
        scan = self._scan(run.spec().channels)
        wanted = (*_weights(run), self._inputs.scan, self._inputs.labels, *_state(scan))
        inspection = self._session.inspection
        if inspection is None or not inspection.is_running or not _same(wanted, self._held):
            inspection = Inspection(run, scan)
            inspection.ready.connect(self.ready)
            self._session.inspect(inspection)
            self._held = wanted
        return inspection

    def _forget(self) -> None:
        """Let go of layers: what is chosen now may be all that is left of them."""
        self._held = ()

    def _scan(self, channels: Sequence[str]) -> Scan:
        layers = list(self._viewer.layers)
        scan = scan_of_layer(self._inputs.required_scan(), layers, channels)
        labels = self._inputs.labels
        if labels is None:
            return scan
        drawn = layer_to_volume(labels, layers)
        # As they are now: they may be painted on while they are written.
        return replace(scan, labels=drawn.with_array(drawn.array.copy()))


def _weights(run: RunFolder) -> tuple[Any, ...]:
    return run.path, run.best_state() or run.newest_state()


def _state(scan: Scan) -> tuple[Any, ...]:
    """Return what tells labels that were painted on, and a scan that was moved."""
    painted = None
    if scan.labels is not None:
        painted = zlib.crc32(np.ascontiguousarray(scan.labels.array))
    return scan.image.affine.tobytes(), scan.image.shape, painted


def _same(first: tuple[Any, ...], second: tuple[Any, ...]) -> bool:
    """Compare layers by identity: they have no other."""
    return len(first) == len(second) and all(
        a is b or (not hasattr(a, "events") and a == b) for a, b in zip(first, second, strict=True)
    )
