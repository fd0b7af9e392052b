"""Libraries that not everybody needs: they come with an extra, and are missed by name."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from napari_medcontext.core.errors import MedContextError


def optional_library(
    module: str,
    extra: str,
    need: str,
    otherwise: str,
    error_type: type[MedContextError] = MedContextError,
) -> Any:
    """Import a module of an optional library.

    Parameters
    ----------
    module
        Its name.
    extra
        The extra of this package that installs it.
    need
        What needs which library: ``"OME-Zarr needs zarr"``.
    otherwise
        What to do without it.
    error_type
        What is raised where it is not installed, saying how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise error_type(
            f"{need}, which is not installed. Install it: {sys.executable} -m pip install "
            f"'napari-medcontext[{extra}]', or {otherwise}."
        ) from error
