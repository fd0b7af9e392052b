"""Look for the errors of a prediction beside the window; of many requests the newest counts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.volume import Volume
from napari_medcontext.layer_volumes import layer_to_volume
from napari_medcontext.widgets.comparison import ErrorsFound, Meaning, errors_between
from napari_medcontext.widgets.latest import Latest


@dataclass(frozen=True, eq=False)
class Looked:
    """What is looked at: two layers, held weakly, and a class, or with 0 all of them."""

    prediction: Any
    reference: Any
    class_id: int
    class_name: str

    def layers(self) -> tuple[Labels, Labels] | None:
        """Return both layers while they are there."""
        prediction, reference = self.prediction(), self.reference()
        return None if prediction is None or reference is None else (prediction, reference)


class ErrorFinder(QObject):
    """Find where a prediction is wrong, as its layers are when it is asked.

    Parameters
    ----------
    viewer
        The viewer with the layers.
    parent
        That with which it ends.
    """

    found = Signal(object)
    """An ``ErrorsFound`` for what was asked last."""
    failed = Signal(str)
    """Why it could not be looked for."""

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._looked: Looked | None = None
        self._latest = Latest(self, rest=0)
        self._latest.done.connect(self._receive)
        self._latest.failed.connect(self.failed)

    def find(self, looked: Looked) -> None:
        """Look for these errors; those that were asked for before are dropped."""
        self.forget()
        pair = looked.layers()
        if pair is None:
            return
        layers = list(self._viewer.layers)
        try:
            volumes = [layer_to_volume(layer, layers) for layer in pair]
        except MedContextError as error:
            self.failed.emit(str(error))
            return
        self._looked = looked
        self._latest.ask(partial(_find, looked, *volumes, Meaning.of(*pair)))

    def forget(self) -> None:
        """Drop what was asked for."""
        self._looked = None
        self._latest.forget()

    def _receive(self, answer: tuple[Looked, ErrorsFound]) -> None:
        looked, found = answer
        if looked is self._looked:
            self.found.emit(found)


def _find(
    looked: Looked, prediction: Volume, reference: Volume, meaning: Meaning
) -> tuple[Looked, ErrorsFound]:
    return looked, errors_between(prediction, reference, meaning, looked.class_id)
