"""Show one class of label layers alone for a while, and put everything back afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from weakref import WeakKeyDictionary

from napari.layers import Labels


class ClassAlone:
    """Layers that show a single class for now, with what they showed before."""

    def __init__(self) -> None:
        self._before: WeakKeyDictionary[Labels, tuple[int, bool]] = WeakKeyDictionary()

    def show(self, ids: Mapping[Labels, int]) -> None:
        """Show this id alone in each of these layers, and all as before in any other."""
        self._put_back(layer for layer in list(self._before) if layer not in ids)
        for layer, class_id in ids.items():
            self._before.setdefault(layer, (layer.selected_label, layer.show_selected_label))
            layer.selected_label = class_id
            # napari draws the layer anew even where this changes nothing.
            if not layer.show_selected_label:
                layer.show_selected_label = True

    def end(self) -> None:
        """Let every layer show what it showed before."""
        self._put_back(list(self._before))

    def _put_back(self, layers: Iterable[Labels]) -> None:
        for layer in layers:
            layer.selected_label, layer.show_selected_label = self._before.pop(layer)
