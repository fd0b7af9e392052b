"""The colours of classes: the same in every layer, table and picture."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Colour = npt.NDArray[np.float32]

# Okabe and Ito's colours for the colour-blind (black left out, as it vanishes on a scan),
# then lighter ones of Paul Tol's schemes. The order keeps neighbours apart.
_PALETTE = (
    *("D55E00", "56B4E9", "009E73", "F0E442", "CC79A7", "0072B2", "E69F00", "99DDFF"),
    *("BBCC33", "FFAABB", "44BB99", "AA4499", "EEDD88", "77AADD", "EE8866", "999933"),
)
ERROR_COLOURS = {1: "#009E73", 2: "#D55E00", 3: "#56B4E9", 4: "#CC79A7"}
"""Right, invented, missed, and one class in the place of another, as ``core.error_map`` has them;
out of the same palette."""
# Ids beyond the palette take it again, lighter, then darker.
_LIGHTENED = (0.0, 0.45, -0.3)
_KNOWN_IDS = range(1, 256)


def class_colour(class_id: int) -> Colour:
    """Return the colour of a class: RGBA in 0 to 1; background, 0, is transparent."""
    if class_id == 0:
        return np.zeros(4, np.float32)
    turn, place = divmod(class_id - 1, len(_PALETTE))
    colour: Colour = np.array([*bytes.fromhex(_PALETTE[place]), 255], np.float32) / np.float32(255)
    amount = _LIGHTENED[turn % len(_LIGHTENED)]
    colour[:3] += amount * ((1 - colour[:3]) if amount > 0 else colour[:3])
    return colour


def class_colours(class_ids: Iterable[int] = ()) -> dict[int | None, Colour]:
    """Return a colour for every class, as napari's ``DirectLabelColormap`` takes it.

    Ids from 1 to 255 are always there, so that a class which the user draws next is seen.

    Parameters
    ----------
    class_ids
        Further ids, above 255.
    """
    colours: dict[int | None, Colour] = {None: class_colour(1), 0: class_colour(0)}
    colours.update((int(index), class_colour(int(index))) for index in (*_KNOWN_IDS, *class_ids))
    return colours
