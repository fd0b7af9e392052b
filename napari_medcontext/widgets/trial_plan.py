"""What a comparison on open scans does: which are scored, which trainings, in words too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from napari_medcontext.core.config import Case, RunConfig
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.method_settings import ObjectiveSettings
from napari_medcontext.core.region_tables import Regions
from napari_medcontext.core.settings import validated
from napari_medcontext.core.study.arms import BASELINE, Arm
from napari_medcontext.core.study.plan import StudyFolder, StudySpec, cells_of
from napari_medcontext.snapshots import Scan
from napari_medcontext.widgets.pace import about_text, expected_seconds

FEW = 5
"""With fewer scans than this each is left out in turn."""
HELD_OUT = 3
"""With more, and none for validation, every third is scored and not trained on."""
METHOD = "MedContext"
CHECKPOINTS = 4


def scans_to_compare_on(scans: Sequence[Scan]) -> list[Scan]:
    """Return the scans of a comparison; those to score alone have the role ``validation``.

    Of under five scans each is left out in turn, so none is set aside. Scans without labels
    take no part.

    Raises
    ------
    ScanError
        If there are too few.
    """
    labelled = [
        scan
        for scan in scans
        if scan.labels is not None and scan.role in ("training", "validation")
    ]
    if len(labelled) < 2:
        raise ScanError(
            "To see whether the method helps, a scan must be scored that was not trained on: "
            "choose at least two scans with labels for training or validation."
        )
    if len(labelled) < FEW:
        return [replace(scan, role="training") for scan in labelled]
    if any(scan.role == "validation" for scan in labelled):
        return labelled
    return [
        replace(scan, role="validation") if place % HELD_OUT == HELD_OUT - 1 else scan
        for place, scan in enumerate(labelled)
    ]


def planned_study(
    cases: Sequence[Case], config: RunConfig, regions: Regions, channels: Sequence[str] = ()
) -> StudySpec:
    """Return the plan: plain supervision, and the method as the settings have it."""
    objective = config.objective
    if objective.method == BASELINE:
        objective = ObjectiveSettings()
    method = {
        "objective": objective.model_dump(mode="json"),
        "masking": config.masking.model_dump(mode="json"),
    }
    values = {
        "config": config,
        "networks": [config.network.name],
        "arms": [Arm(name=BASELINE, preset=BASELINE), Arm(name=METHOD, changes=method)],
        "seeds": [config.training.seed],
        "training": [case for case in cases if case.role == "training"],
        "test": [case for case in cases if case.role == "validation"],
        "regions": regions,
        "channels": channels,
        "checkpoints": CHECKPOINTS,
    }
    return validated(StudySpec, values, "the comparison")


def require_scans(spec: StudySpec) -> None:
    """Refuse a plan whose scans are gone.

    Raises
    ------
    ScanError
        Naming the first file that is not there.
    """
    files = [path for case in (*spec.training, *spec.test) for path in (case.image, case.labels)]
    missing = next((path for path in files if path is not None and not path.is_file()), None)
    if missing is not None:
        raise ScanError(
            f"{missing} is not there any more. If the comparison was moved, move it back to where "
            "it was made."
        )


def plan_text(spec: StudySpec, scans: Sequence[Scan], study: StudyFolder) -> str:
    """Say how many trainings a comparison takes, how long, and which scans are scored.

    Raises
    ------
    SettingsError
        If one of its trainings cannot work.
    """
    configs = [cell.run_spec().config for cell in cells_of(spec)]
    text = f"{len(configs)} trainings of {spec.config.training.steps} steps"
    seconds = [expected_seconds(config) for config in configs]
    if None not in seconds:
        text += f", {about_text(sum(filter(None, seconds)))} as fast as the last runs here"
    scored = ", ".join(case.name for case in spec.test)
    if spec.leaves_one_out:
        scored = f"each of {len(spec.training)} scans, left out in turn"
    bare = [scan.image.name for scan in scans if scan.labels is None and scan.role == "training"]
    without = f" Without labels, and so left out: {', '.join(bare)}." if bare else ""
    return (
        f"{text}; scored on {scored}.{without} In {study.path}: name it beside “Run” and press "
        "Resume to see it again or go on with it."
    )
