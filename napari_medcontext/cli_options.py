"""The options of the ``medcontext`` commands: their types, their words, what they change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from napari_medcontext.core.config import section_model
from napari_medcontext.core.definitions import HAUSDORFF_WORDS, SURFACE_DICE_WORDS
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.networks import network_names
from napari_medcontext.core.prediction_plan import ENDINGS
from napari_medcontext.core.presets import PRESETS

SETTING_OPTIONS = {
    "network": ("network", "name"),
    "size": ("network", "size"),
    "pretrained": ("network", "pretrained"),
    "method": ("objective", "method"),
    "mask_scheme": ("masking", "scheme"),
    "mask_site": ("masking", "site"),
    "spacing": ("data", "spacing"),
    "patch_size": ("data", "patch_size"),
    "ignore_label": ("data", "ignore_label"),
    "resample": ("data", "resample"),
    "steps": ("training", "steps"),
    "seed": ("training", "seed"),
    "device": ("device", "device"),
}
"""Options of ``train`` that change one setting each: its section and name."""


def _choice(title: str, names: Iterable[str]) -> Any:
    """Return names as what an option offers; typer shows the values of such an Enum."""
    return Enum(title, {name: name for name in names}, type=str)


def _settings_choice(option: str) -> Any:
    """Return the values that a setting allows as what its option offers."""
    section, name = SETTING_OPTIONS[option]
    return _choice(name, get_args(section_model(section).model_fields[name].annotation))


PresetName = _choice("PresetName", PRESETS)
WeightsName = _choice("WeightsName", ("student", "teacher", "mean"))
MethodName, SizeName = _settings_choice("method"), _settings_choice("size")
SchemeName, SiteName = _settings_choice("mask_scheme"), _settings_choice("mask_site")
DeviceName = _settings_choice("device")
FormatName = _choice("FormatName", ENDINGS)
HausdorffName = _choice("HausdorffName", HAUSDORFF_WORDS)
SurfaceDiceName = _choice("SurfaceDiceName", SURFACE_DICE_WORDS)


def changed_settings(given: Mapping[str, object]) -> dict[str, dict[str, Any]]:
    """Return the settings that options of ``train`` change, by section.

    Options that are no single setting, and those left out (``None``), change none.
    """
    changes: dict[str, dict[str, Any]] = {}
    for option, (section, name) in SETTING_OPTIONS.items():
        value = given.get(option)
        if value is not None:
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
        if name not in ("resume", "processes") and value not in (None, (), [])
    ]
    if ignored:
        raise SettingsError(
            f"--resume goes on with a run as it was begun, and ignores {', '.join(ignored)}. "
            "Leave that out, or train anew with --out."
        )


def _setting(option: str, more: str = "", **attributes: Any) -> Any:
    """Return an option with its setting's own words, default and unit for ``--help``."""
    section, name = SETTING_OPTIONS[option]
    field = section_model(section).model_fields[name]
    extra = field.json_schema_extra
    unit = f" {extra['unit']}" if isinstance(extra, dict) and extra.get("unit") else ""
    default = "" if field.default is None else f" Default: {_plain(field.default)}{unit}."
    return typer.Option(help=f"{field.description}{more}{default}", **attributes)


def _plain(value: object) -> str:
    return " ".join(str(part) for part in value) if isinstance(value, tuple) else str(value)


def _defined(metric: str, words: Mapping[Any, str]) -> str:
    return f"{metric} is " + "; ".join(f"{name}: {text}" for name, text in words.items()) + "."


def _scans(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel="Scans")


