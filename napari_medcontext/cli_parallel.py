"""The option that shares a training among several processes."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.parallel import Placement
from napari_medcontext.core.run import RunFolder

Processes = Annotated[
    int | None,
    typer.Option(
        help="Processes that share each step's patches: one a GPU of this machine, or on its "
        "processors. They learn what one would. Default: 1, or what torchrun or srun started.",
        min=1,
        metavar="N",
        show_default=False,
    ),
]


def follows(placement: Placement, run: RunFolder) -> bool:
    """Do the part of a process that is not the first, which leads; say whether this was one."""
    if placement.rank == 0:
        return False
    from napari_medcontext.core.parallel.follow import follow

    follow(run, placement)
    return True


def require_able(config: RunConfig, placement: Placement) -> None:
    """Refuse, before anything is written, what so many processes cannot do."""
    if placement.size == 1:
        return
    from napari_medcontext.core.parallel import opening

    opening.require_able(config, placement)
