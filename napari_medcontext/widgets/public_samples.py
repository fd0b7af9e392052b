"""Public data sets under File > Open Sample: shown if they are here, else downloaded first."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from napari import Viewer, current_viewer
from napari.layers import Layer
from napari.qt.threading import create_worker
from napari.utils.notifications import notification_manager, show_error, show_info

from napari_medcontext.core.decathlon import LICENCE, Task, data_folder, find_task, mirror
from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.events import Event, Fetching
from napari_medcontext.core.fetching import fetch, is_fetched
from napari_medcontext.layer_data import LayerData
from napari_medcontext.layer_geometry import AXIS_LABELS
from napari_medcontext.reader import read_first
from napari_medcontext.viewer_layers import add_opened

SHOWN_SCANS = 3
_under_way: set[Download] = set()
"""Qt and napari keep no object alive for its methods that they call."""
TOKEN = "medcontext_download"
"""Metadata by which the layer of a download is found again."""


def open_heart() -> list[LayerData]:
    """Return the first left atria of the Decathlon, or a layer that stands for their download."""
    return _opened(find_task("Task02_Heart"))


def open_hippocampus() -> list[LayerData]:
    """Return the first hippocampi, or a layer that stands for their download."""
    return _opened(find_task("Task04_Hippocampus"))


def open_spleen() -> list[LayerData]:
    """Return the first spleens, or a layer that stands for their download."""
    return _opened(find_task("Task09_Spleen"))


def _opened(task: Task) -> list[LayerData]:
    folder, viewer = data_folder(), current_viewer()
    if viewer is not None and not is_fetched(task, folder):
        return [Download(task, folder, viewer).placeholder]
    for _ in fetch(task, folder, mirror()):
        # A script without a window waits until all is here.
        pass
    return _first_scans(folder / task.name)


class Download:
    """A data set on its way, for which a layer without points stands until it is here.

    napari insists that a sample gives a layer at once. This one is named after how far the
    download is, and whoever deletes it stops it; the next goes on from there.

    Parameters
    ----------
    task
        What is downloaded.
    folder
        Where to.
    viewer
        That which shows it.
    """

    def __init__(self, task: Task, folder: Path, viewer: Viewer) -> None:
        self._viewer, self._token = viewer, uuid4().hex
        self._events = fetch(task, folder, mirror())
        name = f"{task.name}, about {task.size_text}"
        attributes = {
            "name": name,
            "metadata": {TOKEN: self._token},
            "axis_labels": AXIS_LABELS,
            "units": ("mm",) * 3,
        }
        self.placeholder: LayerData = (np.empty((0, 3)), attributes, "points")
        viewer.layers.events.removed.connect(self._stop_if_deleted)
        # A bar that moved with each event would let later events overtake it: napari draws the
        # window there and then. So it shows that work is under way, and the layer how far.
        self._worker = create_worker(
            _scans_of,
            self._events,
            _start_thread=False,
            _progress={"desc": f"Downloading {task.name}"},
            _ignore_errors=True,
        )
        self._worker.yielded.connect(self._tell)
        self._worker.returned.connect(self._show)
        self._worker.errored.connect(_tell_error)
        self._worker.finished.connect(self._end)
        _under_way.add(self)
        self._worker.start()
        show_info(
            f"Downloading {name}, to {folder}. Licence: {LICENCE}. Delete the layer of that name "
            "to stop; it goes on from there when opened again."
        )

    def _tell(self, event: Fetching) -> None:
        share = f": {100 * event.done // event.total} %" if event.total else ""
        layer = self._layer()
        if layer is not None:
            layer.name = f"{event.message}{share}"

    def _show(self, scans: list[LayerData]) -> None:
        self._remove_layer()
        add_opened(self._viewer, scans)

    def _end(self) -> None:
        _under_way.discard(self)
        # Where the worker was stopped, the download waits in the middle.
        self._events.close()
        self._viewer.layers.events.removed.disconnect(self._stop_if_deleted)
        self._remove_layer()

    def _remove_layer(self) -> None:
        layer = self._layer()
        if layer is not None:
            self._viewer.layers.remove(layer)

    def _layer(self) -> Layer | None:
        layers = (each for each in self._viewer.layers if each.metadata.get(TOKEN) == self._token)
        return next(layers, None)

    def _stop_if_deleted(self, event: Any) -> None:
        if event.value.metadata.get(TOKEN) == self._token:
            self._worker.quit()


def _tell_error(error: Exception) -> None:
    if isinstance(error, MedContextError):
        show_error(str(error))
    else:
        notification_manager.receive_error(type(error), error, error.__traceback__)


def _scans_of(
    events: Generator[Event, None, Path],
) -> Generator[Event, None, list[LayerData]]:
    return _first_scans((yield from events))


def _first_scans(folder: Path) -> list[LayerData]:
    return read_first(folder, SHOWN_SCANS)
