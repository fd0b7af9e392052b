"""Which of several processes this is, and who started them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from napari_medcontext.core.errors import SettingsError

Starter = Literal["", "torchrun", "srun"]


@dataclass(frozen=True)
class Placement:
    """One of the processes of a training.

    Parameters
    ----------
    size
        Number of processes, on all machines.
    local_size
        Number of them on this machine.
    rank
        Which of all this one is, from 0. The first does all but learning too: it prepares,
        saves, scores and tells.
    starter
        Who starts the processes: one of the programs that do, or nobody, and then the first
        process starts the others on its machine.
    """

    size: int = 1
    local_size: int = 1
    rank: int = 0
    starter: Starter = ""

    def require_shares(self, batch_size: int) -> None:
        """Refuse a batch that cannot be shared evenly.

        Raises
        ------
        SettingsError
            Naming numbers of processes that can share it.
        """
        if batch_size % self.size == 0:
            return
        fitting = [str(n) for n in range(2, batch_size + 1) if batch_size % n == 0]
        advice = f"Take {' or '.join(fitting)} processes" if fitting else "Take one process"
        raise SettingsError(
            f"{self.size} processes cannot share a batch of {batch_size} evenly: the patches a "
            f"step are those of all processes together. {advice}, or train anew with patches a "
            f"step that {self.size} divides (training: batch_size)."
        )


ALONE = Placement()


def found_placement(
    processes: int | None, environment: Mapping[str, str] = os.environ
) -> Placement:
    """Return the place of this process among those of a training.

    Parameters
    ----------
    processes
        How many were asked for; ``None`` where nobody said.
    environment
        Variables in which ``torchrun`` and ``srun`` say what they started.

    Raises
    ------
    SettingsError
        If something else was asked for than was started.
    """
    started = _started(environment)
    if started is None:
        count = processes or 1
        return Placement(count, count)
    if processes not in (None, started.size):
        raise SettingsError(
            f"{started.starter} started {started.size} processes, but --processes asks for "
            f"{processes}. Leave --processes out."
        )
    return started


def _started(environment: Mapping[str, str]) -> Placement | None:
    """Return what a program that starts processes says; ``None`` where there is none."""

    def number(name: str) -> int:
        return int(environment[name])

    if "TORCHELASTIC_RUN_ID" in environment:
        return Placement(
            number("WORLD_SIZE"), number("LOCAL_WORLD_SIZE"), number("RANK"), "torchrun"
        )
    # A batch script has the tasks of its allocation too; only srun numbers those of a step.
    if {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"} <= environment.keys():
        size = number("SLURM_STEP_NUM_TASKS")
        nodes = int(environment.get("SLURM_STEP_NUM_NODES", environment.get("SLURM_NNODES", "1")))
        if size > 1:
            return Placement(size, size // nodes, number("SLURM_PROCID"), "srun")
    return None
