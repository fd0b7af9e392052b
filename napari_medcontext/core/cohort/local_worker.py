"""What a worker on this machine does first, as dask's ``preload``."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C, which reaches every process of a terminal, to the one that gives the work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
