"""The same engine from a terminal: ``medcontext train``, ``predict``, ``evaluate``, ``demo``.

Exit codes: 0 done, 1 failed, 2 wrong use, 3 stopped before the end (go on with ``--resume``).
"""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from napari_medcontext import __version__
from napari_medcontext.core.config import Case, RunConfig, RunSpec, section_model
from napari_medcontext.core.errors import MedContextError, RunError, ScanError, SettingsError
from napari_medcontext.core.events import Event, RunFinished
from napari_medcontext.core.folder import WorkFolder
from napari_medcontext.core.networks import NETWORKS
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.settings import Settings, load_settings_file, validated
from napari_medcontext.progress import shown

EXIT_FAILED, EXIT_USAGE, EXIT_STOPPED = 1, 2, 3
app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Train a 3D segmentation network from a handful of annotated scans.",
)
console = Console(stderr=True)

NetworkName = Enum("NetworkName", {name: name for name in NETWORKS}, type=str)  # type: ignore[misc]


class Method(str, Enum):  # noqa: UP042 - typer shows the values of a str Enum
    """What a network learns from."""

    medcontext = "medcontext"
    supervised = "supervised"


class Size(str, Enum):  # noqa: UP042
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


def _title(model: type[Settings], name: str) -> str:
    """Return a setting's own words, with its default and unit, for ``--help``."""
    field = model.model_fields[name]
    extra = field.json_schema_extra
    unit = f" {extra['unit']}" if isinstance(extra, dict) and extra.get("unit") else ""
    default = "" if field.default is None else f" Default: {_plain(field.default)}{unit}."
    return f"{field.description}{default}"


def _plain(value: object) -> str:
    return " ".join(str(part) for part in value) if isinstance(value, tuple) else str(value)


def _help(section: str, name: str) -> str:
    return _title(section_model(section), name)


@app.command()
def train(  # each argument is one option of the command
    context: typer.Context,
    images: Annotated[
        Path | None, typer.Option(help="Folder of scans (.nii, .nii.gz).", rich_help_panel="Scans")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Folder of their labels, of the same names.", rich_help_panel="Scans"),
    ] = None,
    dataset: Annotated[
        Path | None,
        typer.Option(
            help="A dataset.json in the Medical Segmentation Decathlon form, instead of folders.",
            rich_help_panel="Scans",
        ),
    ] = None,
    validation: Annotated[
        list[str] | None,
        typer.Option(help="Name of a scan to validate on; repeatable.", rich_help_panel="Scans"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder to write.")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Run folder to go on with; needs no other option.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML or JSON file with any settings (see run.yaml).")
    ] = None,
    network: Annotated[NetworkName | None, typer.Option(help=_help("network", "name"))] = None,
    size: Annotated[Size | None, typer.Option(help=_help("network", "size"))] = None,
    method: Annotated[Method | None, typer.Option(help=_help("objective", "method"))] = None,
    spacing: Annotated[
        tuple[float, float, float] | None,
        typer.Option(help=_help("data", "spacing"), metavar="X Y Z"),
    ] = None,
    patch_size: Annotated[
        tuple[int, int, int] | None,
        typer.Option(help=_help("data", "patch_size"), metavar="X Y Z"),
    ] = None,
    steps: Annotated[int | None, typer.Option(help=_help("training", "steps"))] = None,
    seed: Annotated[int | None, typer.Option(help=_help("training", "seed"))] = None,
    device: Annotated[DeviceName | None, typer.Option(help=_help("device", "device"))] = None,
) -> None:
    """Train a network on scans and their labels, or go on with a run.

    Example: **medcontext train --images scans --labels organs --out runs/organs**
    """
    if resume is not None:
        _refuse_ignored(context.params)
        run = RunFolder(resume)
        run.spec()
    else:
        if out is None:
            raise SettingsError("Say where to write the run with --out FOLDER (or use --resume).")
        changes: dict[str, dict[str, Any]] = {
            "network": {"name": network and network.value, "size": size and size.value},
            "objective": {"method": method and method.value},
            "data": {"spacing": spacing, "patch_size": patch_size},
            "training": {"steps": steps, "seed": seed},
            "device": {"device": device and device.value},
        }
        given = {
            section: {name: value for name, value in values.items() if value is not None}
            for section, values in changes.items()
        }
        run_config = _settings(config).updated(given)
        cases, names = _cases(images, labels, dataset, validation or [])
        spec = RunSpec(config=run_config, cases=cases, class_names=names)
        run = RunFolder(out).create(spec)
    _finish(run)


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="Run folder of a training.")],
    images: Annotated[list[Path], typer.Argument(help="Scans, or folders of scans.")],
    out: Annotated[Path, typer.Option(help="Folder to write the predicted labels to.")],
    weights: Annotated[
        WeightsName, typer.Option(help="Whose weights: student, teacher, or the mean of both.")
    ] = WeightsName.student,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write each class's probability too.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results of the same names.")
    ] = False,
) -> None:
    """Predict labels for scans with a trained run; each result lies exactly on its scan."""
    from napari_medcontext.core.cases import refuse_duplicates
    from napari_medcontext.core.io import list_nifti, nifti_stem, require_writable
    from napari_medcontext.core.jobs import PredictFolder, PredictSpec, existing_results

    files = [file for path in images for file in (list_nifti(path) if path.is_dir() else [path])]
    if not files:
        raise ScanError(f"No .nii or .nii.gz file is in {', '.join(map(str, images))}.")
    cases = tuple(Case(name=nifti_stem(file), image=file.absolute()) for file in files)
    refuse_duplicates(cases)
    RunFolder(run).spec()
    require_writable(out)
    spec = PredictSpec(
        run=run.absolute(),
        scans=cases,
        out=out.absolute(),
        weights=weights.value,
        probabilities=probabilities,
    )
    existing = existing_results(spec)
    if existing and not overwrite:
        raise RunError(
            f"{', '.join(map(str, existing))} would be overwritten. Choose another folder with "
            "--out, or say --overwrite."
        )
    with tempfile.TemporaryDirectory(prefix="medcontext-predict-") as folder:
        _finish(PredictFolder(folder).create(spec))


