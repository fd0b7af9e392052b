"""Connect the processes of a training by Lightning Fabric."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.extras import optional_library
from napari_medcontext.core.parallel.fabric_team import FabricTeam
from napari_medcontext.core.parallel.placement import Placement
from napari_medcontext.core.training_settings import DeviceSettings

BACKENDS = {"cuda": "nccl", "cpu": "gloo"}


def lightning_fabric() -> Any:
    """Return ``lightning_fabric``.

    Raises
    ------
    MedContextError
        If it is not installed, saying how to.
    """
    return optional_library(
        "lightning_fabric",
        "parallel",
        "Training in several processes needs Lightning Fabric",
        "train in one process",
    )


def accelerator_for(settings: DeviceSettings, placement: Placement) -> str:
    """Return the kind of device that processes compute on: ``"cuda"`` or ``"cpu"``.

    Raises
    ------
    SettingsError
        If there is not one for each process.
    """
    if settings.device == "mps":
        raise SettingsError(
            "Several processes cannot share an Apple GPU. Train in one process, or choose the "
            "device cpu."
        )
    gpus = torch.cuda.device_count()
    if settings.device == "cpu" or (settings.device == "auto" and not gpus):
        return "cpu"
    if gpus < placement.local_size:
        raise SettingsError(
            f"{placement.local_size} processes on this machine need a GPU each, and {gpus} can be "
            "seen. Start fewer, let each process see all GPUs, or choose the device cpu."
        )
    return "cuda"


@contextmanager
def connected(
    placement: Placement,
    settings: DeviceSettings,
    who_ended: Callable[[float], str] = lambda within: "",
) -> Iterator[FabricTeam]:
    """Return this process's side of the connection, once all processes are there.

    Parameters
    ----------
    placement
        Which process this is. One that no other program started finds the first at the address
        in the variables that ``local.addressed`` sets.
    settings
        Where to compute.
    who_ended
        See ``FabricTeam``.

    Raises
    ------
    MedContextError
        If Lightning Fabric is not installed.
    SettingsError
        If there is no device for each process.
    """
    library = lightning_fabric()
    accelerator = accelerator_for(settings, placement)
    # It tells at length how many processes there are.
    for name in ("lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    fabric = library.Fabric(
        accelerator=accelerator,
        devices=placement.local_size,
        num_nodes=placement.size // placement.local_size,
        strategy=library.strategies.DDPStrategy(process_group_backend=BACKENDS[accelerator]),
        plugins=[_environment(placement)],
    )
    fabric.launch()
    try:
        yield FabricTeam(fabric, placement, who_ended)
    finally:
        torch.distributed.destroy_process_group()


def _environment(placement: Placement) -> Any:
    from lightning_fabric.plugins import environments

    match placement.starter:
        case "torchrun":
            return environments.TorchElasticEnvironment()
        case "srun":
            # Fabric wants to be told by this option alone how many tasks there are.
            os.environ.setdefault("SLURM_NTASKS_PER_NODE", str(placement.local_size))
            return environments.SLURMEnvironment(auto_requeue=False)
        case _:
            return environments.LightningEnvironment()
