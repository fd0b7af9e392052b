"""The settings and the grid with which a training would draw its masks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from napari.layers import Image, Layer

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.io import read_geometry
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.volume import Spacing
from napari_medcontext.layer_geometry import layer_grid


@dataclass(frozen=True)
class TrainingPlan:
    """A run's settings, its training scans' voxel sizes along x, y, z in mm, and whose they are."""

    config: RunConfig
    spacings: Sequence[Spacing]
    source: str


def training_plan(viewer: Any, run: RunFolder | None, scan: Image) -> TrainingPlan:
    """Return what the next training would use: the Train dock's, else a run's, else defaults.

    Parameters
    ----------
    viewer
        The napari viewer, whose Train dock counts if it is open.
    run
        The run that is looked into, if any.
    scan
        Counts as the only training scan where nothing else is known.

    Raises
    ------
    MedContextError
        If the Train dock's settings cannot work.
    """
    layers = list(viewer.layers)
    own = [_spacing(scan, layers)]
    dock = train_dock(viewer)
    if dock is not None:
        rows = [row for row in dock.scans.rows() if row.role == "training"]
        images = [row.image for row in rows if row.image in viewer.layers]
        spacings = [_spacing(image, layers) for image in images]
        return TrainingPlan(dock.config(), spacings or own, "the Train dock's settings")
    if run is not None and run.exists():
        with suppress(MedContextError, OSError):
            config, spacings = _of_run(run.path, run.spec_path.stat().st_mtime_ns)
            return TrainingPlan(config, spacings or own, f"the settings of {run.name}")
    return TrainingPlan(RunConfig(), own, "default settings")


def train_dock(viewer: Any) -> Any:
    """Return the viewer's Train dock, or None where it was not opened yet."""
    from napari_medcontext.widgets.train import TrainDock

    docks = viewer.window.dock_widgets.values()
    return next((dock for dock in docks if isinstance(dock, TrainDock)), None)


@lru_cache(maxsize=4)
def _of_run(path: Path, _changed: int) -> tuple[RunConfig, Sequence[Spacing]]:
    """Return a run's settings and spacings, read once: masks are drawn with many changes."""
    spec = RunFolder(path).spec()
    channels = len(spec.channels) > 1
    grids = [read_geometry(case.image, channels=channels) for case in spec.with_role("training")]
    return spec.config, [grid.reoriented("RAS").spacing for grid in grids]


def _spacing(image: Image, layers: Sequence[Layer]) -> Spacing:
    return layer_grid(image, layers).reoriented("RAS").spacing
