"""The arms of a study: what is trained beside what, by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.presets import find_preset, with_preset
from napari_medcontext.core.settings import Settings, validated

Which = Literal["student", "teacher", "mean"]
Changes = dict[str, dict[str, Any]]
BASELINE = "supervised"


class Arm(Settings):
    """One way to train: a preset, and the settings in which it differs from that."""

    name: Annotated[str, Field(min_length=1)]
    preset: str = "default"
    changes: Changes = Field(
        default_factory=dict, description="Section to changed settings, applied after the preset."
    )
    weights: Annotated[tuple[Which, ...], Field(min_length=1)] = Field(
        default=("student",), description="Whose predictions are scored."
    )
    scans: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Train on the first so many scans only. Empty: on all."
    )
    only: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        default=None, description="Train on the scans of these names only. Empty: on all."
    )
    unlabelled: bool = Field(default=False, description="Let the scans without labels join.")
    against: str | None = Field(
        default=None,
        description="The arm that this one is compared with. Empty: the study's baseline.",
    )

    def config(self, base: RunConfig, network: str, seed: int) -> RunConfig:
        """Return the settings of one training of this arm."""
        named = base.updated({"network": {"name": network}, "training": {"seed": seed}})
        # A study has no one to look at previews, and they take time.
        changed = with_preset(named, self.preset).updated(self.changes)
        return changed.updated({"training": {"preview_every": 0.0}})


def arms_of(methods: Iterable[str], common: Changes | None = None) -> tuple[Arm, ...]:
    """Return an arm for each preset, all with the same further changes.

    Raises
    ------
    SettingsError
        For a preset that is not there.
    """
    arms = tuple(Arm(name=method, preset=method) for method in methods)
    for arm in arms:
        find_preset(arm.preset)
    return with_common(arms, common or {})


def with_common(arms: Iterable[Arm], common: Changes) -> tuple[Arm, ...]:
    """Return arms with further changes, where they make none of their own."""
    return tuple(arm.model_copy(update={"changes": merged(common, arm.changes)}) for arm in arms)


def merged(first: Changes, second: Changes) -> Changes:
    """Return both changes; where they disagree, the second's."""
    return {
        section: {**first.get(section, {}), **second.get(section, {})}
        for section in {**first, **second}
    }


def parse_changes(texts: Iterable[str]) -> Changes:
    """Read ``section.name=value`` (a YAML value) into changes.

    Raises
    ------
    SettingsError
        For a text of another form.
    """
    changes: Changes = {}
    for text in texts:
        path, equals, value = text.partition("=")
        section, dot, name = path.strip().partition(".")
        if not (equals and dot and section and name):
            raise SettingsError(
                f"“{text}” does not change a setting. Write it as section.name=value, for "
                "example training.batch_size=4."
            )
        try:
            changes.setdefault(section, {})[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise SettingsError(f"The value in “{text}” cannot be read: {error}") from error
    return changes


def parse_arm(text: str) -> Arm:
    """Read an arm from ``NAME:PRESET`` or ``NAME:PRESET:section.name=value;…``.

    The section ``arm`` stands for the arm's own fields: ``arm.scans=3`` for example.

    Raises
    ------
    SettingsError
        For a text of another form, or a preset that is not there.
    """
    name, _, rest = text.partition(":")
    preset, _, settings = rest.partition(":")
    if not (name.strip() and preset.strip()):
        raise SettingsError(
            f"“{text}” is no arm. Write it as NAME:PRESET or NAME:PRESET:section.name=value;…, for "
            "example “late:default:objective.masked_start=0.3”."
        )
    find_preset(preset.strip())
    changes = parse_changes(filter(None, settings.split(";")))
    own = changes.pop("arm", {})
    values = {**own, "name": name.strip(), "preset": preset.strip(), "changes": changes}
    return validated(Arm, values, f"the arm “{text}”")
