"""What there is to compute with."""

from __future__ import annotations

import os
import platform


def usable_cores() -> int:
    """Return how many cores this process may use: a container or scheduler may grant it few."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine() -> str:
    """Return what computed: processor, cores, GPU if there is one, and versions."""
    import torch

    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{_processor()}, {usable_cores()} cores{gpu}; {platform.system()}, Python "
        f"{platform.python_version()}, PyTorch {torch.__version__}"
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return next(iter(names), "") or platform.processor() or platform.machine()
