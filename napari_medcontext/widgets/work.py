"""Work under way, relayed to the window: a runner watched by a napari worker thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from napari.qt.threading import GeneratorWorker, create_worker
from napari.resources import LOADING_GIF_PATH
from napari.utils import progress
from qtpy.QtCore import QObject, QThreadPool, Signal
from qtpy.QtWidgets import QApplication, QLabel

from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.events import Event, RunFinished
from napari_medcontext.runners import Runner
from napari_medcontext.widgets.beat import Beat
from napari_medcontext.widgets.collector import short_collections


class _Relay(GeneratorWorker):
    """A worker that napari quits when its window closes: the work is let go, not cut."""

    owner: Work

    def run(self) -> None:
        """Do the work; tell nobody any more where Qt, and the signals with it, has ended."""
        with suppress(RuntimeError):
            super().run()

    def quit(self) -> None:
        self.owner.let_go()


class Work(QObject):
    """One training or prediction, seen from the window.

    Parameters
    ----------
    runner
        Does or watches the work.
    prepare
        Done in the worker thread before the runner starts, such as writing scans to disk;
        a ``MedContextError`` from it ends the work with its message.
    title
        What napari's activity dock shows.
    clean_up
        Done once nobody works or listens any more, with the last event; with None where the
        work was let go, and then perhaps in the worker thread.
    """

    event_received = Signal(object)
    finished = Signal(object)
    """The last event, a ``RunFinished``; comes once, whatever happened."""

    def __init__(
        self,
        runner: Runner,
        prepare: Callable[[], None],
        title: str,
        clean_up: Callable[[RunFinished | None], None] = lambda _: None,
    ) -> None:
        super().__init__()
        self.runner = runner
        self.is_running = True
        self._let_go = self._relay_ended = False
        self._clean_up = clean_up
        self._bar = progress(total=0, desc=title)
        _calm_spinners()
        short_collections.enter()
        self._per_cent = 0
        # napari's bar, when moved, lets the next events in: never amid the delivery of one.
        self._beat = Beat(self, self._move_bar)
        self._worker = create_worker(
            _relayed,
            runner,
            prepare,
            self._end_relay,
            _worker_class=_Relay,
            _start_thread=False,
            _connect={"yielded": self._receive},
        )
        self._worker.owner = self

    def start(self) -> None:
        """Begin; returns at once."""
        self._worker.start()

    def show_progress(self, done: float, total: float) -> None:
        """Move the bar in napari's activity dock soon; it counts in whole per cent."""
        self._per_cent = int(100 * done / max(total, 1))
        if self.is_running:
            self._beat.start()

    def let_go(self) -> None:
        """Hear nothing more: the window is closing, or other work is watched."""
        if not self.is_running:
            return
        self.is_running, self._let_go = False, True
        self._close()
        self.runner.let_go()
        # Whichever of this and the relay's end comes second cleans up.
        if self._relay_ended:
            self._clean_up(None)

    def _end_relay(self) -> None:
        """Take note, in the worker thread, that the relay has nothing more to tell."""
        self._relay_ended = True
        if self._let_go:
            self._clean_up(None)

    def _move_bar(self) -> None:
        self._bar.total = 100
        if self._per_cent != self._bar.n:
            self._bar.update(self._per_cent - self._bar.n)

    def _close(self) -> None:
        self._beat.stop()
        self._bar.close()
        short_collections.leave()

    def _receive(self, event: Event) -> None:
        if self._let_go:
            return
        last = isinstance(event, RunFinished)
        if last:
            self.is_running = False
            self._close()
        self.event_received.emit(event)
        if last:
            self.finished.emit(event)
            self._clean_up(event)


def _calm_spinners() -> None:
    """Hold the spinner beside napari's activity button still.

    Each of its thirty pictures a second composes the whole window anew. Drawn by software,
    that took three quarters of a core from the training: 0.6 steps a second instead of 2.
    """
    for window in QApplication.topLevelWidgets():
        for sign in window.findChildren(QLabel):
            movie = sign.movie()
            if movie is not None and movie.fileName() == LOADING_GIF_PATH:
                movie.setPaused(True)


def _relayed(
    runner: Runner, prepare: Callable[[], None], ended: Callable[[], None]
) -> Iterator[Event]:
    """Yield a runner's events; never raise, since napari's workers lose such errors."""
    # This thread mostly waits: it must not count against those that other plugins need.
    pool = QThreadPool.globalInstance()
    pool.releaseThread()
    try:
        prepare()
        runner.start()
        yield from runner.events()
    except MedContextError as error:
        yield RunFinished("failed", message=str(error))
    except Exception as error:
        yield RunFinished("failed", message=f"{type(error).__name__}: {error}")
    finally:
        ended()
        pool.reserveThread()
