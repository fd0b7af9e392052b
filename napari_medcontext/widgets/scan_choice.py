"""What the rows of the scan table amount to: scans to train on, or what stands in the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from napari.layers import Image, Layer

from napari_medcontext.core.checks import grid_problem
from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.errors import MedContextError, ScanError
from napari_medcontext.core.formats.ome_zarr import is_zarr
from napari_medcontext.core.io import read_geometry
from napari_medcontext.core.labels import as_label_array, class_boxes
from napari_medcontext.core.volume import Volume, same_grid
from napari_medcontext.layer_channels import channel_layers
from napari_medcontext.layer_geometry import finest, layer_grid
from napari_medcontext.layer_volumes import class_names_of, layer_to_volume, lazy_file
from napari_medcontext.snapshots import Scan
from napari_medcontext.widgets.scan_table import ScanRow


def chosen_scans(
    rows: Sequence[ScanRow],
    layers: Sequence[Layer],
    config: RunConfig,
    channels: Sequence[str] = (),
) -> list[Scan]:
    """Return the scans of all rows in use.

    Parameters
    ----------
    rows
        Of the scan table.
    layers
        Of the viewer.
    config
        The settings, which say whether scans without labels can join.
    channels
        What the channels of a scan are, where several layers are one.

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
    problem = first_problem(used, layers, config, channels)
    if problem:
        raise ScanError(problem)
    return [
        replace(
            scan_of_layer(row.image, layers, channels),
            labels=None if row.labels is None else _copied(layer_to_volume(row.labels, layers)),
            role=row.role,
        )
        for row in used
    ]


def scan_of_layer(image: Image, layers: Sequence[Layer], channels: Sequence[str]) -> Scan:
    """Return the scan of which a layer is a channel, without labels.

    Of a layer that is read when it is looked at, the voxels are left unread.

    Raises
    ------
    ScanError
        If a channel is missing, or a layer cannot be used.
    """
    first, *further = (
        layer_to_volume(layer, layers, held=False)
        for layer in channel_layers(image, layers, channels)
    )
    return Scan(first, role="unused", further=tuple(further))


def scan_to_predict(image: Image, layers: Sequence[Layer], channels: Sequence[str]) -> Scan:
    """Return the scan of which a layer is a channel; not its voxels, where files have them.

    Files are told of only if all channels lie in such, of one kind and on one grid.

    Raises
    ------
    ScanError
        If a channel is missing, or a layer cannot be used.
    """
    shown = channel_layers(image, layers, channels)
    files = [path for layer in shown if (path := lazy_file(layer, layers)) is not None]
    if len(files) < len(shown) or not _go_together(files):
        return scan_of_layer(image, layers, channels)
    first, *further = (layer_grid(layer, layers) for layer in shown)
    return Scan(first, role="unused", further=tuple(further), files=tuple(files))


def preflight(
    rows: Sequence[ScanRow],
    layers: Sequence[Layer],
    config: RunConfig,
    channels: Sequence[str] = (),
) -> str:
    """Return one line: all is well, or the first problem and what to do."""
    used = in_use(rows)
    training = [row for row in used if row.role == "training"]
    problem = first_problem(used, layers, config, channels)
    if problem:
        return f"⚠ {problem}"
    if not training:
        return (
            "Open scans with their labels, and set some to “training”. Labels that were opened "
            "alone are an image to napari: right-click the layer, and choose Convert to Labels."
        )
    spacing = layer_grid(training[0].image, layers).reoriented("RAS").spacing
    sizes = " × ".join(f"{size:.3g}" for size in spacing)
    others = [
        f"{count} for {role}"
        for role in ("validation", "preview")
        if (count := sum(row.role == role for row in used))
    ]
    told = [f"✓ {len(training)} to train on, {sizes} mm", *_without_labels(training), *others]
    if len(channels) > 1:
        told.append(f"channels {', '.join(channels)}")
    if config.data.ignore_label is not None:
        told.append(f"id {config.data.ignore_label} counts as unknown")
    return "; ".join([*told, "all good"]) + "."


def present_classes(rows: Sequence[ScanRow]) -> dict[int, str]:
    """Return the class ids in the labels of the training scans, with their names if they have.

    Raises
    ------
    ScanError
        If a layer holds no class ids.
    """
    names: dict[int, str] = {}
    for row in in_use(rows):
        if row.role == "training" and row.labels is not None:
            ids = class_boxes(as_label_array(np.asarray(finest(row.labels)), row.labels.name))
            own = class_names_of(row.labels)
            names |= {k: own.get(k) or names.get(k, "") for k in ids}
    return names


def in_use(rows: Sequence[ScanRow]) -> list[ScanRow]:
    """Return the rows that take part."""
    return [row for row in rows if row.role != "unused"]


def first_problem(
    rows: Sequence[ScanRow],
    layers: Sequence[Layer],
    config: RunConfig,
    channels: Sequence[str] = (),
) -> str:
    """Say what is wrong with the rows, as far as it shows without reading voxels."""
    training = [row for row in rows if row.role == "training"]
    if training and all(row.labels is None for row in training):
        return "No training scan has labels. Choose the labels of at least one of them."
    problem = next(filter(None, (_problem(row, layers, config, channels) for row in rows)), "")
    if problem:
        return problem
    if sum(row.role == "preview" for row in rows) > 1:
        return "Only one scan can be the preview; set the others to “unused”."
    return ""


def _go_together(files: Sequence[Path]) -> bool:
    """Say whether channels in files can be read together as they are."""
    first, *others = (read_geometry(file) for file in files)
    kinds = {is_zarr(file) for file in files}
    return len(kinds) == 1 and all(same_grid(first, other) for other in others)


def _without_labels(training: Sequence[ScanRow]) -> list[str]:
    count = sum(row.labels is None for row in training)
    if not count:
        return []
    joins = "has no labels and joins" if count == 1 else "have no labels and join"
    return [f"{count} of them {joins} through the teacher"]


def _copied(labels: Volume) -> Volume:
    """Return labels as they are now: they may be painted on while they are written."""
    return labels.with_array(labels.array.copy())


def _problem(
    row: ScanRow, layers: Sequence[Layer], config: RunConfig, channels: Sequence[str]
) -> str:
    try:
        for layer in channel_layers(row.image, layers, channels):
            layer_grid(layer, layers)
        image = layer_grid(row.image, layers)
        if row.labels is None:
            return _missing_labels(row, config)
        labels = layer_grid(row.labels, layers)
    except MedContextError as error:
        return str(error)
    return "" if config.data.resample else grid_problem(labels, image)


def _missing_labels(row: ScanRow, config: RunConfig) -> str:
    """Say what is wrong with a row that has no labels."""
    if row.role not in ("training", "validation"):
        return ""
    text = f"“{row.image.name}” is for {row.role} but has no labels. Choose its labels"
    if row.role == "validation":
        return f"{text}."
    if not config.objective.has_consistency:
        return f"{text}, or let it join through the teacher: MedContext with β above 0."
    if config.training.batch_size == 1:
        # Each step needs a patch with labels too.
        return f"{text}, or let it join through the teacher: set the batch size to 2 or more."
    return ""