# train: ``None`` is an option that was left out.
Images = Annotated[
    Path | None,
    _scans("Folder of scans (NIfTI, NRRD, MetaImage, or a folder of DICOM slices each)."),
]
Labels = Annotated[Path | None, _scans("Folder of their labels, of the same names.")]
Dataset = Annotated[
    Path | None,
    _scans("A dataset.json in the Medical Segmentation Decathlon form, instead of folders."),
]
Channels = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,…",
        help="What the channels of a scan are, such as FLAIR,T1. Their files are called "
        "CASE_0000, CASE_0001 and so on, or CASE_FLAIR; or one file holds them all.",
        rich_help_panel="Scans",
    ),
]
Unlabelled = Annotated[
    Path | None,
    _scans(
        "Folder of scans that join without labels; those of them that have labels are left out, "
        "so it may be the folder of all scans."
    ),
]
Validation = Annotated[list[str] | None, _scans("Name of a scan to validate on; repeatable.")]
RunOut = Annotated[Path | None, typer.Option(help="Run folder to write.")]
Resume = Annotated[
    Path | None, typer.Option(help="Run folder to go on with; needs no other option.")
]
Config = Annotated[
    Path | None, typer.Option(help="YAML or JSON file with any settings (see run.yaml).")
]
Network = Annotated[
    str | None, _setting("network", f" There are: {', '.join(network_names())}.", metavar="NAME")
]
Size = Annotated[SizeName | None, _setting("size")]
Pretrained = Annotated[
    Path | None,
    _setting("pretrained", exists=True, dir_okay=False, resolve_path=True, metavar="FILE"),
]
Preset = Annotated[
    PresetName | None,
    typer.Option(
        help="What is learned and hidden, all at once; other options change single settings of it."
    ),
]
Method = Annotated[MethodName | None, _setting("method")]
MaskScheme = Annotated[SchemeName | None, _setting("mask_scheme")]
MaskSite = Annotated[SiteName | None, _setting("mask_site")]
Spacing = Annotated[tuple[float, float, float] | None, _setting("spacing", metavar="X Y Z")]
PatchSize = Annotated[tuple[int, int, int] | None, _setting("patch_size", metavar="X Y Z")]
Resample = Annotated[bool | None, _setting("resample", rich_help_panel="Scans")]
IgnoreLabel = Annotated[int | None, _setting("ignore_label", metavar="ID")]
RegionWords = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        metavar="NAME=ID,ID",
        help="Region to learn (or to score) in place of classes, by its name and its classes' "
        "ids, for example TC=1,4; repeatable, outermost first.",
    ),
]
RegionFile = Annotated[
    Path | None,
    typer.Option(
        "--regions",
        metavar="FILE",
        help="The same from a YAML or JSON file, or from the run.yaml of a run that learned them.",
    ),
]
Steps = Annotated[int | None, _setting("steps")]
Seed = Annotated[int | None, _setting("seed")]
Device = Annotated[DeviceName | None, _setting("device")]

# predict
Run = Annotated[Path, typer.Argument(help="Run folder of a training, or folder of a MONAI bundle.")]
NewScans = Annotated[list[Path], typer.Argument(help="Scans, or folders of scans.")]
LabelsOut = Annotated[Path, typer.Option(help="Folder to write the predicted labels to.")]
Weights = Annotated[
    WeightsName, typer.Option(help="Whose weights: student, teacher, or the mean of both.")
]
Probabilities = Annotated[
    bool, typer.Option("--probabilities", help="Write each class's probability too.")
]
LabelsFormat = Annotated[
    FormatName,
    typer.Option(
        "--format",
        help="How labels are written: nifti, or nrrd, which 3D Slicer opens as a segmentation with "
        "names and colours. Of OME-Zarr they are OME-Zarr.",
    ),
]
Largest = Annotated[
    bool,
    typer.Option(
        "--largest",
        help="Keep the largest piece of each class alone.",
        rich_help_panel="Cleaning up",
    ),
]
FillHoles = Annotated[
    bool,
    typer.Option(
        "--fill-holes",
        help="Fill background that one class encloses all round.",
        rich_help_panel="Cleaning up",
    ),
]
LeastVolume = Annotated[
    float,
    typer.Option(
        help="Remove pieces of a class that are smaller than this. Unit: ml.",
        min=0.0,
        rich_help_panel="Cleaning up",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results of the same names.")]

# evaluate
Predictions = Annotated[Path, typer.Option(help="Folder of predicted labels.")]
References = Annotated[Path, typer.Option(help="Folder of reference labels, of the same names.")]
UnknownLabel = Annotated[
    int | None,
    typer.Option(
        "--ignore-label",
        metavar="ID",
        min=1,
        help="Id in the references that means “unknown”: what lies there is not scored.",
    ),
]
ScoresOut = Annotated[
    Path,
    typer.Option(help="CSV file: one row a case and class. Scores that it holds are replaced."),
]
Classes = Annotated[
    str | None,
    typer.Option(
        help="Score these alone, for example 8 organs of 13: ids or names, separated by commas.",
        metavar="LIST",
    ),
]
HausdorffKind = Annotated[
    HausdorffName, typer.Option("--hd95", help=_defined("HD95", HAUSDORFF_WORDS))
]
SurfaceDiceKind = Annotated[
    SurfaceDiceName, typer.Option("--nsd", help=_defined("NSD", SURFACE_DICE_WORDS))
]
Tolerance = Annotated[
    float,
    typer.Option(
        help="How far apart surfaces may lie and still agree in the NSD, in mm.",
        min=0.0,
        metavar="MM",
    ),
]

# demo
DemoOut = Annotated[Path, typer.Option(help="Folder for pictures, the table and the run.")]
DemoSteps = Annotated[int, typer.Option(help="Training steps.", min=1)]
Unattended = Annotated[
    bool, typer.Option("--unattended", help="Press every button itself, and take pictures.")
]
