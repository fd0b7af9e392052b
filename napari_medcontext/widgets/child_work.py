"""Work that a child process does for one window, in a temporary folder of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence

from qtpy.QtCore import QObject

from napari_medcontext.core.events import Event, RunFinished
from napari_medcontext.core.folder import WorkFolder
from napari_medcontext.widgets.mortal import MortalRunner
from napari_medcontext.widgets.work import Work


class ChildWork(QObject):
    """Something under way; it outlives the dock that asked for it, and its folder ends with it.

    Parameters
    ----------
    folder
        Where the child finds what to do and records what it did.
    prepare
        Fills the folder, in a thread beside the window, before the child starts.
    title
        What napari's activity dock shows.
    bulky
        Names of what goes from the folder even where its log is kept, since the last message
        sends the user there.
    """

    def __init__(
        self, folder: WorkFolder, prepare: Callable[[], None], title: str, bulky: Sequence[str]
    ) -> None:
        super().__init__()
        self._place, self._bulky = folder.path, tuple(bulky)
        self._work = Work(MortalRunner(folder), prepare, title, self._clean_up)
        self._work.event_received.connect(self._receive)

    @property
    def is_running(self) -> bool:
        """Whether more answers may come."""
        return self._work.is_running

    def start(self) -> None:
        """Begin; returns at once."""
        self._work.start()

    def stop(self) -> None:
        """End after the current piece of work; what is done so far is kept."""
        self._work.runner.stop()

    def let_go(self) -> None:
        """End at once, with no more answers: the window is closing, or nobody asks any more."""
        self._work.let_go()

    def _receive(self, event: Event) -> None:
        """Take what the child recorded."""
        raise NotImplementedError

    def _clean_up(self, last: RunFinished | None) -> None:
        """Delete the folder, but for a log to which the last message sends the user."""
        if last is not None and str(self._place) in last.message:
            for name in self._bulky:
                shutil.rmtree(self._place / name, ignore_errors=True)
        else:
            shutil.rmtree(self._place, ignore_errors=True)
