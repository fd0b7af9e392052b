"""The options of ``medcontext study-patch-size``, and the comparison that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from napari_medcontext import cli_study
from napari_medcontext.core.config import Case, RunConfig
from napari_medcontext.core.study.arms import Arm
from napari_medcontext.core.study.plan import StudySpec

GENERATED = "volumes"
"""Where generated volumes lie in the folder of the study."""
UNUSED = (
    *("unlabelled", "methods", "arm", "ablation", "baseline", "budget_seconds", "pretrained"),
    *("region", "regions", "patch_size", "data_preset", "channels"),
)
"""Options of a comparison that this one does not have."""

DatasetFile = Annotated[
    Path | None,
    typer.Argument(
        help="A dataset.json in the Medical Segmentation Decathlon form, or nothing for generated "
        "volumes: a sphere of finer texture than what surrounds it, from 0.5 to 30 % of the volume."
    ),
]
Volumes = Annotated[
    int,
    typer.Option(help="Volumes to generate for training, and as many for testing.", min=2),
]
Side = Annotated[int, typer.Option(help="Voxels along each axis of a generated volume.", min=32)]
PatchSizes = Annotated[
    str,
    typer.Option(
        help="Patch sizes to compare, separated by commas: 64, or 64x64x32.",
        rich_help_panel="What is compared",
    ),
]
ForegroundSize = Annotated[
    str | None,
    typer.Option(
        help="Patch size of the trainings on the half of the scans with little foreground, on the "
        "half with much, and on as many of all shares. Default: the middle one of those compared.",
        rich_help_panel="What is compared",
    ),
]


def planned(given: Mapping[str, Any], console: Console) -> StudySpec:
    """Return the plan of a study from the options of ``study-patch-size``.

    Raises
    ------
    SettingsError, ScanError
        If options contradict each other, or there is nothing to score on.
    """
    from napari_medcontext.core.patch_plan.sizes import parsed_sizes, training_spacing
    from napari_medcontext.core.spheres import write_spheres
    from napari_medcontext.core.study.foreground import foreground_arms, size_arms

    given = {**dict.fromkeys(UNUSED), **given}
    if all(given[name] is None for name in ("dataset", "images", "labels")):
        folder = given["out"].absolute() / GENERATED
        given["dataset"] = write_spheres(folder, given["volumes"], given["side"])

    def arms(config: RunConfig, training: Sequence[Case]) -> Sequence[Arm]:
        spacing, network = training_spacing(config, training), config.network.name
        sizes = parsed_sizes(given["patch_sizes"], spacing, network)
        words = given["foreground_size"]
        one = parsed_sizes(words, spacing, network)[0] if words else sizes[len(sizes) // 2]
        return [*size_arms(sizes), *foreground_arms(one, training, config.data.ignore_label)]

    return cli_study.planned(given, console, arms).model_copy(update={"foreground": True})
