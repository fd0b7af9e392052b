"""What a run's previews said at chosen steps, kept small, to be looked through afterwards.

::

    timeline/scan.npz     the scan in 256 greys, what is hidden of it, its labels, its classes
    timeline/000320.npz   what student and teacher said after step 320

This module imports no torch.
"""

from __future__ import annotations

import contextlib
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_medcontext.core.errors import MedContextError, RunError
from napari_medcontext.core.events import Array, PreviewReady
from napari_medcontext.core.io import atomic_path

SCAN_FILE = "scan.npz"
SEEN_PERCENTILES = (0.1, 99.9)
"""Intensities outside of these are kept as dark or as bright as these."""
GREYS = 255


@dataclass(frozen=True, eq=False)
class _Scan:
    """What is the same at every step; label arrays hold the user's own class ids."""

    name: str
    affine: Array
    image: Array
    masked: Array
    reference: Array | None
    class_names: Mapping[int, str]


class Timeline:
    """The previews of a run at a bounded number of steps, spread evenly over it.

    Parameters
    ----------
    run
        The folder of the run.
    most
        So many steps are kept at most; 0 keeps none.
    """

    def __init__(self, run: Path, most: int = 0) -> None:
        self._folder = run / "timeline"
        self._most = most
        self._scan: _Scan | None = None

    def steps(self) -> list[int]:
        """Return the steps that are kept, rising."""
        stems = [file.stem for file in self._folder.glob("*.npz")]
        return sorted(int(stem) for stem in stems if stem.isdigit())

    def keep(self, preview: PreviewReady, class_names: Mapping[int, str]) -> None:
        """Keep a preview's label maps, and give up a step for it where there are too many.

        A disk that is full must not end the training: the step is left out then.
        """
        if not self._most:
            return
        answers = {
            "student": preview.student,
            "student_masked": preview.student_masked,
            "teacher": preview.teacher,
        }
        with contextlib.suppress(MedContextError, OSError):
            if not (self._folder / SCAN_FILE).exists():
                _save(self._folder / SCAN_FILE, _scan_arrays(preview, class_names))
            _save(self._file(preview.step), answers)
            for step in surplus_steps(self.steps(), self._most):
                self._file(step).unlink(missing_ok=True)

    def forget_after(self, step: int) -> None:
        """Forget steps after ``step``, which a resumed run does again."""
        for later in self.steps():
            if later > step:
                with contextlib.suppress(OSError):
                    self._file(later).unlink(missing_ok=True)

    def read(self, step: int) -> PreviewReady:
        """Return the preview of a step; its image is the same array at every step.

        Raises
        ------
        RunError
            If it is not there, or no longer.
        """
        if self._scan is None:
            self._scan = _read_scan(self._folder / SCAN_FILE)
        answers = _load(self._file(step))
        return PreviewReady(
            step=step,
            name=self._scan.name,
            affine=self._scan.affine,
            image=self._scan.image,
            masked=self._scan.masked,
            student_masked=answers["student_masked"],
            student=answers["student"],
            teacher=answers.get("teacher"),
            reference=self._scan.reference,
        )

    @property
    def class_names(self) -> Mapping[int, str]:
        """Class id to name, once a step has been read."""
        return {} if self._scan is None else self._scan.class_names

    def _file(self, step: int) -> Path:
        return self._folder / f"{step:06d}.npz"


def surplus_steps(steps: Sequence[int], most: int) -> list[int]:
    """Return the steps to give up so that ``most`` are left, spread as evenly as may be.

    The newest always stays, and the first where two or more are kept; of the others, those
    whose neighbours lie closest together go.
    """
    left, surplus = list(steps), []
    while len(left) > max(most, 1):
        inner = range(1, len(left) - 1)
        index = min(inner, key=lambda i: left[i + 1] - left[i - 1], default=0)
        surplus.append(left.pop(index))
    return surplus


def _scan_arrays(preview: PreviewReady, class_names: Mapping[int, str]) -> dict[str, Any]:
    low, high = (float(limit) for limit in np.percentile(preview.image, SEEN_PERCENTILES))
    greys = (preview.image - low) * (GREYS / max(high - low, 1e-6))
    facts = {"name": preview.name, "low": low, "high": high, "classes": dict(class_names)}
    return {
        "image": np.clip(np.rint(greys), 0, GREYS).astype(np.uint8),
        "hidden": np.packbits(preview.masked != preview.image),
        "reference": preview.reference,
        "affine": preview.affine,
        "facts": np.array(json.dumps(facts)),
    }


def _read_scan(file: Path) -> _Scan:
    arrays = _load(file)
    facts = json.loads(str(arrays["facts"]))
    low, high = facts["low"], facts["high"]
    greys = arrays["image"]
    image = (greys * np.float32((high - low) / GREYS) + np.float32(low)).astype(np.float32)
    hidden = np.unpackbits(arrays["hidden"], count=greys.size).reshape(greys.shape).view(bool)
    classes = {int(class_id): name for class_id, name in facts["classes"].items()}
    # What stood in the hidden place changed as it was learned; here it is black throughout.
    masked = np.where(hidden, image.min(), image)
    reference = arrays.get("reference")
    return _Scan(facts["name"], arrays["affine"], image, masked, reference, classes)


def _save(file: Path, arrays: Mapping[str, Array | None]) -> None:
    there = {name: array for name, array in arrays.items() if array is not None}
    with atomic_path(file) as temporary, temporary.open("wb") as opened:
        np.savez_compressed(opened, **there)  # type: ignore[arg-type]


def _load(file: Path) -> dict[str, Array]:
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise RunError(
            f"{file} cannot be read: the run has given up this step, or its folder is gone. "
            "Choose the run again."
        ) from error
