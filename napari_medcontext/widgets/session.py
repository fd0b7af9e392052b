"""What the docks of one viewer share: the events of its run."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from qtpy.QtCore import QObject, Signal


class Session(QObject):
    """The events of one viewer's run, for whichever docks are open.

    The run outlives its docks, so it is announced here and not by a widget.
    """

    event_received = Signal(object)
    """A ``core.events.Event`` of the current run."""

    run_changed = Signal(object)
    """The run that is watched from now on, or None."""


_sessions: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()


def real_viewer(viewer: Any) -> Any:
    """Return the viewer behind the proxy that napari hands to docks."""
    return getattr(viewer, "__wrapped__", viewer)


def session_of(viewer: Any) -> Session:
    """Return the session of a viewer, or of a proxy of it; always the same one."""
    viewer = real_viewer(viewer)
    if viewer not in _sessions:
        _sessions[viewer] = Session()
    return _sessions[viewer]
