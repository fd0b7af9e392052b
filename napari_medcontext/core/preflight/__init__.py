"""What is wrong or odd with scans and labels, told before anything is trained on them."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace

from napari_medcontext.core.config import Case, Role, RunConfig
from napari_medcontext.core.events import Event, Preparing
from napari_medcontext.core.preflight.findings import Finding, Study
from napari_medcontext.core.preflight.forecast import Forecast, forecast, scarce
from napari_medcontext.core.preflight.label_rules import RULES as LABEL_RULES
from napari_medcontext.core.preflight.run_rules import RULES as RUN_RULES
from napari_medcontext.core.preflight.scan_rules import RULES as SCAN_RULES
from napari_medcontext.core.preflight.survey import Survey, Surveyed, survey_case, survey_volume
from napari_medcontext.core.volume import Volume

__all__ = ["Checked", "Finding", "Forecast", "check_cases", "check_volumes", "with_forecast"]


@dataclass(frozen=True)
class Checked:
    """What a check found, what stops a training first; and what the training will take."""

    study: Study
    findings: Sequence[Finding]
    forecast: Forecast | None = None

    @property
    def stops(self) -> bool:
        """Whether a finding would stop a training."""
        return any(finding.stops for finding in self.findings)


def check_cases(
    cases: Sequence[Case],
    config: RunConfig,
    class_names: Mapping[int, str],
    channels: Sequence[str] = (),
) -> Generator[Event, None, Checked]:
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
    Checked
        Without a forecast; ``with_forecast`` adds it.
    """
    used = [case for case in cases if case.role != "unused"]
    surveyed = []
    for done, case in enumerate(used):
        yield Preparing(f"Looking at {case.name}", done, len(used))
        surveyed.append(survey_case(case, config.data, channels))
    yield Preparing(f"Looked at {len(used)} scans", len(used), len(used))
    return _checked(surveyed, config, class_names, channels)


def check_volumes(
    scans: Sequence[tuple[Role, Volume, Volume | None]],
    config: RunConfig,
    channels: Sequence[str] = (),
) -> Checked:
    """Look at volumes, as ``check_cases`` does at files; one that is left unread is held alone.

    The classes are those that the labels to train on name.

    Parameters
    ----------
    scans
        What each is used for, the scan, and its labels if it has any.
    config, channels
        As for ``check_cases``.
    """
    names: dict[int, str] = {}
    for role, _, drawn in scans:
        if role == "training" and drawn is not None:
            names |= drawn.class_names
    surveyed = [survey_volume(image, role, drawn, config.data) for role, image, drawn in scans]
    return _checked(surveyed, config, names, channels)


def with_forecast(checked: Checked) -> Checked:
    """Measure what the training will take, unless something stops it anyway.

    Takes some seconds: a process is started that does a few steps.
    """
    if checked.stops or not checked.study.training:
        return checked
    cost = forecast(checked.study)
    return replace(checked, findings=_sorted([*checked.findings, *scarce(cost)]), forecast=cost)


def _learned(survey: Survey, config: RunConfig) -> Survey:
    """Leave out classes that count as background."""
    learned = config.data.classes
    kept = {k: facts for k, facts in survey.classes.items() if learned is None or k in learned}
    return replace(survey, classes=kept)


def _checked(
    surveyed: Sequence[Surveyed],
    config: RunConfig,
    class_names: Mapping[int, str],
    channels: Sequence[str] = (),
) -> Checked:
    found = [finding for _, findings in surveyed for finding in findings]
    surveys = [_learned(survey, config) for survey, _ in surveyed if survey is not None]
    study = Study(surveys, config, class_names, channels)
    for rule in (*SCAN_RULES, *LABEL_RULES, *RUN_RULES):
        found += rule(study)
    return Checked(study, _sorted(found))


def _sorted(findings: Sequence[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: not finding.stops)
