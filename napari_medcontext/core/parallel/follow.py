"""The other processes of a training: they learn with the first, and write nothing.

``python -m napari_medcontext.core.parallel.follow RUN RANK SIZE`` is one that the first started.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from napari_medcontext.core.checkpoints import MEMORY_ADVICE, restored
from napari_medcontext.core.dataset import load_dataset
from napari_medcontext.core.device import explained_memory_errors
from napari_medcontext.core.errors import MedContextError, RunError
from napari_medcontext.core.folder import ProcessId
from napari_medcontext.core.inference import drained
from napari_medcontext.core.parallel.connection import connected
from napari_medcontext.core.parallel.fabric_team import FabricTeam
from napari_medcontext.core.parallel.local import READY, end_with
from napari_medcontext.core.parallel.placement import Placement
from napari_medcontext.core.prefetch import Prefetcher
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.sampler import PatchSampler
from napari_medcontext.core.trainer import make_learner

PATIENCE_SECONDS = 600.0
POLL_SECONDS = 0.2


def follow(run: RunFolder, placement: Placement) -> None:
    """Learn with the first process of a training, until that says that it is over.

    Parameters
    ----------
    run
        The same folder as the first process's; it may be made only later.
    placement
        Which process this is.

    Raises
    ------
    MedContextError
        If this process cannot do its part, or another has ended.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _wait_for(run)
    with connected(placement, run.spec().config.device) as team:
        # The first process hears of an end, by Ctrl-C or other signals, and says when it is over.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        # Scans are prepared by then, and only read here.
        if team.told():
            _learn(run, team)


def _learn(run: RunFolder, team: FabricTeam) -> None:
    spec = run.spec()
    dataset = drained(load_dataset(spec, run.path / "cache"), lambda: False)
    compute = team.compute(spec.config.device)
    learner = make_learner(spec.config, dataset, run, compute, team)
    restored(run, learner, spec.config)
    team.align(learner.step, learner.tensors())
    batches = Prefetcher(PatchSampler(dataset.training, spec.config, team))
    try:
        with explained_memory_errors(MEMORY_ADVICE):
            while team.told():
                learner.learn(batches.batch(learner.step, spec.config.training.steps))
    finally:
        batches.close()


def _wait_for(run: RunFolder) -> None:
    """Wait until the first process has made the run."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not run.exists():
        if time.monotonic() > until:
            raise RunError(
                f"{run.path} does not come into being here. Processes on several machines need "
                "the same run folder under the same path, as on a shared disk."
            )
        time.sleep(POLL_SECONDS)


def main(folder: str, rank: str, size: str) -> int:
    """Follow the process that started this one; what goes wrong is printed into its log."""
    end_with(ProcessId.of(os.getppid()))
    sys.stdout.buffer.write(READY)
    sys.stdout.flush()
    try:
        follow(RunFolder(folder), Placement(int(size), int(size), int(rank)))
    except MedContextError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
