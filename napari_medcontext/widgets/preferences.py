"""What the docks remember from one session of napari to the next."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.io import atomic_path


def preferences_path() -> Path:
    """Return the file in the user's configuration folder."""
    return user_config_path("napari-medcontext", appauthor=False) / "docks.json"


def load_preferences() -> dict[str, Any]:
    """Return what was remembered; nothing where the file is missing or damaged."""
    try:
        values = json.loads(preferences_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def save_preferences(**values: Any) -> None:
    """Remember these values beside those that are remembered already.

    Where the folder cannot be written they are forgotten: no training should fail for that.
    """
    text = json.dumps(load_preferences() | values, indent=1)
    with suppress(MedContextError), atomic_path(preferences_path()) as temporary:
        temporary.write_text(text, encoding="utf-8")
