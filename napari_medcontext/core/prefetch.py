"""Patches are cut in a thread of their own, one step ahead."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import torch

from napari_medcontext.core.sampler import Batch, PatchSampler


class Prefetcher:
    """Cut the next batch while the current one is learned from.

    Parameters
    ----------
    sampler
        Cuts the batch of any step.
    """

    def __init__(self, sampler: PatchSampler) -> None:
        self._sampler = sampler
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="medcontext-patches")
        # A second team of OpenMP threads, beyond the number of cores, lets none of them wait
        # actively: every step took 1.25 times as long. MKL's count is one for all threads.
        threads = torch.get_num_threads()
        self._pool.submit(_compute_alone).result()
        torch.set_num_threads(threads)
        self._next: tuple[int, Future[Batch]] | None = None

    def batch(self, step: int, steps: int) -> Batch:
        """Return the batch of one step, and start on the one after it."""
        waiting = self._next
        current = (
            waiting[1].result()
            if waiting is not None and waiting[0] == step
            else self._sampler.batch(step)
        )
        if step + 1 < steps:
            self._next = (step + 1, self._pool.submit(self._sampler.batch, step + 1))
        return current

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _compute_alone() -> None:
    """Let this thread compute without helpers."""
    # Asked first, since the first question would set the common count again.
    torch.get_num_threads()
    torch.set_num_threads(1)
