"""Dask workers: started on this machine for a while, or found at a scheduler's address."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from napari_medcontext import __version__
from napari_medcontext.core.cohort.cluster_settings import ClusterSettings
from napari_medcontext.core.errors import RunError
from napari_medcontext.core.extras import optional_library
from napari_medcontext.core.processors import usable_cores

CONNECT_SECONDS = 10.0
PROFILING = "distributed.worker.profile.enabled"
"""Dask's record of what workers are at: it grows for a quarter of an hour, and nobody looks."""
LOCAL_FAILURES = 1
"""Local workers that may die over a case before it is set aside."""


def dask_distributed() -> Any:
    """Return ``distributed``.

    Raises
    ------
    MedContextError
        If it is not installed, saying how to.
    """
    return optional_library(
        "distributed",
        "cohort",
        "Several workers need dask.distributed",
        "leave out --workers and --scheduler",
    )


@contextmanager
def opened(settings: ClusterSettings, shared: Sequence[Path]) -> Iterator[Any]:
    """Return a ``distributed.Client``; local workers live as long as the context.

    Dask's own words about workers that come and go are kept off the terminal.

    Parameters
    ----------
    settings
        Which workers.
    shared
        Files and folders that each worker must see under the same path.

    Raises
    ------
    MedContextError
        If dask is not installed.
    RunError
        If no scheduler answers, or a worker lacks the program or the files.
    """
    distributed = dask_distributed()
    import dask
    from distributed.utils import silence_logging_cmgr

    with ExitStack() as stack:
        stack.enter_context(silence_logging_cmgr(logging.CRITICAL + 1))
        stack.enter_context(dask.config.set({PROFILING: False}))
        address = settings.scheduler or stack.enter_context(_local(settings.workers))
        try:
            client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise RunError(
                f"No dask scheduler answers at {settings.scheduler}. Is it running, and is the "
                "address what “dask scheduler” printed when it started (tcp://HOST:8786)?"
            ) from error
        stack.enter_context(client)
        _require_able(client, shared)
        yield client


def _local(workers: int) -> Any:
    """Start processes on this machine, which share its processors, and serve no dashboard.

    They are seen from this machine alone.
    """
    return dask_distributed().LocalCluster(
        n_workers=workers,
        threads_per_worker=max(1, usable_cores() // workers),
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL + 1,
        scheduler_kwargs={"dashboard": False, "allowed_failures": LOCAL_FAILURES},
        preload=["napari_medcontext.core.cohort.local_worker"],
    )


def _require_able(client: Any, shared: Sequence[Path]) -> None:
    """Refuse workers that could do nothing, before any case is given to them."""
    found = client.run(_unable, __version__, tuple(shared), on_error="return")
    for worker, problem in found.items():
        if isinstance(problem, Exception):
            problem = f"cannot load napari-medcontext ({problem}). Install {__version__} there."
        if problem:
            raise RunError(f"The worker at {worker} {problem}")


def _unable(version: str, shared: Sequence[Path]) -> str:
    """Return, on a worker, why it can do nothing; an empty text if it can."""
    if version != __version__:
        return f"has napari-medcontext {__version__}, this machine {version}. Install the same."
    unseen = [str(path) for path in shared if not path.exists()]
    if unseen:
        return (
            f"does not see {', '.join(unseen)}. Workers on other machines need the same files "
            "under the same paths, as on a shared disk."
        )
    return ""
