"""The options of the ``medcontext`` commands: their types, their words, what they change."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_medcontext.core.config import section_model
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.networks import NETWORKS

SETTING_OPTIONS = {
    "network": ("network", "name"),
    "size": ("network", "size"),
    "method": ("objective", "method"),
    "spacing": ("data", "spacing"),
    "patch_size": ("data", "patch_size"),
    "steps": ("training", "steps"),
    "seed": ("training", "seed"),
    "device": ("device", "device"),
}
"""Options of ``train`` that change one setting each: its section and name."""

NetworkName = Enum("NetworkName", {name: name for name in NETWORKS}, type=str)  # type: ignore[misc]


class MethodName(str, Enum):  # noqa: UP042 - typer shows the values of a str Enum
    """What a network learns from."""

    medcontext = "medcontext"
    supervised = "supervised"


class SizeName(str, Enum):  # noqa: UP042
    """How large the network is."""

    small = "small"
    paper = "paper"


class DeviceName(str, Enum):  # noqa: UP042
    """Where to compute."""

    auto = "auto"
    cuda = "cuda"
    mps = "mps"
    cpu = "cpu"


class WeightsName(str, Enum):  # noqa: UP042
    """Whose weights predict."""

    student = "student"
    teacher = "teacher"
    mean = "mean"


def changed_settings(**options: object) -> dict[str, dict[str, Any]]:
    """Return the settings that options of ``train`` change, by section; ``None`` changes none."""
    changes: dict[str, dict[str, Any]] = {}
    for option, value in options.items():
        if value is not None:
            section, name = SETTING_OPTIONS[option]
            plain = value.value if isinstance(value, Enum) else value
            changes.setdefault(section, {})[name] = plain
    return changes


def refuse_ignored(params: Mapping[str, object]) -> None:
    """Refuse options that a resumed run, which has its settings and scans, would not heed.

    Raises
    ------
    SettingsError
        Naming those that were given beside ``--resume``.
    """
    ignored = [
        f"--{name.replace('_', '-')}"
        for name, value in params.items()
        if name != "resume" and value not in (None, (), [])
    ]
    if ignored:
        raise SettingsError(
            f"--resume goes on with a run as it was begun, and ignores {', '.join(ignored)}. "
            "Leave that out, or train anew with --out."
        )


def _setting(option: str, **attributes: Any) -> Any:
    """Return an option with its setting's own words, default and unit for ``--help``."""
    section, name = SETTING_OPTIONS[option]
    field = section_model(section).model_fields[name]
    extra = field.json_schema_extra
    unit = f" {extra['unit']}" if isinstance(extra, dict) and extra.get("unit") else ""
    default = "" if field.default is None else f" Default: {_plain(field.default)}{unit}."
    return typer.Option(help=f"{field.description}{default}", **attributes)


def _plain(value: object) -> str:
    return " ".join(str(part) for part in value) if isinstance(value, tuple) else str(value)


def _scans(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel="Scans")


# train: ``None`` is an option that was left out.
Images = Annotated[Path | None, _scans("Folder of scans (.nii, .nii.gz).")]
Labels = Annotated[Path | None, _scans("Folder of their labels, of the same names.")]
Dataset = Annotated[
    Path | None,
    _scans("A dataset.json in the Medical Segmentation Decathlon form, instead of folders."),
]
Validation = Annotated[list[str] | None, _scans("Name of a scan to validate on; repeatable.")]
RunOut = Annotated[Path | None, typer.Option(help="Run folder to write.")]
Resume = Annotated[
    Path | None, typer.Option(help="Run folder to go on with; needs no other option.")
]
Config = Annotated[
    Path | None, typer.Option(help="YAML or JSON file with any settings (see run.yaml).")
]
Network = Annotated[NetworkName | None, _setting("network")]
Size = Annotated[SizeName | None, _setting("size")]
Method = Annotated[MethodName | None, _setting("method")]
Spacing = Annotated[tuple[float, float, float] | None, _setting("spacing", metavar="X Y Z")]
PatchSize = Annotated[tuple[int, int, int] | None, _setting("patch_size", metavar="X Y Z")]
Steps = Annotated[int | None, _setting("steps")]
Seed = Annotated[int | None, _setting("seed")]
Device = Annotated[DeviceName | None, _setting("device")]

# predict
Run = Annotated[Path, typer.Argument(help="Run folder of a training.")]
NewScans = Annotated[list[Path], typer.Argument(help="Scans, or folders of scans.")]
LabelsOut = Annotated[Path, typer.Option(help="Folder to write the predicted labels to.")]
Weights = Annotated[
    WeightsName, typer.Option(help="Whose weights: student, teacher, or the mean of both.")
]
Probabilities = Annotated[
    bool, typer.Option("--probabilities", help="Write each class's probability too.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results of the same names.")]

# evaluate
Predictions = Annotated[Path, typer.Option(help="Folder of predicted labels.")]
References = Annotated[Path, typer.Option(help="Folder of reference labels, of the same names.")]
ScoresOut = Annotated[Path, typer.Option(help="CSV file: one row a case and class.")]

# demo
DemoOut = Annotated[Path, typer.Option(help="Folder for pictures, the table and the run.")]
DemoSteps = Annotated[int, typer.Option(help="Training steps.", min=1)]
Unattended = Annotated[
    bool, typer.Option("--unattended", help="Press every button itself, and take pictures.")
]
