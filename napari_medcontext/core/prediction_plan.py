"""What a prediction of many scans is to do, and the files that it makes."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from napari_medcontext.core.cases import quoted
from napari_medcontext.core.cleaning import Cleaning
from napari_medcontext.core.cohort import ClusterSettings
from napari_medcontext.core.config import Case
from napari_medcontext.core.errors import RunError, SettingsError
from napari_medcontext.core.folder import WorkFolder
from napari_medcontext.core.formats import scan_name
from napari_medcontext.core.formats.ome_zarr import is_zarr
from napari_medcontext.core.io import atomic_path
from napari_medcontext.core.settings import Settings, dump

LabelsFormat = Literal["nifti", "nrrd"]
ENDINGS: Mapping[LabelsFormat, str] = {"nifti": ".nii.gz", "nrrd": ".seg.nrrd"}
"""How files of predicted labels end: NIfTI, or a segmentation of 3D Slicer."""
ZARR_ENDING = ".ome.zarr"
LEDGER = "predicted.csv"
"""The table, beside predicted labels, of what they were made by."""


class PredictSpec(Settings):
    """A prediction to do: which run's weights on which scans, and where results go."""

    run: Path
    scans: Annotated[tuple[Case, ...], Field(min_length=1)]
    out: Path
    weights: Literal["student", "teacher", "mean"] = "student"
    probabilities: bool = False
    labels_format: LabelsFormat = "nifti"
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


def labels_path(spec: PredictSpec, case: Case) -> Path:
    """Return where the predicted labels of a scan are written: as OME-Zarr, if that is one."""
    ending = ZARR_ENDING if is_zarr(case.image) else ENDINGS[spec.labels_format]
    return spec.out / f"{case.name}{ending}"


def probability_path(labels: Path, class_id: int) -> Path:
    """Return where the probabilities of one class lie beside a scan's predicted labels."""
    ending = ZARR_ENDING if labels.name.endswith(ZARR_ENDING) else ENDINGS["nifti"]
    return labels.with_name(f"{scan_name(labels)}.probability-{class_id}{ending}")


def existing_results(spec: PredictSpec) -> list[Path]:
    """Return the files that a prediction would overwrite."""
    found: list[Path] = []
    for case in spec.scans:
        names = [glob.escape(labels_path(spec, case).name)]
        names += [f"{glob.escape(case.name)}.probability-*"] * spec.probabilities
        found += [path for name in names for path in sorted(spec.out.glob(name))]
    return found


def refuse_whole_volumes(spec: PredictSpec) -> None:
    """Refuse to tidy the results of scans that are predicted block by block.

    Raises
    ------
    SettingsError
        Naming such a scan.
    """
    if not spec.cleaning.is_any:
        return
    found = next((case.image for case in spec.scans if is_zarr(case.image)), None)
    if found is not None:
        raise SettingsError(
            f"{found} is OME-Zarr, which is predicted block by block, so that it need not fit "
            "into memory; its result cannot be tidied, which takes all of it at once. Leave that "
            "out, or convert the scan to NIfTI."
        )


def refuse_overwriting_scans(spec: PredictSpec) -> None:
    """Refuse a folder in which a result would take the place of a scan.

    Raises
    ------
    RunError
        Naming the scan.
    """
    scans = {case.image.resolve() for case in spec.scans}
    for case in spec.scans:
        target = labels_path(spec, case)
        if target.resolve() in scans:
            raise RunError(
                f"The labels predicted for {quoted([case.name])} would overwrite the scan "
                f"{target}. Choose another folder for the results."
            )
