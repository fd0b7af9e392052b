"""How fast training goes here: the time that is left, and the time that a run will take."""

from __future__ import annotations

import math
import time
from collections import deque
from statistics import median

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.method_settings import ObjectiveSettings
from napari_medcontext.widgets.preferences import load_preferences, save_preferences

WINDOW = 50
"""Steps over which the pace is measured."""


class Pace:
    """The pace of a run under way.

    Parameters
    ----------
    config
        The run's settings; what they cost a step is remembered when it ends. Without any it is
        not.
    """

    def __init__(self, config: RunConfig | None = None) -> None:
        self._config = config
        self._step = 0
        self._arrivals: deque[tuple[int, float]] = deque(maxlen=WINDOW)
        self._seconds: deque[float] = deque(maxlen=WINDOW)

    def step(self, step: int, seconds: float) -> None:
        """Take note of a step that has just ended and of the seconds that it took."""
        self._step = step
        self._arrivals.append((step, time.monotonic()))
        self._seconds.append(seconds)

    def wait(self) -> None:
        """Forget the arrivals so far: the run pauses, and the pause is no part of its pace."""
        self._arrivals.clear()

    def seconds_left(self, steps: int) -> float | None:
        """Return the time until the last of ``steps``; none before three have arrived."""
        if len(self._arrivals) < 3:
            return None
        (first, then), (last, now) = self._arrivals[0], self._arrivals[-1]
        return (now - then) / max(1, last - first) * (steps - last)

    def remember(self) -> None:
        """Keep what a voxel of a step cost, for the estimates of later runs.

        Steps before masking has risen are cheaper than those after, and tell nothing of them.
        """
        if self._config is None:
            return
        learning = self._config.objective
        risen = (learning.masked_start + learning.masked_ramp) * self._config.training.steps
        if self._seconds and self._step >= risen:
            cost = median(self._seconds) / _voxels(self._config)
            paces = load_preferences().get("pace", {})
            save_preferences(pace={**paces, _kind(self._config): cost})


def expected_seconds(config: RunConfig) -> float | None:
    """Return how long a run will take, from earlier ones of its kind here; none without any."""
    cost = load_preferences().get("pace", {}).get(_kind(config))
    return None if cost is None else cost * _voxels(config) * config.training.steps


def minutes_text(seconds: float) -> str:
    """Return a time as ``m:ss``, or ``h:mm:ss``."""
    minutes, seconds = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def about_text(seconds: float) -> str:
    """Return a time roughly, in words."""
    if seconds < 50:
        return f"about {max(5, round(seconds / 5) * 5)} s"
    if seconds < 5400:
        return f"about {max(1, round(seconds / 60))} min"
    return f"about {seconds / 3600:.1f} h"


def _kind(config: RunConfig) -> str:
    """Return all that the time of a voxel's step depends on, as one word."""
    learning = config.objective
    parts = [config.network.name, config.network.size, _passes(learning)]
    if learning.has_masked_view:
        parts.append(config.masking.site)
    device = config.device
    return "/".join([*parts, device.device, device.precision, str(device.threads)])


def _passes(learning: ObjectiveSettings) -> str:
    """Return which passes of the networks make up a step, once masking has risen."""
    parts = []
    if learning.has_masked_view:
        parts += [f"{learning.views} views", f"{learning.masked_share:g} masked"]
    if learning.has_teacher:
        parts.append("teacher asked" if learning.has_consistency else "teacher kept")
    return " ".join(parts) or "labels alone"


def _voxels(config: RunConfig) -> int:
    return math.prod(config.data.patch_size) * config.training.batch_size
