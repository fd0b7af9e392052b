"""The child process: do a folder's work at low priority. ``python -m napari_medcontext.worker``."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from napari_medcontext.core.events import RunFinished
from napari_medcontext.core.jobs import execute

NICENESS = 10


def main(folder: str) -> int:
    """Do the work; whoever watches reads the folder. Return 0 unless it failed."""
    _give_way()
    reason = "failed"
    for event in execute(Path(folder)):
        if isinstance(event, RunFinished):
            reason = event.reason
    return int(reason == "failed")


def _give_way() -> None:
    """Let the window go first wherever both want a processor."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    # Linux weighs the processes of a session as one group, and this one leads its own: its
    # niceness would count for nothing against the window's session.
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICENESS), encoding="ascii")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
