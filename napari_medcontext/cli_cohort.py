"""The options that give the cases of a command to several workers."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_medcontext.core.cohort import ClusterSettings
from napari_medcontext.core.errors import SettingsError

PANEL = "Several workers"
Workers = Annotated[
    int,
    typer.Option(
        help="Processes to start on this machine, which take the cases one by one and share its "
        "processors. Default: none; the command does all itself.",
        min=0,
        metavar="N",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
Scheduler = Annotated[
    str,
    typer.Option(
        help="Address of a dask scheduler that runs already, for example tcp://node1:8786; its "
        "workers take the cases. They need this program, and the same files under the same paths.",
        metavar="ADDRESS",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]


def chosen(workers: int, scheduler: str) -> ClusterSettings:
    """Return which workers take the cases.

    Raises
    ------
    SettingsError
        If they are named twice.
    """
    if workers and scheduler:
        raise SettingsError(
            "Say either how many workers to start (--workers), or where they are (--scheduler)."
        )
    return ClusterSettings(workers=workers, scheduler=scheduler)
