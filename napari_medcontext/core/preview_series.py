"""When previews come in a run, and what is kept of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from napari_medcontext.core.events import PreviewReady
from napari_medcontext.core.learner import Learner
from napari_medcontext.core.previews import PreviewMaker
from napari_medcontext.core.timeline import Timeline

MAX_SHARE = 0.1
"""Previews of large scans come less often than asked, so that training keeps its pace."""


class PreviewSeries:
    """The previews of a run, as often as asked and as the training can bear.

    Parameters
    ----------
    maker
        Makes them.
    every
        Seconds from one to the next, at least; 0 makes none.
    timeline
        Keeps some of them; ``None`` keeps none.
    class_names
        Class id to name, kept with them.
    """

    def __init__(
        self,
        maker: PreviewMaker,
        every: float,
        timeline: Timeline | None,
        class_names: Mapping[int, str],
    ) -> None:
        self._maker, self._every = maker, every
        self._timeline, self._class_names = timeline, class_names
        self._last, self._cost = -np.inf, 0.0

    def is_due(self, *, last: bool) -> bool:
        """Say whether it is time for one; after the ``last`` step it always is."""
        if self._every == 0:
            return False
        return last or time.monotonic() - self._last >= max(self._every, self._cost / MAX_SHARE)

    def make(self, learner: Learner, should_stop: Callable[[], bool]) -> PreviewReady:
        """Make the next one.

        Raises
        ------
        Cancelled
            If ``should_stop`` says so in between.
        """
        started = time.monotonic()
        preview = self._maker.make(learner, should_stop)
        if self._timeline is not None:
            self._timeline.keep(preview, self._class_names)
        self._last = time.monotonic()
        self._cost = self._last - started
        return preview
