"""What every setting and every file of settings shares: words, bounds, checks, YAML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.config import JsonDict

from napari_medcontext.core.errors import SettingsError

WRONG_VALUES = {
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "less_than": "must be below {lt:g}",
    "less_than_equal": "must be {le:g} or less",
    "literal_error": "must be {expected}",
    "too_short": "must have {min_length} values or more",
    "too_long": "must have {max_length} values or fewer",
    "missing": "is missing",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("tuple_type", "list_type"), "must be a list of values, as [1, 1, 1]"),
}
"""What is wrong with a value, by pydantic's name for it."""

PositiveInt = Annotated[int, Field(ge=1)]
Millimetres = Annotated[float, Field(gt=0)]


def setting(
    default: Any, description: str, *, title: str | None = None, unit: str = "", **bounds: Any
) -> Any:
    """Declare one setting: its default, what it does, its title, its unit and its bounds.

    The title is what a form calls it, where its name alone would not say it.
    """
    extra: JsonDict | None = {"unit": unit} if unit else None
    return Field(default, description=description, title=title, json_schema_extra=extra, **bounds)


class Settings(BaseModel):
    """Base of all settings: frozen, and unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


AnySettings = TypeVar("AnySettings", bound=Settings)


def validated(model: type[AnySettings], values: object, source: str) -> AnySettings:
    """Build settings from plain values.

    Raises
    ------
    SettingsError
        Naming the source, each setting that is wrong, and why.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise SettingsError(f"In {source}: {_problems(model, error)}") from error


def load_settings_file(path: Path) -> dict[str, Any]:
    """Read a YAML or JSON file of settings."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}). Check the path.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is neither YAML nor JSON: {error}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{path} must hold settings as “section: name: value”.")
    return values


def load(model: type[AnySettings], path: Path) -> AnySettings:
    """Read settings from a YAML or JSON file."""
    return validated(model, load_settings_file(path), str(path))


def dump(settings: Settings) -> str:
    """Return settings as YAML, in the order in which they are documented."""
    return yaml.safe_dump(
        json.loads(settings.model_dump_json()), sort_keys=False, allow_unicode=True
    )


def _problems(model: type[BaseModel], error: ValidationError) -> str:
    return "; ".join(_problem(model, detail) for detail in error.errors())


def _problem(model: type[BaseModel], detail: Any) -> str:
    location = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "value_error":
        # From a check of our own, which has said all; the value may be a whole section.
        return ": ".join([*([location] if location else []), str(detail["ctx"]["error"])])
    if detail["type"] in WRONG_VALUES:
        wrong = WRONG_VALUES[detail["type"]].format(**detail.get("ctx", {}))
        value = "" if detail["type"] == "missing" else f", not {detail['input']!r}"
        return f"{location or 'it'} {wrong}{value}"
    if detail["type"] != "extra_forbidden":
        return f"{location or 'settings'}: {detail['msg']} (got {detail['input']!r})"
    for part in detail["loc"][:-1]:
        inner = model.model_fields[part].annotation if part in model.model_fields else None
        model = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else model
    return f"{location} is no setting; there are: {', '.join(model.model_fields)}"
