"""A trained run and one scan, loaded once to be asked about many times."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medcontext.core.classes import UNKNOWN, Classes
from napari_medcontext.core.config import Case
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.inference import Predictor, load_predictor
from napari_medcontext.core.io import read_geometry
from napari_medcontext.core.mask_grid import Mask
from napari_medcontext.core.masking import AXES, choose_axis
from napari_medcontext.core.metrics import dice
from napari_medcontext.core.prepared import PreparedScan, prepared_scan
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.seen_scan import Answer, SeenScan
from napari_medcontext.core.windows import windowed_probabilities

Decided = npt.NDArray[np.uint8]


@dataclass(eq=False)
class Subject:
    """A run's networks and a scan, with what they say of it once they were asked.

    Parameters
    ----------
    run
        The run.
    predictor
        The student first, then the teacher if there is one.
    scan
        The prepared scan.
    """

    run: RunFolder
    predictor: Predictor
    scan: PreparedScan
    _student: Decided | None = field(default=None, init=False)
    _teacher: tuple[Decided, npt.NDArray[np.float32]] | None = field(default=None, init=False)

    @cached_property
    def seen(self) -> SeenScan:
        """The scan as the student sees it."""
        return SeenScan(self.predictor, self.scan.image)

    @property
    def classes(self) -> Classes:
        """What the run's labels mean, the unknown among them."""
        return self.predictor.classes

    @property
    def has_teacher(self) -> bool:
        """Whether the run has a teacher."""
        return len(self.predictor.networks) > 1

    @cached_property
    def labels(self) -> Decided | None:
        """The scan's class indices, ``(x, y, z)``, if it has labels."""
        return None if self.scan.labels is None else self.scan.labels.numpy()

    @cached_property
    def reference(self) -> npt.NDArray[Any] | None:
        """The scan's labels in the user's own class ids."""
        return None if self.labels is None else self.classes.reference_ids(self.labels)

    @cached_property
    def reference_masks(self) -> Mapping[int, Mask]:
        """Where the labels hold each class; none without labels."""
        return {} if self.labels is None else self.classes.masks(self.labels)

    def axis(self, setting: str) -> int:
        """Return the index of an axis; ``"auto"`` is that of this scan's thickest slices."""
        return choose_axis(setting, [self.scan.source_spacing])  # type: ignore[arg-type]

    @property
    def mask_axis(self) -> str:
        """The name of the axis along which the run's columns would run in this scan."""
        return AXES[self.axis(self.predictor.config.masking.axis)]

    def labelled_ids(self) -> tuple[int, ...]:
        """Return the classes that the scan's labels hold.

        Raises
        ------
        SettingsError
            If there are no labels.
        """
        if self.labels is None:
            raise SettingsError(
                f"“{self.scan.name}” has no labels, so it is not known where its organs are. "
                "Choose its labels."
            )
        return tuple(k for k, mask in self.reference_masks.items() if mask.any())

    def mask_of(self, class_id: int) -> Mask:
        """Return where the labels hold a class.

        Raises
        ------
        SettingsError
            If there are no labels, or the class is not among them.
        """
        there = self.labelled_ids()
        if class_id not in there:
            raise SettingsError(
                f"The labels of “{self.scan.name}” hold no class {class_id}; there are "
                f"{', '.join(map(str, there)) or 'none that the run knows'}."
            )
        return self.reference_masks[class_id]

    def student(self) -> Generator[float, None, Decided]:
        """Return what the student decides on the whole scan."""
        if self._student is None:
            probabilities = yield from self.seen.whole()
            self._student = self.classes.decide(probabilities.numpy())
        return self._student

    def teacher(self) -> Generator[float, None, tuple[Decided, npt.NDArray[np.float32]]]:
        """Return what the teacher decides on the whole scan, and how far the student is from it.

        The second is ``distance`` of their probabilities, ``(x, y, z)``.
        """
        if self._teacher is None:
            predictor = self.predictor
            theirs = yield from windowed_probabilities(
                predictor.networks[1:],
                self.scan.image,
                predictor.config.data.patch_size,
                predictor.compute,
                overlap=self.seen.grid.overlap,
                exclusive=not self.classes.regions,
            )
            own = yield from self.seen.whole()
            apart = self.distance(own.numpy(), theirs.numpy())
            self._teacher = self.classes.decide(theirs.numpy()), apart
        return self._teacher

    def decided(self, answer: Answer, student: Decided) -> Decided:
        """Return what the student decides where its answer changed, and as before elsewhere."""
        decided = student.copy()
        decided[answer.region] = self.classes.decide(answer.probabilities.numpy())
        return decided

    def distance(
        self, one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """Return how far two answers lie apart at each voxel, in [0, 1].

        The total variation distance, half of Σ|p − q| over the classes: the least share of
        draws from both in which the class differs. With regions, whose outputs are each a
        probability of its own, it is the largest |p − q|.

        Parameters
        ----------
        one, other
            Probabilities, shape ``(K, x, y, z)``.
        """
        apart = np.zeros(one.shape[1:], dtype=np.float32)
        for p, q in zip(one, other, strict=True):
            if self.classes.regions:
                np.maximum(apart, np.abs(p - q), out=apart)
            else:
                apart += np.abs(p - q) / 2
        return np.minimum(apart, 1.0, out=apart)

    def dice(self, decided: Decided, where: Mask | None = None) -> dict[int, float]:
        """Return the Dice of each class against the labels, where these are known.

        Parameters
        ----------
        decided
            From ``student`` or ``decided``.
        where
            What is scored, boolean ``(x, y, z)``; all of the scan if left out.

        Returns
        -------
        dict
            ``nan`` for a class that is in neither; empty without labels.
        """
        if self.labels is None:
            return {}
        scored = self.labels != UNKNOWN
        if where is not None:
            scored &= where
        found = self.classes.predicted_masks(decided)
        return {
            k: dice(found[k] & scored, mask & scored) for k, mask in self.reference_masks.items()
        }


def load_networks(run: RunFolder) -> Predictor:
    """Load a run's student, its token, and its teacher if it has one.

    Raises
    ------
    RunError
        If it has no weights yet, or they do not fit it.
    """
    taught = run.spec().config.objective.has_teacher
    predictor = load_predictor(run, "mean" if taught else "student")
    classes = replace(predictor.classes, unknown_id=predictor.config.data.ignore_label)
    return replace(predictor, classes=classes)


def load_subject(run: RunFolder, predictor: Predictor, case: Case) -> Subject:
    """Prepare a scan for a run's networks.

    Raises
    ------
    ScanError
        If the scan or its labels cannot be used.
    """
    classes, config = predictor.classes, predictor.config
    channels = run.spec().channels
    grid = read_geometry(case.image, channels=len(channels) > 1)
    source_spacing = grid.reoriented("RAS").spacing
    # Labels of a scan that is only looked at may hold other classes than the run's.
    case = case.model_copy(update={"role": "unused"})
    scan = prepared_scan(case, source_spacing, classes, predictor.spacing, config, None, channels)
    return Subject(run, predictor, scan)
