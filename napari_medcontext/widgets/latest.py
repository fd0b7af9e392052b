"""Compute beside the window: of many requests the newest counts, those between are passed over."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QObject, QTimer, Signal

from napari_medcontext.core.errors import MedContextError

Task = Callable[[], Any]
REST_MILLISECONDS = 60
"""A value that is being dragged or typed is taken once it rests for so long."""


class Latest(QObject):
    """Does one task at a time in a thread, soon after it was asked for.

    Parameters
    ----------
    parent
        That with which it ends; what comes later is dropped.
    rest
        For how many milliseconds nothing newer may be asked for before a task is begun.
    """

    done = Signal(object)
    """What the newest task returned."""
    failed = Signal(str)
    """Why it could not be done."""
    _ended = Signal(object, object)

    def __init__(self, parent: QObject, rest: int = REST_MILLISECONDS) -> None:
        super().__init__(parent)
        self._asked: Task | None = None
        self._busy = False
        self._rest = QTimer(self, singleShot=True, interval=rest)
        self._rest.timeout.connect(self._begin)
        self._ended.connect(self._finish)

    @property
    def is_busy(self) -> bool:
        """Whether an answer is still to come."""
        return self._busy or self._asked is not None

    def ask(self, task: Task) -> None:
        """Do this in place of whatever waits; ``task`` runs in a thread and touches no layer."""
        self._asked = task
        if self._rest.interval():
            self._rest.start()
        else:
            # Before the window is drawn anew, which may take as long as the task.
            self._begin()

    def forget(self) -> None:
        """Drop what waits."""
        self._asked = None
        self._rest.stop()

    def _begin(self) -> None:
        if self._busy or self._asked is None:
            return
        task, self._asked = self._asked, None
        self._busy = True
        Thread(target=self._do, args=(task,), daemon=True).start()

    def _do(self, task: Task) -> None:
        answer: Any = None
        error: MedContextError | None = None
        try:
            answer = task()
        except MedContextError as problem:
            error = problem
        except Exception as problem:
            logging.getLogger(__name__).exception("a task of the window failed")
            error = MedContextError(f"It failed ({problem}). The terminal has the details.")
        # The window may be closed meanwhile, even between the question and the answer.
        with suppress(RuntimeError):
            if isalive(self):
                self._ended.emit(answer, error)

    def _finish(self, answer: Any, error: MedContextError | None) -> None:
        self._busy = False
        if self._asked is not None:
            # Something newer was asked for; its own rest may be over already.
            if not self._rest.isActive():
                self._begin()
        elif error is not None:
            self.failed.emit(str(error))
        else:
            self.done.emit(answer)
