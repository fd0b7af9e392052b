"""What is wrong or odd with scans and labels, told before anything is trained on them."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence

from napari_medcontext.core.config import Case, RunConfig
from napari_medcontext.core.events import Event, Preparing
from napari_medcontext.core.preflight.findings import Finding, Study
from napari_medcontext.core.preflight.rules import RULES
from napari_medcontext.core.preflight.survey import Survey, survey_case

__all__ = ["Finding", "check_cases"]


def check_cases(
    cases: Sequence[Case], config: RunConfig, class_names: Mapping[int, str]
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
    found: list[Finding] = []
    surveys: list[Survey] = []
    for done, case in enumerate(used):
        yield Preparing(f"Looking at {case.name}", done, len(used))
        survey, problems = survey_case(case, config)
        found += problems
        if survey is not None:
            surveys.append(survey)
    yield Preparing(f"Looked at {len(used)} scans", len(used), len(used))
    study = Study(surveys, config, class_names)
    for rule in RULES:
        found += rule(study)
    return sorted(found, key=lambda finding: not finding.stops)
