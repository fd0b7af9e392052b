"""Gather the processes of a training round the first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.parallel.connection import (
    accelerator_for,
    connected,
    lightning_fabric,
)
from napari_medcontext.core.parallel.local import started
from napari_medcontext.core.parallel.placement import Placement
from napari_medcontext.core.parallel.team import Team
from napari_medcontext.core.run import RunFolder


def require_able(config: RunConfig, placement: Placement) -> None:
    """Refuse a training that so many processes cannot share.

    Raises
    ------
    SettingsError
        If the batch cannot be shared, or there is no device for each process.
    MedContextError
        If Lightning Fabric is not installed.
    """
    placement.require_shares(config.training.batch_size)
    lightning_fabric()
    accelerator_for(config.device, placement)


@contextmanager
def gathered(run: RunFolder, config: RunConfig, placement: Placement) -> Iterator[Team]:
    """Return the processes of a training, once all are there; for the first of them.

    Those that it has started end with the context; those of another program end with that, or
    when the first is gone.

    Raises
    ------
    SettingsError, MedContextError
        As ``require_able``.
    TrainingError
        If one cannot start.
    """
    require_able(config, placement)
    if placement.starter:
        with connected(placement, config.device) as team:
            yield team
        return
    with (
        started(run, placement.size) as others,
        connected(placement, config.device, others.who_ended) as team,
    ):
        yield team
