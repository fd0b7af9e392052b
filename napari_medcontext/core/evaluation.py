"""A prediction against its reference: scores by case and class, and what they amount to."""

from __future__ import annotations

import csv
import io as text_io
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Literal, TextIO

from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.io import atomic_path, list_nifti, nifti_stem, read_volume
from napari_medcontext.core.labels import Box, as_label_array, class_boxes
from napari_medcontext.core.metrics import METRICS, Mask, Spacing, volume_ml
from napari_medcontext.core.volume import Volume, grid_distance, same_grid

Status = Literal["found", "missed", "invented", "absent"]


@dataclass(frozen=True)
class ClassScore:
    """How well one class of one case was predicted.

    ``status`` is ``found`` (in both), ``missed`` (in the reference alone), ``invented`` (in
    the prediction alone) or ``absent`` (in neither). A missed or invented class has a Dice
    of 0 and no HD95 (``nan``); an absent one has neither.
    """

    case: str
    class_id: int
    class_name: str
    status: Status
    dsc: float
    hd95_mm: float
    prediction_ml: float
    reference_ml: float


@dataclass(frozen=True)
class Summary:
    """Means over cases and classes, with what they leave out.

    ``mean_dsc`` is taken over every class that is in the prediction or the reference, so
    ``found + missed + invented`` of them; ``mean_hd95_mm`` over those found, since no other
    has a distance. Both are ``nan`` where there is nothing to average.
    """

    mean_dsc: float
    mean_hd95_mm: float
    found: int
    missed: int
    invented: int

    @property
    def counted(self) -> int:
        """Number of scores that the mean Dice is taken over."""
        return self.found + self.missed + self.invented

    @property
    def text(self) -> str:
        """The summary in one line, for a window or a terminal."""
        if not self.counted:
            return "nothing to compare: neither holds a class"
        distance = f"HD95 {self.mean_hd95_mm:.1f} mm" if self.found else "HD95 not measurable"
        parts = [f"DSC {self.mean_dsc:.3f} · {distance} over {self.found} of {self.counted}"]
        parts += [f"{self.missed} missed"] if self.missed else []
        parts += [f"{self.invented} invented"] if self.invented else []
        return ", ".join(parts)


def evaluate_volumes(
    prediction: Volume,
    reference: Volume,
    *,
    case: str,
    class_names: Mapping[int, str] | None = None,
    classes: Iterable[int] | None = None,
) -> list[ClassScore]:
    """Score every class of a prediction, the background left out.

    Parameters
    ----------
    prediction, reference
        Class ids on the same grid; the prediction's axes may run otherwise.
    case
        Name of the scan, for the scores.
    class_names
        Class id to name; those that the volumes carry where it is left out.
    classes
        Class ids to score; where left out, all that occur in a volume or have a name.

    Returns
    -------
    list of ClassScore
        In the order of their ids.

    Raises
    ------
    ScanError
        If either holds no class ids, or they lie on different grids.
    """
    names = {**prediction.class_names, **reference.class_names}
    names = names if class_names is None else dict(class_names)
    predicted = as_label_array(_onto(prediction, reference).array, prediction.name)
    expected = as_label_array(reference.array, reference.name)
    boxes = class_boxes(predicted), class_boxes(expected)
    wanted = set[int]().union(*boxes, names) if classes is None else set(classes)
    scores = []
    for class_id in sorted(wanted - {0}):
        name = names.get(class_id, f"class {class_id}")
        box = _union(found.get(class_id) for found in boxes)
        masks = predicted[box] == class_id, expected[box] == class_id
        scores.append(_score(case, class_id, name, *masks, reference.spacing))
    return scores


def summarise(scores: Iterable[ClassScore]) -> Summary:
    """Return the means of scores, a missed or invented class counting as a Dice of 0."""
    scores = list(scores)
    count = Counter(score.status for score in scores)
    return Summary(
        mean_dsc=_mean([score.dsc for score in scores if score.status != "absent"]),
        mean_hd95_mm=_mean([score.hd95_mm for score in scores if score.status == "found"]),
        found=count["found"],
        missed=count["missed"],
        invented=count["invented"],
    )


