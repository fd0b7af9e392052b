"""What the processes of one training tell each other; one process alone has nothing to tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_medcontext.core.device import Compute, choose_compute
from napari_medcontext.core.training_settings import DeviceSettings

if TYPE_CHECKING:
    from torch import Tensor


class Team:
    """One process alone; ``FabricTeam`` is one of several.

    All processes must call the same methods in the same order, ``require_whole`` aside.
    """

    size: int = 1
    rank: int = 0

    def own(self, samples: int) -> range:
        """Return which samples of a batch are this process's.

        One after the other takes one: samples without labels, which cost less, come last in a
        batch, and so are spread.
        """
        return range(self.rank, samples, self.size)

    def compute(self, settings: DeviceSettings) -> Compute:
        """Return where this process computes; raises as ``choose_compute``."""
        return choose_compute(settings)

    def title(self, compute: Compute) -> str:
        """Return what a user reads of where it is computed."""
        return compute.title if self.size == 1 else f"{self.size} × {compute.title}"

    def joined(self, flags: Sequence[bool]) -> tuple[bool, ...]:
        """Return the flags of all samples of a batch, given those of one's own."""
        return tuple(flags)

    def summed(
        self, tensors: Sequence[Tensor | None], like: Sequence[Tensor]
    ) -> list[Tensor | None]:
        """Return sums over all processes.

        Parameters
        ----------
        tensors
            What this process has; ``None`` counts as zero, and stays where nobody has any.
        like
            Tensors of the same shapes and layouts.
        """
        return list(tensors)

    def align(self, step: int, tensors: Sequence[Tensor]) -> None:
        """Start all with the tensors of the first process, and refuse one at another step."""

    def tell(self, go_on: bool) -> None:
        """Say, in the first process, whether there is something to do: prepare, a step, a step."""

    def require_whole(self) -> None:
        """Raise a ``TrainingError`` if a process that this one started has ended."""
