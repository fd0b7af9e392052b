"""A child process for one window: it ends with whoever asked for it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

from napari_medcontext.core.events import Event
from napari_medcontext.runners import ProcessRunner

SECONDS_TO_DIE = 5.0


class MortalRunner(ProcessRunner):
    """A child process that ends when it is let go: nobody would fetch its answers."""

    def events(self) -> Iterator[Event]:
        """Yield what the folder records; end the child where nobody listens any more."""
        yield from super().events()
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(SECONDS_TO_DIE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
