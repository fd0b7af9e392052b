"""The child process: do a folder's work at low priority. ``python -m napari_medcontext.worker``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from napari_medcontext.core.events import RunFinished
from napari_medcontext.core.jobs import execute

NICENESS = 10


def main(folder: str) -> int:
    """Do the work; whoever watches reads the folder. Return 0 unless it failed."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    reason = "failed"
    for event in execute(Path(folder)):
        if isinstance(event, RunFinished):
            reason = event.reason
    return int(reason == "failed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
