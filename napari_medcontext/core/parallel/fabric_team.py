"""One of several processes that train together, connected by Lightning Fabric."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed

from napari_medcontext.core.device import Compute, choose_compute
from napari_medcontext.core.errors import RunError, TrainingError
from napari_medcontext.core.parallel.placement import Placement
from napari_medcontext.core.parallel.team import Team
from napari_medcontext.core.processors import usable_cores
from napari_medcontext.core.training_settings import DeviceSettings

ENDS_WITHIN = 5.0
PATIENCE = timedelta(days=365)
"""A training may be paused for long, and the others wait; one that died is noticed at once."""


class FabricTeam(Team):
    """One of several processes.

    What is small, and what is waited for, goes through the processors' own network (gloo), which
    notices at once if a process is gone; gradients go through the devices' (NCCL for GPUs).

    Parameters
    ----------
    fabric
        A ``lightning_fabric.Fabric`` that is launched.
    placement
        Which process this is.
    who_ended
        Tells which processes that this one started have ended, or will within so many seconds;
        empty if none.
    """

    def __init__(
        self, fabric: Any, placement: Placement, who_ended: Callable[[float], str]
    ) -> None:
        self.size, self.rank = placement.size, placement.rank
        self._device: torch.device = fabric.device
        self._local_size = placement.local_size
        self._who_ended = who_ended
        self._words = distributed.new_group(backend="gloo", timeout=PATIENCE)

    def compute(self, settings: DeviceSettings) -> Compute:
        """Return this process's own device; processes of one machine share its threads."""
        threads = max(1, (settings.threads or usable_cores()) // self._local_size)
        own = settings.model_copy(update={"threads": threads, "device": self._device.type})
        return replace(choose_compute(own), device=self._device)

    def joined(self, flags: Sequence[bool]) -> tuple[bool, ...]:
        """Return the flags of all samples of a batch, given those of one's own."""
        everyone = torch.zeros(len(flags) * self.size, dtype=torch.uint8)
        everyone[self.rank :: self.size] = torch.tensor(flags, dtype=torch.uint8)
        with self._explained():
            distributed.all_reduce(everyone, group=self._words)
        return tuple(bool(flag) for flag in everyone)

    def summed(
        self, tensors: Sequence[Tensor | None], like: Sequence[Tensor]
    ) -> list[Tensor | None]:
        """Return sums over all processes, in one message.

        What comes back lies in memory as ``like`` does, which optimizers take as given.
        """
        own = [
            torch.zeros_like(model) if tensor is None else tensor
            for tensor, model in zip(tensors, like, strict=True)
        ]
        held = torch.tensor([tensor is not None for tensor in tensors], device=self._device)
        everything = torch.cat([*(tensor.reshape(-1) for tensor in own), held.to(own[0].dtype)])
        with self._explained():
            distributed.all_reduce(everything)
        *found, holders = torch.split(everything, [*(model.numel() for model in like), len(held)])
        return [
            tensor.copy_(part.view(model.shape)) if some else None
            for tensor, part, model, some in zip(
                own, found, like, (holders > 0).tolist(), strict=True
            )
        ]

    def align(self, step: int, tensors: Sequence[Tensor]) -> None:
        """Start all with the tensors of the first process, and refuse one at another step."""
        first = torch.tensor(step)
        with self._explained():
            distributed.broadcast(first, 0, group=self._words)
        if int(first) != step:
            raise RunError(
                f"Process {self.rank + 1} finds the run after step {step}, the first process "
                f"after step {int(first)}. All need to see the same run folder under the same "
                "path, as on a shared disk."
            )
        for tensor in tensors:
            # Convolutions' weights lie otherwise in memory than what can be sent.
            sent = tensor.detach().contiguous()
            with self._explained():
                distributed.broadcast(sent, 0)
            tensor.detach().copy_(sent)

    def tell(self, go_on: bool) -> None:
        """Say, in the first process, whether there is something to do."""
        self._word(go_on)

    def told(self) -> bool:
        """Wait, in another process, for the first to say whether there is something to do."""
        return self._word(False)

    def require_whole(self) -> None:
        """Raise a ``TrainingError`` if a process that this one started has ended."""
        ended = self._who_ended(0.0)
        if ended:
            raise TrainingError(_lost(ended))

    def _word(self, go_on: bool) -> bool:
        word = torch.tensor(int(go_on))
        with self._explained():
            distributed.broadcast(word, 0, group=self._words)
        return bool(word)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what a connection says of a process that is gone into words."""
        try:
            yield
        except RuntimeError as error:
            # Gloo has no class of its own for a connection that was closed.
            if "out of memory" in str(error).lower():
                raise
            # A connection ends a moment before the process at its other end.
            raise TrainingError(_lost(self._who_ended(ENDS_WITHIN))) from error


def _lost(who: str) -> str:
    return (
        f"{who or 'Another process of this training ended, or its machine is gone'}. The others "
        "end too; what was learned up to the last saved state is kept, and --resume goes on from "
        "there, with as many processes as you like. What the process said last is in output.log, "
        "or where the program that started it writes."
    )
