"""What a prediction of many scans is to do, and the files that it makes."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from napari_medcontext.core.cases import quoted
from napari_medcontext.core.cleaning import Cleaning
from napari_medcontext.core.cohort import ClusterSettings
from napari_medcontext.core.config import Case
from napari_medcontext.core.errors import RunError
from napari_medcontext.core.folder import WorkFolder
from napari_medcontext.core.io import atomic_path
from napari_medcontext.core.settings import Settings, dump

LEDGER = "predicted.csv"
"""The table, beside predicted labels, of what they were made by."""


class PredictSpec(Settings):
    """A prediction to do: which run's weights on which scans, and where results go."""

    run: Path
    scans: Annotated[tuple[Case, ...], Field(min_length=1)]
    out: Path
    weights: Literal["student", "teacher", "mean"] = "student"
    probabilities: bool = False
    cleaning: Cleaning = Cleaning()
    cluster: ClusterSettings = ClusterSettings()


class PredictFolder(WorkFolder):
    """The folder of one prediction."""

    @property
    def spec_path(self) -> Path:
        """The file that says what to predict."""
        return self.path / "predict.yaml"

    def create(self, spec: PredictSpec) -> PredictFolder:
        """Make the folder and write what to predict."""
        with atomic_path(self.spec_path) as temporary:
            temporary.write_text(dump(spec), encoding="utf-8")
        return self


def labels_path(out: Path, case: Case) -> Path:
    """Return where the predicted labels of a scan are written."""
    return out / f"{case.name}.nii.gz"


def probability_path(labels: Path, class_id: int) -> Path:
    """Return where the probabilities of one class lie beside a scan's predicted labels."""
    return labels.with_name(labels.name.replace(".nii.gz", f".probability-{class_id}.nii.gz"))


def existing_results(spec: PredictSpec) -> list[Path]:
    """Return the files that a prediction would overwrite."""
    found: list[Path] = []
    for case in spec.scans:
        names = [f"{glob.escape(case.name)}.nii.gz"]
        names += [f"{glob.escape(case.name)}.probability-*.nii.gz"] * spec.probabilities
        found += [path for name in names for path in sorted(spec.out.glob(name))]
    return found


def refuse_overwriting_scans(spec: PredictSpec) -> None:
    """Refuse a folder in which a result would take the place of a scan.

    Raises
    ------
    RunError
        Naming the scan.
    """
    scans = {case.image.resolve() for case in spec.scans}
    for case in spec.scans:
        target = labels_path(spec.out, case)
        if target.resolve() in scans:
            raise RunError(
                f"The labels predicted for {quoted([case.name])} would overwrite the scan "
                f"{target}. Choose another folder for the results."
            )
