"""The same engine from a terminal: ``medcontext train``, ``predict``, ``evaluate``, ``demo``.

Exit codes: 0 done, 1 failed, 2 wrong use, 3 stopped before the end (go on with ``--resume``).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import typer

from napari_medcontext import __version__
from napari_medcontext import cli_check as checking
from napari_medcontext import cli_cohort as cohort
from napari_medcontext import cli_data_preset as data_sets
from napari_medcontext import cli_evaluate as evaluating
from napari_medcontext import cli_export as exporting
from napari_medcontext import cli_fetch as fetching
from napari_medcontext import cli_inputs as inputs
from napari_medcontext import cli_options as options
from napari_medcontext import cli_parallel as parallel
from napari_medcontext import cli_predict as predicting
from napari_medcontext import cli_studies as studies
from napari_medcontext.cli_app import EXIT_FAILED, EXIT_STOPPED, EXIT_USAGE, app, console, finish
from napari_medcontext.core.config import RunSpec
from napari_medcontext.core.definitions import TOLERANCE_MM
from napari_medcontext.core.errors import MedContextError, SettingsError
from napari_medcontext.core.parallel import found_placement
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.settings import validated
from napari_medcontext.progress import say


@app.command()
def train(  # each argument is one option of the command
    context: typer.Context,
    images: options.Images = None,
    labels: options.Labels = None,
    unlabelled: options.Unlabelled = None,
    dataset: options.Dataset = None,
    channels: options.Channels = None,
    data_preset: data_sets.DataPresetName = None,
    validation: options.Validation = None,
    out: options.RunOut = None,
    resume: options.Resume = None,
    config: options.Config = None,
    preset: options.Preset = None,
    network: options.Network = None,
    size: options.Size = None,
    pretrained: options.Pretrained = None,
    method: options.Method = None,
    mask_scheme: options.MaskScheme = None,
    mask_site: options.MaskSite = None,
    region: options.RegionWords = None,
    regions: options.RegionFile = None,
    ignore_label: options.IgnoreLabel = None,
    resample: options.Resample = None,
    spacing: options.Spacing = None,
    patch_size: options.PatchSize = None,
    steps: options.Steps = None,
    seed: options.Seed = None,
    device: options.Device = None,
    processes: parallel.Processes = None,
) -> None:
    """Train a network on scans and their labels, or go on with a run.

    Example: **medcontext train --images scans --labels organs --out runs/organs**
    """
    placement = found_placement(processes)
    folder = resume or out
    if folder is None:
        raise SettingsError("Say where to write the run with --out FOLDER (or use --resume).")
    if parallel.follows(placement, RunFolder(folder)):
        return
    if resume is not None:
        run = _run_to_resume(resume, context.params)
        parallel.require_able(run.spec().config, placement)
        finish(run, placement)
        return
    changes = options.changed_settings(context.params)
    known = data_sets.chosen(data_preset)
    run_config = inputs.settings(config, preset and preset.value, changes, known)
    parallel.require_able(run_config, placement)
    scans = inputs.training_scans(
        context.params, run_config.data.ignore_label, presumed=data_sets.channels(known)
    )
    cases = data_sets.with_split(scans.cases, known, console)
    cases = inputs.with_roles(cases, validation or [], run_config.objective)
    table = inputs.region_table(region, regions or inputs.regions_beside(config, region))
    values = {
        "config": run_config,
        "cases": cases,
        "class_names": data_sets.class_names(scans.class_names, known),
        "channels": scans.channels,
        "regions": data_sets.region_table(table, known),
    }
    finish(RunFolder(folder).create(validated(RunSpec, values, "the run")), placement)


@app.command()
def check(
    context: typer.Context,
    images: options.Images = None,
    labels: options.Labels = None,
    unlabelled: options.Unlabelled = None,
    dataset: options.Dataset = None,
    channels: options.Channels = None,
    data_preset: data_sets.DataPresetName = None,
    validation: options.Validation = None,
    config: options.Config = None,
    preset: options.Preset = None,
    network: options.Network = None,
    size: options.Size = None,
    method: options.Method = None,
    spacing: options.Spacing = None,
    patch_size: options.PatchSize = None,
    steps: options.Steps = None,
    device: options.Device = None,
    ignore_label: options.IgnoreLabel = None,
    resample: options.Resample = None,
    probe: checking.Probe = True,
) -> None:
    """Tell what is wrong or odd with scans and labels, and what training on them will take.

    Exit code 1 where a finding would stop a training. The settings are those of **train**.
    """
    changes = options.changed_settings(context.params)
    if checking.finds_what_stops(context.params, changes, console):
        raise typer.Exit(EXIT_FAILED)


@app.command()
def predict(  # each argument is one option of the command
    context: typer.Context,
    run: options.Run,
    images: options.NewScans,
    out: options.LabelsOut,
    weights: options.Weights = options.WeightsName.student,
    probabilities: options.Probabilities = False,
    labels_format: options.LabelsFormat = options.FormatName.nifti,
    largest: options.Largest = False,
    fill_holes: options.FillHoles = False,
    least_volume: options.LeastVolume = 0.0,
    overwrite: options.Overwrite = False,
    workers: cohort.Workers = 0,
    scheduler: cohort.Scheduler = "",
) -> None:
    """Predict labels for scans with a trained run; each result lies exactly on its scan.

    Goes on after a scan that cannot be read, and names it at the end, with exit code 1. Called
    again, it skips what is done: results that the same weights made of the same files.
    """
    from napari_medcontext.core.prediction_plan import PredictFolder

    spec = predicting.planned(context.params, console)
    if spec is None:
        return
    with tempfile.TemporaryDirectory(prefix="medcontext-predict-") as folder:
        finish(PredictFolder(folder).create(spec))


@app.command()
def evaluate(
    context: typer.Context,
    predictions: options.Predictions,
    labels: options.References,
    out: options.ScoresOut,
    classes: options.Classes = None,
    hd95: options.HausdorffKind = options.HausdorffName.directed,
    nsd: options.SurfaceDiceKind = options.SurfaceDiceName.voxels,
    nsd_tolerance: options.Tolerance = TOLERANCE_MM,
    region: options.RegionWords = None,
    regions: options.RegionFile = None,
    ignore_label: options.UnknownLabel = None,
    workers: cohort.Workers = 0,
    scheduler: cohort.Scheduler = "",
) -> None:
    """Score predictions against reference labels: DSC, NSD, HD95 and ASSD in mm, volumes in ml.

    With regions, references hold their own class ids, and predictions what a run that learned
    the same regions wrote. Labels without a prediction, and pairs that cannot be compared, are
    named and make the exit code 1; the table has all others.
    """
    if not evaluating.scored_all(context.params, console):
        raise typer.Exit(EXIT_FAILED)


app.command("compare-methods")(studies.compare_methods)
app.command()(studies.probe)
app.command("plan-patches")(studies.plan_patches)
app.command("study-patch-size")(studies.study_patch_size)


@app.command()
def export(
    run: exporting.Run,
    to: exporting.To,
    out: exporting.Out,
    weights: exporting.Weights = exporting.OneNetwork.student,
) -> None:
    """Write a trained run in a form that other programs open, and check that it answers the same.

    Example: **medcontext export runs/organs --to bundle --out organs-bundle**
    """
    from napari_medcontext.core.export import export_run

    print(export_run(RunFolder(run), to.value, out.absolute(), weights.value).text)


@app.command()
def fetch(
    context: typer.Context,
    name: fetching.Name = None,
    out: fetching.Out = None,
    mirror: fetching.Mirror = None,
) -> None:
    """Download a public data set: checked, unpacked, and gone on with where it was cut.

    Prints the path of its dataset.json. Example: **medcontext fetch spleen**
    """
    if name is None:
        print(fetching.listing())
        return
    found = fetching.fetched(context.params, console)
    if found is None:
        raise typer.Exit(EXIT_STOPPED)
    print(found)


@app.command()
def demo(
    out: options.DemoOut = Path("demo-output"),
    steps: options.DemoSteps = 300,
    unattended: options.Unattended = False,
) -> None:
    """Open napari with the sample study ready to train; with no screen, do it all unattended."""
    from napari_medcontext.demo import run_demo

    raise typer.Exit(run_demo(out, steps, unattended=unattended))


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def _run_to_resume(path: Path, params: Mapping[str, object]) -> RunFolder:
    """Return the run to go on with, if it is one and no other option was given."""
    options.refuse_ignored(params)
    run = RunFolder(path)
    run.spec()
    return run


def main() -> None:
    """Run the command line; errors that a user can mend come as one message, no traceback."""
    try:
        app()
    except MedContextError as error:
        say(console, str(error), label=type(error).__name__, style="bold red")
        sys.exit(EXIT_USAGE)


if __name__ == "__main__":
    main()
