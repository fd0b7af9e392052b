"""What two viewers share: a theme and, if asked, the slice."""

from __future__ import annotations

from typing import Any

from napari.components import ViewerModel


class ViewerLink:
    """Gives a viewer the theme of another one and, if asked, holds both at the same slice.

    Slices are matched by world millimetres along the last three axes; a viewer of fewer
    axes is left alone. This is no QObject, so that it can be ended after its widget's death.
    """

    def __init__(self, leader: ViewerModel, follower: ViewerModel) -> None:
        self._leader, self._follower = leader, follower
        self._slices_linked = self._moving = False
        leader.events.theme.connect(self._take_theme)
        leader.dims.events.point.connect(self._leader_moved)
        follower.dims.events.point.connect(self._follower_moved)
        self._take_theme()

    def end(self) -> None:
        """Let the two viewers go their own ways."""
        self._leader.events.theme.disconnect(self._take_theme)
        self._leader.dims.events.point.disconnect(self._leader_moved)
        self._follower.dims.events.point.disconnect(self._follower_moved)

    def link_slices(self, on: bool) -> None:
        """Hold the follower at the leader's slice, and the leader at the follower's."""
        self._slices_linked = on
        self._leader_moved()

    def _take_theme(self, event: object = None) -> None:
        self._follower.theme = self._leader.theme

    def _leader_moved(self, event: object = None) -> None:
        if self._leader.layers:
            self._move(self._leader.dims, self._follower.dims)

    def _follower_moved(self, event: object = None) -> None:
        self._move(self._follower.dims, self._leader.dims)

    def _move(self, source: Any, target: Any) -> None:
        # A point outside the other's range is clipped there; it must not come back clipped.
        if not self._slices_linked or self._moving or min(source.ndim, target.ndim) < 3:
            return
        self._moving = True
        try:
            axes = tuple(range(target.ndim - 3, target.ndim))
            target.set_point(axes, source.point[-3:])
        finally:
            self._moving = False
