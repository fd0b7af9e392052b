"""What one look at a scan and its labels tells."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import cc3d
import numpy as np

from napari_medcontext.core.channels import read_channels
from napari_medcontext.core.checks import checked_image, checked_labels
from napari_medcontext.core.config import Case, Role
from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.formats import says_where
from napari_medcontext.core.io import read_volume
from napari_medcontext.core.labels import LabelArray, as_label_array, class_boxes
from napari_medcontext.core.preflight.findings import Finding
from napari_medcontext.core.regrid import labels_onto
from napari_medcontext.core.training_settings import DataSettings
from napari_medcontext.core.volume import Array, Spacing, Volume

FEW_VALUES = 16
"""Up to so many different whole numbers, a scan looks like labels."""
SPECK_VOXELS = 2
SAMPLE = 200_000
"""So many voxels, evenly spread, tell percentiles."""


@dataclass(frozen=True)
class ClassSurvey:
    """One class in one scan's labels.

    ``extent`` is the size of its box in mm along x, y, z; ``touches`` says whether it reaches
    the scan's edge; ``specks`` counts its pieces of a voxel or two.
    """

    voxels: int
    volume_ml: float
    extent: Spacing
    touches: bool
    specks: int


@dataclass(frozen=True, eq=False)
class Survey:
    """A scan that can be read, and its labels.

    Sizes run along x, y, z. ``source`` is its file or layer; ``low`` and ``high`` are the 0.5th
    and 99.5th percentile of the intensities; ``askew`` is by how many degrees the axes miss right
    angles; ``placed`` is false where the file does not say how the scan lies in the patient.
    """

    name: str
    role: Role
    source: str
    shape: tuple[int, int, int]
    spacing: Spacing
    askew: float
    placed: bool
    minimum: float
    low: float
    high: float
    maximum: float
    few_values: bool
    checksum: int
    labels_checksum: int | None = None
    labelled_share: float = 0.0
    classes: Mapping[int, ClassSurvey] = field(default_factory=dict)


Surveyed = tuple[Survey | None, list[Finding]]
"""A scan as described, or None if it cannot be used; and what was found on the way."""


def survey_case(case: Case, data: DataSettings, channels: Sequence[str]) -> Surveyed:
    """Read a scan and its labels, and describe its first channel as ``survey_scan`` does."""
    found: list[Finding] = []
    labels: Volume | None = None
    try:
        image = read_channels(case, channels, resample=data.resample)[0]
    except MedContextError as error:
        return None, [_stop("scan", case.name, error)]
    try:
        labels = None if case.labels is None else read_volume(case.labels)
    except MedContextError as error:
        found = [_stop("labels", case.name, error)]
    survey, more = survey_scan(case.name, case.role, image, labels, data)
    if survey is not None:
        survey = replace(survey, source=case.image.name, placed=says_where(case.image))
    return survey, found + more


def survey_volume(image: Volume, role: Role, labels: Volume | None, data: DataSettings) -> Surveyed:
    """Describe a volume as ``survey_scan`` does; one that is left unread is read now."""
    try:
        return survey_scan(image.name, role, image.held(), labels, data)
    except MedContextError as error:
        return None, [_stop("scan", image.name, error)]


def survey_scan(
    name: str, role: Role, image: Volume, labels: Volume | None, data: DataSettings
) -> Surveyed:
    """Describe a scan and its labels.

    Parameters
    ----------
    name
        What the findings call it.
    role
        What it is used for.
    image, labels
        The scan, and its labels if it has any.
    data
        Says which id means “unknown”, and whether labels are brought onto the scan's grid.

    Returns
    -------
    survey, findings
        None, and why, where the scan cannot be used; without classes, and why, where its
        labels cannot.
    """
    try:
        upright = checked_image(image).reoriented("RAS")
    except MedContextError as error:
        return None, [_stop("scan", name, error)]
    survey = _of_scan(name, role, upright)
    if labels is None:
        return survey, []
    try:
        if data.resample:
            labels = labels_onto(labels, image, data.ignore_label or 0)
        drawn = checked_labels(labels, image, data.ignore_label).reoriented("RAS")
    except MedContextError as error:
        return survey, [_stop("labels", name, error)]
    return _with_labels(survey, drawn, data.ignore_label), []


def _stop(kind: str, name: str, error: MedContextError) -> Finding:
    # The message says what to do itself.
    return Finding(kind, [name], str(error), "", stops=True)


def _of_scan(name: str, role: Role, image: Volume) -> Survey:
    array = np.asarray(image.array)
    values = array.reshape(-1)[:: max(1, array.size // SAMPLE)].astype(np.float64)
    low, high = np.percentile(values, (0.5, 99.5))
    x, y, z = image.shape
    return Survey(
        name=name,
        role=role,
        source=image.name,
        shape=(x, y, z),
        spacing=image.spacing,
        askew=_askew(image),
        placed=True,
        minimum=float(array.min()),
        low=float(low),
        high=float(high),
        maximum=float(array.max()),
        few_values=_has_few_values(values),
        checksum=_checksum(array),
    )


def _with_labels(survey: Survey, labels: Volume, unknown: int | None) -> Survey:
    array = as_label_array(labels.array, labels.name)
    return replace(
        survey,
        labels_checksum=_checksum(array),
        labelled_share=float(np.count_nonzero(array) / array.size),
        classes={
            class_id: _class_facts(array, class_id, box, labels)
            for class_id, box in class_boxes(array).items()
            if class_id != unknown
        },
    )


def _class_facts(
    array: LabelArray, class_id: int, box: tuple[slice, ...], labels: Volume
) -> ClassSurvey:
    mask = array[box] == class_id
    voxels = int(np.count_nonzero(mask))
    pieces = cc3d.connected_components(mask, connectivity=26)
    sizes = np.bincount(pieces.ravel(order="K"))[1:]
    x, y, z = (
        (side.stop - side.start) * size for side, size in zip(box, labels.spacing, strict=True)
    )
    return ClassSurvey(
        voxels,
        voxels * labels.voxel_volume_ml,
        (x, y, z),
        any(
            side.start == 0 or side.stop == whole
            for side, whole in zip(box, array.shape, strict=True)
        ),
        int(np.count_nonzero(sizes <= SPECK_VOXELS)),
    )


def _askew(image: Volume) -> float:
    """Return by how many degrees the axes miss right angles at most."""
    axes = image.affine[:3, :3] / np.linalg.norm(image.affine[:3, :3], axis=0)
    cosines = np.abs(axes.T @ axes)[np.triu_indices(3, 1)]
    return float(np.degrees(np.arcsin(np.clip(cosines.max(), 0, 1))))


def _has_few_values(values: Array) -> bool:
    kinds = np.unique(values)
    return len(kinds) <= FEW_VALUES and bool((kinds == np.rint(kinds)).all())


def _checksum(array: Array) -> int:
    return zlib.crc32(np.ascontiguousarray(array.T).data)
