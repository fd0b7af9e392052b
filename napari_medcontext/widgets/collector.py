"""Python's search for garbage, kept short while a run or a prediction is under way."""

from __future__ import annotations

import gc


class ShortCollections:
    """While entered by anybody, Python searches only what was made since for garbage.

    napari holds some 400,000 objects, and drawing makes Python look through all of them every
    minute or so: 0.2 s in which the window stands still, amid a training that makes it slow
    anyway. What becomes garbage of them meanwhile is found once the last has left.
    """

    def __init__(self) -> None:
        self._entered = 0

    def enter(self) -> None:
        """Set aside what there is now."""
        self._entered += 1
        gc.freeze()

    def leave(self) -> None:
        """Take it back, if nobody else needs it set aside."""
        self._entered -= 1
        if not self._entered:
            gc.unfreeze()


short_collections = ShortCollections()
