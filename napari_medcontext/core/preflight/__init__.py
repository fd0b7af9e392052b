"""What is wrong or odd with scans and labels, told before anything is trained on them."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace

from napari_medcontext.core.config import Case, Role, RunConfig
from napari_medcontext.core.events import Event, Preparing
from napari_medcontext.core.preflight.findings import Finding, Study
from napari_medcontext.core.preflight.label_rules import RULES as LABEL_RULES
from napari_medcontext.core.preflight.run_rules import RULES as RUN_RULES
from napari_medcontext.core.preflight.scan_rules import RULES as SCAN_RULES
from napari_medcontext.core.preflight.survey import Survey, Surveyed, survey_case, survey_scan
from napari_medcontext.core.volume import Volume

__all__ = ["Finding", "check_cases", "check_volumes"]


def check_cases(
    cases: Sequence[Case],
    config: RunConfig,
    class_names: Mapping[int, str],
    channels: Sequence[str] = (),
) -> Generator[Event, None, list[Finding]]:
    """Look at every scan once, then at all of them together.

    Parameters
    ----------
    cases
        The scans with their roles.
    config
        The settings of the training that they are meant for.
    class_names
        Class id to name, where a study names its classes.
    channels
        What the channels of a scan are, where there are several; the first is looked into.

    Yields
    ------
    Preparing
        Progress.

    Returns
    -------
    list of Finding
        What stops a training first.
    """
    used = [case for case in cases if case.role != "unused"]
    surveyed = []
    for done, case in enumerate(used):
        yield Preparing(f"Looking at {case.name}", done, len(used))
        surveyed.append(survey_case(case, config.data, channels))
    yield Preparing(f"Looked at {len(used)} scans", len(used), len(used))
    return _findings(surveyed, config, class_names)


def check_volumes(
    scans: Sequence[tuple[Role, Volume, Volume | None]], config: RunConfig
) -> list[Finding]:
    """Look at scans that are in memory, as ``check_cases`` does at files.

    The classes are those that the labels to train on name.

    Parameters
    ----------
    scans
        What each is used for, the scan, and its labels if it has any.
    config
        As for ``check_cases``.
    """
    names: dict[int, str] = {}
    for role, _, drawn in scans:
        if role == "training" and drawn is not None:
            names |= drawn.class_names
    surveyed = [
        survey_scan(image.name, role, image, drawn, config.data) for role, image, drawn in scans
    ]
    return _findings(surveyed, config, names)


def _learned(survey: Survey, config: RunConfig) -> Survey:
    """Leave out classes that count as background."""
    learned = config.data.classes
    kept = {k: facts for k, facts in survey.classes.items() if learned is None or k in learned}
    return replace(survey, classes=kept)


def _findings(
    surveyed: Sequence[Surveyed], config: RunConfig, class_names: Mapping[int, str]
) -> list[Finding]:
    found = [finding for _, findings in surveyed for finding in findings]
    surveys = [_learned(survey, config) for survey, _ in surveyed if survey is not None]
    study = Study(surveys, config, class_names)
    for rule in (*SCAN_RULES, *LABEL_RULES, *RUN_RULES):
        found += rule(study)
    return sorted(found, key=lambda finding: not finding.stops)
