"""The options of ``medcontext compare-methods``, and the plan that they make."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from napari_medcontext import cli_data_preset as data_sets
from napari_medcontext import cli_inputs as inputs
from napari_medcontext import cli_options as options
from napari_medcontext.core.config import Case, RunConfig
from napari_medcontext.core.data_presets import DataPreset
from napari_medcontext.core.errors import ScanError, SettingsError
from napari_medcontext.core.presets import PRESETS
from napari_medcontext.core.settings import validated
from napari_medcontext.core.study.ablations import ABLATIONS, AblationBasis, ablation
from napari_medcontext.core.study.arms import (
    BASELINE,
    Arm,
    arms_of,
    parse_arm,
    parse_changes,
    with_common,
)
from napari_medcontext.core.study.plan import StudySpec

METHODS = f"{BASELINE},default"
ArmsFor = Callable[[RunConfig, Sequence[Case]], Sequence[Arm]]


def _listed(text: str, **attributes: Any) -> Any:
    return typer.Option(help=f"{text} Several: separated by commas.", **attributes)


def _what(text: str, **attributes: Any) -> Any:
    return typer.Option(help=text, rich_help_panel="What is compared", **attributes)


DatasetFile = Annotated[
    Path | None,
    typer.Argument(
        help="A dataset.json in the Medical Segmentation Decathlon form; scans are scored that it "
        "lists as “test” with labels (or whose labels are in labelsTs)."
    ),
]
Test = Annotated[
    list[str] | None,
    typer.Option(
        help="Name of a scan to score and not to train on; repeatable.", rich_help_panel="Scans"
    ),
]
LeaveOneOut = Annotated[
    bool,
    typer.Option(
        "--leave-one-out",
        help="Leave out each training scan in turn and score on it, where scans are few.",
        rich_help_panel="Scans",
    ),
]
Out = Annotated[
    Path, typer.Option(help="Folder of the study; the same command again does what is missing.")
]
Networks = Annotated[str, _listed("Networks to train.", rich_help_panel="What is compared")]
Methods = Annotated[
    str | None,
    _listed(
        f"Presets to compare, of {', '.join(PRESETS)}; with --ablation, the one that it varies. "
        f"Default: {METHODS}.",
        rich_help_panel="What is compared",
    ),
]
ArmWords = Annotated[
    list[str] | None,
    _what(
        "A further method: a preset with changed settings; repeatable. Its arm.scans, "
        "arm.weights and arm.unlabelled say what it trains on and who is scored.",
        metavar="NAME:PRESET:SECTION.SETTING=VALUE;…",
    ),
]
Ablation = Annotated[
    str | None, _what(f"A published ablation, as methods: {', '.join(ABLATIONS)}.", metavar="NAME")
]
Baseline = Annotated[
    str | None,
    _what(f"Method that others are compared with. Default: {BASELINE}, else the first."),
]
Seeds = Annotated[str, _listed("Seeds.", rich_help_panel="What is compared")]
Set = Annotated[
    list[str] | None,
    _what("Setting that all methods share; repeatable.", metavar="SECTION.SETTING=VALUE"),
]
Checkpoints = Annotated[
    int, typer.Option(help="How often the student is scored, evenly over the steps.", min=1)
]
Budgets = Annotated[
    str | None,
    _listed("Training times in seconds at which methods are compared. Default: four."),
]


def planned(
    given: Mapping[str, Any], console: Console, arms_for: ArmsFor | None = None
) -> StudySpec:
    """Return the plan of a study from the options of ``compare-methods``.

    Parameters
    ----------
    given
        The options by name.
    arms_for
        What is compared, from the settings and the scans to train on, where no option says it.

    Raises
    ------
    SettingsError, ScanError
        If options contradict each other, or there is nothing to score on.
    """
    networks = _words(given["networks"])
    preset = data_sets.chosen(given["data_preset"])
    config = _config(given, networks, preset)
    scans = inputs.training_scans(
        given,
        config.data.ignore_label,
        unlabelled=False,
        presumed=data_sets.channels(preset),
    )
    training = tuple(case for case in scans.cases if case.labels is not None)
    arms = () if arms_for else _arms(given, len(training))
    training, test = _split(training, given, preset, console)
    if arms_for is not None:
        arms = with_common(arms_for(config, training), parse_changes(given["set"] or ()))
    joins = any(arm.unlabelled for arm in arms)
    values = {
        "config": config,
        "networks": networks,
        "arms": arms,
        "seeds": _words(given["seeds"]),
        "training": training,
        "test": test,
        "unlabelled": _unlabelled(given, scans.channels) if joins else (),
        "class_names": data_sets.class_names(scans.class_names, preset),
        "channels": scans.channels,
        "regions": data_sets.region_table(
            inputs.region_table(given["region"], given["regions"]), preset
        ),
        "checkpoints": given["checkpoints"],
        "budgets": _words(given["budget_seconds"]),
        "baseline": given["baseline"],
        "command": shlex.join(["medcontext", *sys.argv[1:]]),
    }
    return validated(StudySpec, values, "the comparison")


def _config(
    given: Mapping[str, Any], networks: Sequence[str], preset: DataPreset | None
) -> RunConfig:
    """Return what all methods share; what a method is, its preset says."""
    single = {**given, "network": next(iter(networks), None)}
    if given["ablation"] == "starting-point":
        # There it is what some arms start from, not all.
        single["pretrained"] = None
    config = inputs.settings(given["config"], None, options.changed_settings(single), preset)
    defaults = RunConfig()
    if (config.objective, config.masking) != (defaults.objective, defaults.masking):
        raise SettingsError(
            f"{given['config']} changes the objective or the masking, which each method's preset "
            "says in full. Change them for all methods with --set, or for one with --arm."
        )
    return config


def _arms(given: Mapping[str, Any], scans: int) -> tuple[Arm, ...]:
    methods = _words(given["methods"])
    own = tuple(parse_arm(text) for text in given["arm"] or ())
    if given["ablation"] is None:
        arms = arms_of(methods or (() if own else _words(METHODS)))
    elif len(methods) > 1:
        raise SettingsError("An ablation varies one method: name one with --methods, or none.")
    else:
        basis = AblationBasis(next(iter(methods), "default"), scans, given["pretrained"])
        arms = ablation(given["ablation"], basis)
    return with_common((*arms, *own), parse_changes(given["set"] or ()))


def _split(
    cases: tuple[Case, ...],
    given: Mapping[str, Any],
    preset: DataPreset | None,
    console: Console,
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Return the scans to train on and those to score; none of these where one is left out."""
    from napari_medcontext.core.cases import decathlon_part

    wanted = set(given["test"] or ())
    if given["leave_one_out"]:
        if wanted:
            raise SettingsError("Say either --test or --leave-one-out.")
        return cases, ()
    unknown = sorted(wanted - {case.name for case in cases})
    if unknown:
        there = ", ".join(case.name for case in cases)
        raise ScanError(f"There is no scan {', '.join(unknown)} to score; there are {there}.")
    if wanted:
        kept = tuple(case for case in cases if case.name not in wanted)
        return kept, tuple(case for case in cases if case.name in wanted)
    published = data_sets.split_of(cases, preset, console)
    if published is not None:
        cases, listed = published.training, published.test
    else:
        listed = decathlon_part(given["dataset"], "test") if given["dataset"] else ()
    test = tuple(case for case in listed if case.labels is not None)
    if not test:
        raise ScanError(
            "There is no scan to score: none is listed as “test” with labels. Name some with "
            "--test, or leave out each in turn with --leave-one-out."
        )
    return cases, test


def _unlabelled(given: Mapping[str, Any], channels: Sequence[str]) -> tuple[Case, ...]:
    from napari_medcontext.core.cases import decathlon_part, with_unlabelled

    cases = decathlon_part(given["dataset"], "unlabeled") if given["dataset"] else ()
    return with_unlabelled(cases, given["unlabelled"], channels)


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())
