"""What the context probe measures: a row a run, scan, class and condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Condition = Literal["visible", "token", "mean", "noise", "average shape"]
Place = Literal["nowhere", "organ", "elsewhere"]


@dataclass(frozen=True)
class ProbeRow:
    """How well a class was segmented under one condition.

    Parameters
    ----------
    scan, class_id, class_name
        Of what.
    place
        Where the scan was hidden: ``"nowhere"``, in a box round the ``"organ"`` (all of it), or
        in a box of the same size ``"elsewhere"`` that does not touch it.
    condition
        ``"visible"`` (nothing is hidden), or what stood in the hidden box: the ``"token"``
        that the run learned, the ``"mean"`` of the rest of the scan, ``"noise"`` of its values;
        or ``"average shape"``: no network, but the organ's average shape over the training
        scans, pasted at the centre of the hidden box.
    dsc
        Dice of the class over the whole scan, mean over the draws. A hidden organ lies inside its
        box to the last voxel, so this scores what came out of the box alone, and all that was
        found of the organ elsewhere counts against it.
    deviation
        Standard deviation over the draws; ``nan`` for a single one.
    ratio
        ``dsc`` over that of the same organ visible: how much of it the network still knows.
    draws
        Number of boxes; 0 where none could be laid, and then there is no ``dsc``.
    """

    scan: str
    class_id: int
    class_name: str
    place: Place
    condition: Condition
    dsc: float
    deviation: float
    ratio: float
    draws: int
