"""The same engine from a terminal: ``medcontext train``, ``predict``, ``evaluate``, ``demo``.

Exit codes: 0 done, 1 failed, 2 wrong use, 3 stopped before the end (go on with ``--resume``).
"""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from napari_medcontext import __version__
from napari_medcontext import cli_options as options
from napari_medcontext.core.config import Case, RunConfig, RunSpec
from napari_medcontext.core.errors import MedContextError, RunError, ScanError, SettingsError
from napari_medcontext.core.events import Event, RunFinished
from napari_medcontext.core.folder import WorkFolder
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.settings import load_settings_file, validated
from napari_medcontext.progress import say, shown

if TYPE_CHECKING:
    from napari_medcontext.core.jobs import PredictSpec

EXIT_FAILED, EXIT_USAGE, EXIT_STOPPED = 1, 2, 3
app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Train a 3D segmentation network from a handful of annotated scans.",
)
console = Console(stderr=True)


@app.command()
def train(  # each argument is one option of the command
    context: typer.Context,
    images: options.Images = None,
    labels: options.Labels = None,
    dataset: options.Dataset = None,
    validation: options.Validation = None,
    out: options.RunOut = None,
    resume: options.Resume = None,
    config: options.Config = None,
    network: options.Network = None,
    size: options.Size = None,
    method: options.Method = None,
    spacing: options.Spacing = None,
    patch_size: options.PatchSize = None,
    steps: options.Steps = None,
    seed: options.Seed = None,
    device: options.Device = None,
) -> None:
    """Train a network on scans and their labels, or go on with a run.

    Example: **medcontext train --images scans --labels organs --out runs/organs**
    """
    if resume is not None:
        _finish(_run_to_resume(resume, context.params))
        return
    if out is None:
        raise SettingsError("Say where to write the run with --out FOLDER (or use --resume).")
    changes = options.changed_settings(
        network=network,
        size=size,
        method=method,
        spacing=spacing,
        patch_size=patch_size,
        steps=steps,
        seed=seed,
        device=device,
    )
    run_config = _settings(config).updated(changes)
    cases, names = _labelled_cases(images, labels, dataset)
    cases = _with_validation(cases, validation or [])
    spec = RunSpec(config=run_config, cases=cases, class_names=names)
    _finish(RunFolder(out).create(spec))


@app.command()
def predict(
    run: options.Run,
    images: options.NewScans,
    out: options.LabelsOut,
    weights: options.Weights = options.WeightsName.student,
    probabilities: options.Probabilities = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Predict labels for scans with a trained run; each result lies exactly on its scan."""
    from napari_medcontext.core.io import require_writable
    from napari_medcontext.core.jobs import PredictFolder, PredictSpec

    cases = _scans_to_predict(images)
    RunFolder(run).spec()
    require_writable(out)
    spec = PredictSpec(
        run=run.absolute(),
        scans=cases,
        out=out.absolute(),
        weights=weights.value,
        probabilities=probabilities,
    )
    if not overwrite:
        _refuse_overwriting(spec)
    with tempfile.TemporaryDirectory(prefix="medcontext-predict-") as folder:
        _finish(PredictFolder(folder).create(spec))


@app.command()
def evaluate(
    predictions: options.Predictions,
    labels: options.References,
    out: options.ScoresOut,
) -> None:
    """Score predictions against reference labels: DSC, HD95 in mm, volumes in ml.

    Labels without a prediction are named, and make the exit code 1.
    """
    from rich.progress import track

    from napari_medcontext.core.evaluation import evaluate_folders, unpredicted
    from napari_medcontext.core.io import require_writable
    from napari_medcontext.core.scores import summarise, write_scores

    require_writable(out.absolute().parent)
    work = evaluate_folders(predictions, labels)
    scores = [score for case in track(work, "Comparing", console=console) for score in case]
    write_scores(out, scores)
    print(f"{summarise(scores).text}\n{out}")
    missing = unpredicted(predictions, labels)
    if missing:
        text = f"{predictions} has no prediction for {', '.join(missing)}; no score counts them."
        say(console, text, label="Warning", style="yellow")
        raise typer.Exit(EXIT_FAILED)


@app.command()
def demo(
    out: options.DemoOut = Path("demo-output"),
    steps: options.DemoSteps = 150,
    unattended: options.Unattended = False,
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


def _run_to_resume(path: Path, params: Mapping[str, object]) -> RunFolder:
    """Return the run to go on with, if it is one and no other option was given."""
    options.refuse_ignored(params)
    run = RunFolder(path)
    run.spec()
    return run


def _labelled_cases(
    images: Path | None, labels: Path | None, dataset: Path | None
) -> tuple[tuple[Case, ...], dict[int, str]]:
    """Return the scans to train on, from wherever they were named, and their classes' names."""
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
    return cases, names


def _with_validation(cases: tuple[Case, ...], validation: Sequence[str]) -> tuple[Case, ...]:
    """Return the scans, those with one of these names for validation."""
    unknown = sorted(set(validation) - {case.name for case in cases})
    if unknown:
        raise ScanError(
            f"There is no scan {', '.join(unknown)} to validate on; there are "
            f"{', '.join(case.name for case in cases)}."
        )
    return tuple(
        case.model_copy(update={"role": "validation"}) if case.name in validation else case
        for case in cases
    )


def _scans_to_predict(paths: Sequence[Path]) -> tuple[Case, ...]:
    """Return a case for each file, and for each file of each folder."""
    from napari_medcontext.core.cases import refuse_duplicates
    from napari_medcontext.core.io import list_nifti, nifti_stem

    files = [file for path in paths for file in (list_nifti(path) if path.is_dir() else [path])]
    if not files:
        raise ScanError(f"No .nii or .nii.gz file is in {', '.join(map(str, paths))}.")
    cases = tuple(Case(name=nifti_stem(file), image=file.absolute()) for file in files)
    refuse_duplicates(cases)
    return cases


def _refuse_overwriting(spec: PredictSpec) -> None:
    from napari_medcontext.core.jobs import existing_results

    existing = existing_results(spec)
    if existing:
        raise RunError(
            f"{', '.join(map(str, existing))} would be overwritten. Choose another folder with "
            "--out, or say --overwrite."
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


def _events(folder: WorkFolder) -> Iterator[Event | RunFinished]:
    from napari_medcontext.core.jobs import execute

    return execute(folder.path)


def main() -> None:
    """Run the command line; errors that a user can mend come as one message, no traceback."""
    try:
        app()
    except MedContextError as error:
        say(console, str(error), label=type(error).__name__, style="bold red")
        sys.exit(EXIT_USAGE)


if __name__ == "__main__":
    main()
