"""Commands that ask what helps, and why: comparisons, the context probe, patches and their size."""

from __future__ import annotations

import typer

from napari_medcontext import cli_data_preset as data_sets
from napari_medcontext import cli_options as options
from napari_medcontext import cli_patch_study as patch_study
from napari_medcontext import cli_plan as planning
from napari_medcontext import cli_probe as probing
from napari_medcontext import cli_study as study
from napari_medcontext.cli_app import console, finish


def compare_methods(  # each argument is one option of the command
    context: typer.Context,
    out: study.Out,
    dataset: study.DatasetFile = None,
    images: options.Images = None,
    labels: options.Labels = None,
    unlabelled: options.Unlabelled = None,
    channels: options.Channels = None,
    data_preset: data_sets.DataPresetName = None,
    test: study.Test = None,
    leave_one_out: study.LeaveOneOut = False,
    networks: study.Networks = "unet",
    methods: study.Methods = None,
    arm: study.ArmWords = None,
    ablation: study.Ablation = None,
    baseline: study.Baseline = None,
    seeds: study.Seeds = "0,1,2",
    set: study.Set = None,
    checkpoints: study.Checkpoints = 8,
    budget_seconds: study.Budgets = None,
    config: options.Config = None,
    size: options.Size = None,
    pretrained: options.Pretrained = None,
    region: options.RegionWords = None,
    regions: options.RegionFile = None,
    ignore_label: options.IgnoreLabel = None,
    resample: options.Resample = None,
    spacing: options.Spacing = None,
    patch_size: options.PatchSize = None,
    steps: options.Steps = None,
    device: options.Device = None,
) -> None:
    """Compare ways to train on the same scans, seeds and batches: tables, curves and verdicts.

    Example: **medcontext compare-methods dataset.json --networks unet,unetr --out study**
    """
    from napari_medcontext.core.study.plan import StudyFolder

    finish(StudyFolder(out).create(study.planned(context.params, console)))


def probe(  # each argument is one option of the command
    context: typer.Context,
    runs: probing.Runs,
    out: probing.Out,
    images: probing.Images = None,
    labels: probing.Labels = None,
    dataset: probing.Dataset = None,
    organs: probing.Organs = None,
    draws: probing.Draws = 3,
    seed: probing.Seed = 0,
) -> None:
    """Hide each organ entirely, and measure how much of it runs know from its surroundings.

    Example: **medcontext probe runs/a runs/b --images scans --labels organs --out probed**
    """
    from napari_medcontext.core.probe import ProbeFolder

    finish(ProbeFolder(out).create(probing.planned(context.params)))


def plan_patches(
    context: typer.Context,
    images: options.Images = None,
    labels: options.Labels = None,
    dataset: options.Dataset = None,
    channels: options.Channels = None,
    out: planning.Out = None,
    sizes: planning.Sizes = "",
    draws: planning.Draws = 200,
    probe: planning.Probe = True,
    most_seconds: planning.MostSeconds = 5.0,
    config: options.Config = None,
    preset: options.Preset = None,
    network: options.Network = None,
    size: options.Size = None,
    spacing: options.Spacing = None,
    ignore_label: options.IgnoreLabel = None,
    device: options.Device = None,
) -> None:
    """Tell what patches of each size would see of the labels and cost a step, and recommend one.

    Example: **medcontext plan-patches --images scans --labels organs --out patches**
    """
    from napari_medcontext.core.patch_plan import PlanFolder

    changes = options.changed_settings(context.params)
    spec = planning.planned(context.params, changes)
    with planning.results_in(out) as path:
        folder = PlanFolder(path).create(spec)
        finish(folder)
        planning.show(folder.plan(), console)


def study_patch_size(  # each argument is one option of the command
    context: typer.Context,
    out: study.Out,
    dataset: patch_study.DatasetFile = None,
    images: options.Images = None,
    labels: options.Labels = None,
    test: study.Test = None,
    leave_one_out: study.LeaveOneOut = False,
    volumes: patch_study.Volumes = 12,
    side: patch_study.Side = 64,
    networks: study.Networks = "unet,attention_unet,unetr",
    patch_sizes: patch_study.PatchSizes = "32,48,64",
    foreground_size: patch_study.ForegroundSize = None,
    seeds: study.Seeds = "0,1,2",
    set: study.Set = None,
    checkpoints: study.Checkpoints = 1,
    config: options.Config = None,
    size: options.Size = None,
    ignore_label: options.IgnoreLabel = None,
    spacing: options.Spacing = None,
    steps: options.Steps = None,
    device: options.Device = None,
) -> None:
    """Train networks with patches of several sizes, and with small, large or diverse foreground.

    On generated volumes where no scans are named. Dice and Hausdorff distance are set against each
    test scan's share of foreground. The same command again does what is missing.

    Example: **medcontext study-patch-size --networks unet,unetr --seeds 0,1 --out study**
    """
    from napari_medcontext.core.study.plan import StudyFolder

    finish(StudyFolder(out).create(patch_study.planned(context.params, console)))
