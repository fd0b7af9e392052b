"""How many processors there are to compute with."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Return how many cores this process may use: a container or scheduler may grant it few."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