@app.command()
def evaluate(
    predictions: Annotated[Path, typer.Option(help="Folder of predicted labels.")],
    labels: Annotated[Path, typer.Option(help="Folder of reference labels, of the same names.")],
    out: Annotated[Path, typer.Option(help="CSV file: one row a case and class.")],
) -> None:
    """Score predictions against reference labels: DSC, HD95 in mm, volumes in ml.

    Labels without a prediction are named, and make the exit code 1.
    """
    from rich.progress import track

    from napari_medcontext.core.evaluation import (
        evaluate_folders,
        summarise,
        unpredicted,
        write_scores,
    )
    from napari_medcontext.core.io import require_writable

    require_writable(out.absolute().parent)
    work = evaluate_folders(predictions, labels)
    scores = [score for case in track(work, "Comparing", console=console) for score in case]
    write_scores(out, scores)
    print(f"{summarise(scores).text}\n{out}")
    missing = unpredicted(predictions, labels)
    if missing:
        _warn(f"{predictions} has no prediction for {', '.join(missing)}; no score counts them.")
        raise typer.Exit(EXIT_FAILED)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for pictures, the table and the run.")] = Path(
        "demo-output"
    ),
    steps: Annotated[int, typer.Option(help="Training steps.", min=1)] = 150,
    unattended: Annotated[
        bool, typer.Option("--unattended", help="Press every button itself, and take pictures.")
    ] = False,
) -> None:
    """Open napari with the sample study ready to train; with no screen, do it all unattended."""
    from napari_medcontext.demo import run_demo

    raise typer.Exit(run_demo(out, steps, unattended=unattended))


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def _settings(file: Path | None) -> RunConfig:
    """Return the defaults with what a file changes: one of settings, or a run's own run.yaml."""
    # Nobody looks at previews in a terminal, so none are made unless a file asks for them.
    defaults = RunConfig().updated({"training": {"preview_every": 0.0}})
    if file is None:
        return defaults
    values = load_settings_file(file)
    values = values.get("config", values)
    validated(RunConfig, values, str(file))
    return defaults.updated(values)


def _refuse_ignored(params: Mapping[str, object]) -> None:
    """Refuse options that a resumed run, which has its settings and scans, would not heed."""
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


def _cases(
    images: Path | None, labels: Path | None, dataset: Path | None, validation: Sequence[str]
) -> tuple[tuple[Case, ...], dict[int, str]]:
    from napari_medcontext.core.cases import decathlon_cases, paired_cases, refuse_duplicates

    if dataset is not None and (images is not None or labels is not None):
        raise SettingsError("Name the scans once: by --dataset, or by --images and --labels.")
    if dataset is not None:
        cases, names = decathlon_cases(dataset)
    elif images is not None and labels is not None:
        cases, names = paired_cases(images, labels), {}
    else:
        raise SettingsError("Name the scans: --images DIR --labels DIR, or --dataset dataset.json.")
    refuse_duplicates(cases)
    unknown = sorted(set(validation) - {case.name for case in cases})
    if unknown:
        raise ScanError(
            f"There is no scan {', '.join(unknown)} to validate on; there are "
            f"{', '.join(case.name for case in cases)}."
        )
    return (
        tuple(
            case.model_copy(update={"role": "validation"}) if case.name in validation else case
            for case in cases
        ),
        names,
    )


def _finish(folder: WorkFolder) -> None:
    """Do the folder's work, showing it; Ctrl-C stops after the current step and saves."""
    folder.require_idle()
    folder.send("run")
    asked: list[int] = []

    def stop(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        folder.send("stop")
        console.print("Stopping after this step; press Ctrl-C again to drop everything since.")

    before = signal.signal(signal.SIGINT, stop)
    try:
        last = shown(_events(folder), console)
    finally:
        signal.signal(signal.SIGINT, before)
    print(folder.path if isinstance(folder, RunFolder) else last.message)
    if last.reason != "completed":
        raise typer.Exit(EXIT_FAILED if last.reason == "failed" else EXIT_STOPPED)


def _warn(message: str) -> None:
    # Paths may hold brackets, and must come whole to whoever copies or searches them.
    console.print(f"[yellow]Warning:[/] {escape(message)}", highlight=False, soft_wrap=True)


def _events(folder: WorkFolder) -> Iterator[Event | RunFinished]:
    from napari_medcontext.core.jobs import execute

    return execute(folder.path)


def main() -> None:
    """Run the command line; errors that a user can mend come as one message, no traceback."""
    try:
        app()
    except MedContextError as error:
        # Paths may hold brackets, and must come whole to whoever copies or searches them.
        text = f"[bold red]{type(error).__name__}:[/] {escape(str(error))}"
        console.print(text, highlight=False, soft_wrap=True)
        sys.exit(EXIT_USAGE)


if __name__ == "__main__":
    main()
