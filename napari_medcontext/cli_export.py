"""The options of ``medcontext export``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_medcontext.core.export import FORMS

FormName: Any = Enum("FormName", {name: name for name in FORMS}, type=str)
OneNetwork: Any = Enum("OneNetwork", {name: name for name in ("student", "teacher")}, type=str)

Run = Annotated[Path, typer.Argument(help="Run folder of a training.")]
To = Annotated[
    FormName,
    typer.Option(help="; ".join(f"{name}: {form.title}" for name, form in FORMS.items()) + "."),
]
Out = Annotated[Path, typer.Option(help="Folder or file to write; what is there is kept.")]
Weights = Annotated[OneNetwork, typer.Option(help="Whose weights.")]