def evaluate_folders(
    predictions: Path, labels: Path, *, class_names: Mapping[int, str] | None = None
) -> Iterator[list[ClassScore]]:
    """Score each prediction in a folder against the labels of the same name, case by case.

    ``pair_by_name`` tells which files go together; ``unpredicted`` which references are left out.

    Raises
    ------
    ScanError
        At once, if no two files share a name; later, if a pair cannot be compared.
    """
    pairs, _ = pair_by_name(list_nifti(predictions), list_nifti(labels))
    if not pairs:
        raise ScanError(
            f"No file in {predictions} has the name of one in {labels}. Give each prediction "
            "its labels' file name, for example case_01.nii.gz in both folders."
        )
    return (
        evaluate_volumes(
            read_volume(first),
            read_volume(second),
            case=nifti_stem(second),
            class_names=class_names,
        )
        for first, second in pairs
    )


def unpredicted(predictions: Path, labels: Path) -> list[str]:
    """Return the names of the cases with labels but no prediction, which no score counts."""
    _, left_over = pair_by_name(list_nifti(predictions), list_nifti(labels))
    return [nifti_stem(path) for path in left_over if path.parent == labels]


def pair_by_name(
    first: Sequence[Path], second: Sequence[Path]
) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Pair NIfTI files whose names agree up to ``.nii`` or ``.nii.gz``.

    Returns
    -------
    tuple of list
        The pairs, sorted by name, and the files that have no partner.

    Raises
    ------
    ScanError
        If two files of one side have the same name.
    """
    one, other = _by_stem(first), _by_stem(second)
    pairs = [(one[stem], other[stem]) for stem in sorted(one.keys() & other.keys())]
    left_over = [path for side in (one, other) for path in side.values()]
    paired = {path for pair in pairs for path in pair}
    return pairs, [path for path in left_over if path not in paired]


def write_scores(path: Path, scores: Iterable[ClassScore]) -> Path:
    """Write scores as CSV, one row a case and class, what is not measurable left empty."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        _write_table(file, scores, delimiter=",")
    return path


def scores_to_text(scores: Iterable[ClassScore]) -> str:
    """Return the same table separated by tabs, as spreadsheets paste it."""
    buffer = text_io.StringIO()
    _write_table(buffer, scores, delimiter="\t")
    return buffer.getvalue()


def _score(
    case: str, class_id: int, class_name: str, prediction: Mask, reference: Mask, spacing: Spacing
) -> ClassScore:
    status = _status(prediction.any(), reference.any())
    values = {
        name: metric.measure(prediction, reference, spacing)
        if status == "found"
        else (math.nan if status == "absent" else metric.one_sided)
        for name, metric in METRICS.items()
    }
    return ClassScore(
        case,
        class_id,
        class_name,
        status,
        prediction_ml=volume_ml(prediction, spacing),
        reference_ml=volume_ml(reference, spacing),
        **values,
    )


def _status(predicted: object, expected: object) -> Status:
    if predicted and expected:
        return "found"
    if expected:
        return "missed"
    return "invented" if predicted else "absent"


def _onto(prediction: Volume, reference: Volume) -> Volume:
    """Return the prediction with its axes running as the reference's do."""
    if same_grid(prediction, reference):
        return prediction
    turned = prediction.reoriented(reference.orientation)
    if same_grid(turned, reference):
        return turned
    raise ScanError(
        f"“{prediction.name}” and “{reference.name}” lie on different grids: "
        f"{_difference(turned, reference)}. Compare labels of the same scan, or resample one "
        "onto the other's grid with nearest neighbour first."
    )


def _difference(first: Volume, second: Volume) -> str:
    if first.shape != second.shape:
        return f"{_grid_text(first)} against {_grid_text(second)}"
    apart = grid_distance(first, second) * min(first.spacing)
    return f"same size, but voxels that should coincide lie up to {apart:.3g} mm apart"


def _grid_text(volume: Volume) -> str:
    voxels = "×".join(str(size) for size in volume.shape)
    spacing = "×".join(f"{size:.3g}" for size in volume.spacing)
    return f"{voxels} voxels of {spacing} mm"


def _union(boxes: Iterable[Box | None]) -> Box:
    """Return the box that bounds all of these; an empty one where there is none."""
    known = [box for box in boxes if box]
    if not known:
        return (slice(0, 0),) * 3
    return tuple(
        slice(min(side.start for side in axis), max(side.stop for side in axis))
        for axis in zip(*known, strict=True)
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    by_stem: dict[str, Path] = {}
    for path in paths:
        twin = by_stem.setdefault(nifti_stem(path), path)
        if twin != path:
            raise ScanError(f"{twin} and {path} have the same name. Remove one of them.")
    return by_stem


def _write_table(file: TextIO, scores: Iterable[ClassScore], *, delimiter: str) -> None:
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerow(field.name for field in fields(ClassScore))
    writer.writerows([_cell(value) for value in astuple(score)] for score in scores)


def _cell(value: object) -> object:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.6g}"
