"""What the rows of the scan table amount to: scans to train on, or what stands in the way."""

from __future__ import annotations

from collections.abc import Sequence

from napari.layers import Layer

from napari_medcontext.core.errors import MedContextError, ScanError
from napari_medcontext.core.volume import Volume, same_grid
from napari_medcontext.layer_geometry import layer_grid
from napari_medcontext.layer_volumes import layer_to_volume
from napari_medcontext.snapshots import Scan
from napari_medcontext.widgets.scan_table import ScanRow


def chosen_scans(rows: Sequence[ScanRow], layers: Sequence[Layer]) -> list[Scan]:
    """Return the scans of all rows in use.

    Raises
    ------
    ScanError
        Naming the first layer that cannot be used, and what to do.
    """
    used = in_use(rows)
    if not any(row.role == "training" for row in used):
        raise ScanError(
            "There is no scan to train on. Open scans and their labels (File > Open, or "
            "File > Open Sample > MedContext), and set at least one to “training”."
        )
    problem = first_problem(used, layers)
    if problem:
        raise ScanError(problem)
    return [
        Scan(
            layer_to_volume(row.image, layers),
            None if row.labels is None else _copied(layer_to_volume(row.labels, layers)),
            row.role,
        )
        for row in used
    ]


def preflight(rows: Sequence[ScanRow], layers: Sequence[Layer]) -> str:
    """Return one line: all is well, or the first problem and what to do."""
    used = in_use(rows)
    training = [row for row in used if row.role == "training"]
    problem = first_problem(used, layers)
    if problem:
        return f"⚠ {problem}"
    if not training:
        return "Open scans with their labels, and set some to “training”."
    spacing = layer_grid(training[0].image, layers).reoriented("RAS").spacing
    sizes = " × ".join(f"{size:.3g}" for size in spacing)
    others = [
        f"{count} for {role}"
        for role in ("validation", "preview")
        if (count := sum(row.role == role for row in used))
    ]
    return "; ".join([f"✓ {len(training)} to train on, {sizes} mm", *others, "all good"]) + "."


def in_use(rows: Sequence[ScanRow]) -> list[ScanRow]:
    """Return the rows that take part."""
    return [row for row in rows if row.role != "unused"]


def first_problem(rows: Sequence[ScanRow], layers: Sequence[Layer]) -> str:
    """Say what is wrong with the rows, as far as it shows without reading voxels."""
    problem = next(filter(None, (_problem(row, layers) for row in rows)), "")
    if not problem and sum(row.role == "preview" for row in rows) > 1:
        return "Only one scan can be the preview; set the others to “unused”."
    return problem


def _copied(labels: Volume) -> Volume:
    """Return labels as they are now: they may be painted on while they are written."""
    return labels.with_array(labels.array.copy())


def _problem(row: ScanRow, layers: Sequence[Layer]) -> str:
    try:
        image = layer_grid(row.image, layers)
        if row.labels is None:
            if row.role in ("training", "validation"):
                return f"“{row.image.name}” is for {row.role} but has no labels. Choose its labels."
            return ""
        labels = layer_grid(row.labels, layers)
    except MedContextError as error:
        return str(error)
    if image.shape != labels.shape:
        return (
            f"“{labels.name}” has the shape {labels.shape} but “{image.name}” has "
            f"{image.shape}. Pair each scan with the labels drawn on it."
        )
    if not same_grid(image, labels):
        return (
            f"“{labels.name}” does not lie on “{image.name}”: their affines differ. Choose "
            "the labels that belong to this scan."
        )
    return ""
