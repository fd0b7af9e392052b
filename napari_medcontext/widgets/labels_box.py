"""A choice among the labels that are open, and what is suggested in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QListWidget, QListWidgetItem

from napari_medcontext.core.prediction_plan import LEDGER
from napari_medcontext.scan_metadata import is_aid
from napari_medcontext.widgets.fold import Fold
from napari_medcontext.widgets.parts import TICKS, LongList


class LabelsBox(LongList):
    """A choice among Labels layers that holds on to the layer itself.

    It follows the layer list: a renamed or moved layer stays chosen, and a removed one is
    shown as removed, with no other in its place. Layers in which a dock
    shows what it found are not offered.
    """

    words = ("choose labels", "no labels are open")
    """What it says while nothing is chosen, and where there is nothing to choose."""

    def __init__(self, name: str, tip: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setToolTip(tip)
        self._layers: list[Labels] = []
        self._settled = False
        self.show_layers([])
        self.activated.connect(self._settle)

    @property
    def layers(self) -> list[Labels]:
        """The layers that are offered."""
        return self._layers

    @property
    def layer(self) -> Labels | None:
        """The chosen layer, if any."""
        index = self.currentIndex()
        return self._layers[index] if index >= 0 else None

    def show_layers(self, layers: list[Labels]) -> None:
        """Offer these layers and keep the chosen one, if it is still among them."""
        chosen = self.layer
        self._layers = layers = [layer for layer in layers if not is_aid(layer)]
        self.clear()
        self.addItems([layer.name for layer in layers])
        self._select(chosen)
        if chosen is not None and self.layer is None:
            self.setPlaceholderText(f"“{chosen.name}” was removed")
            self._settled = True
        if not layers:
            self.setPlaceholderText(self.words[1])
            self._settled = False
        elif not self._settled:
            self.setPlaceholderText(self.words[0])

    def choose(self, layer: Labels) -> None:
        """Select a layer, so that no suggestion replaces it."""
        self._select(layer)
        self._settle()

    def forget(self) -> None:
        """Take the choice back, so that suggestions count again."""
        self._settled = False

    def suggest(self, pick: Callable[[list[Labels]], Labels | None]) -> None:
        """Select what ``pick`` takes from the layers, unless a choice was made."""
        if not self._settled:
            self._select(pick(self._layers))

    def _select(self, layer: Labels | None) -> None:
        rows = [row for row, known in enumerate(self._layers) if known is layer]
        self.setCurrentIndex(rows[0] if rows else -1)

    def _settle(self) -> None:
        self._settled = True


class ScanBox(LabelsBox):
    """A choice among Image layers, of the same kind."""

    words = ("choose a scan", "no scan is open")

    @property
    def scan(self) -> Image | None:
        """The chosen layer, if any."""
        layer = self.layer
        return layer if isinstance(layer, Image) else None


class LabelsTicks(Fold):
    """Labels layers to tick, any number of them, folded to the line that names those ticked."""

    def __init__(self, name: str, tip: str) -> None:
        super().__init__(f"{name}_fold")
        self._list = QListWidget()
        self._list.setObjectName(name)
        self._list.setToolTip(tip)
        self._list.setMaximumHeight(90)
        self._list.setStyleSheet(TICKS)
        self._list.itemChanged.connect(lambda _: self._summarise())
        self.addWidget(self._list)
        self._summarise()

    def show_layers(self, layers: list[Labels]) -> None:
        """Offer these layers; those that were ticked and are still among them stay so."""
        ticked = {id(layer) for layer in self.ticked()}
        self._list.clear()
        for layer in layers:
            item = QListWidgetItem(layer.name)
            item.setData(Qt.ItemDataRole.UserRole, layer)
            on = id(layer) in ticked
            item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
            self._list.addItem(item)
        self._summarise()

    def tick(self, layer: Labels) -> None:
        """Tick a layer too, if it is offered."""
        for item in map(self._list.item, range(self._list.count())):
            if item.data(Qt.ItemDataRole.UserRole) is layer:
                item.setCheckState(Qt.CheckState.Checked)

    def ticked(self) -> list[Labels]:
        """Return the layers that are ticked."""
        return [
            item.data(Qt.ItemDataRole.UserRole)
            for item in map(self._list.item, range(self._list.count()))
            if item.checkState() == Qt.CheckState.Checked
        ]

    def _summarise(self) -> None:
        names = ", ".join(layer.name for layer in self.ticked())
        self.setText(f"Other predictions: {names or 'none'}")


def newest_prediction(layers: list[Labels]) -> Labels | None:
    """Return the newest prediction or, without one, the upper of several label layers."""
    predictions = [layer for layer in layers if _is_prediction(layer)]
    if predictions:
        return predictions[-1]
    return layers[-1] if len(layers) > 1 else None


def fitting_reference(prediction: Labels | None, layers: list[Labels]) -> Labels | None:
    """Return labels that lie where the prediction does, drawn ones before predicted ones."""
    if prediction is None:
        return None
    fitting = [layer for layer in layers if layer is not prediction and overlies(layer, prediction)]
    return min(fitting, key=_is_prediction, default=None)


def _is_prediction(layer: Labels) -> bool:
    """Say whether a run predicted these labels, here or in a terminal."""
    noted = layer.metadata.get("medcontext", {})
    path = noted.get("path")
    return "prediction_of" in noted or (path is not None and (Path(path).parent / LEDGER).is_file())


def overlies(first: Labels, second: Labels) -> bool:
    """Say whether two layers are of one size and lie in one place."""
    return first.data.shape == second.data.shape and np.allclose(
        first.extent.world, second.extent.world, atol=0.05 * float(np.min(np.abs(second.scale)))
    )
