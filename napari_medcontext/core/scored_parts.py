"""What of two label maps is scored: classes or regions, all of them or some."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.regions import Members, painted_numbers


def listed_classes(words: str) -> list[int | str]:
    """Return what a list such as ``"1, 6, liver"`` names: ids and names, none if it is empty."""
    parts = [part.strip() for part in words.split(",")]
    return [int(part) if part.isdecimal() else part for part in parts if part]


@dataclass(frozen=True)
class Part:
    """What is scored at once: a class or a region.

    ``predicted`` and ``expected`` are the ids that it is made of in a prediction and in its
    reference.
    """

    number: int
    name: str
    predicted: Sequence[int]
    expected: Sequence[int]


def class_parts(ids: Iterable[int], names: Mapping[int, str]) -> list[Part]:
    """Return a part for each class id but the background's, in their order."""
    return [Part(k, names.get(k, f"class {k}"), (k,), (k,)) for k in sorted(set(ids) - {0})]


def region_parts(regions: Mapping[str, Members]) -> list[Part]:
    """Return a part for each region of a table, numbered from 1, outermost first."""
    inside = painted_numbers(regions)
    return [
        Part(number, name, inside[name], members)
        for number, (name, members) in enumerate(regions.items(), start=1)
    ]


def chosen_parts(parts: list[Part], classes: Iterable[int | str] | None) -> list[Part]:
    """Return the parts to score; an id that nobody has is scored too, as absent.

    Names are compared without their case, as a user types them.

    Raises
    ------
    ScanError
        If no part has one of the names.
    """
    if classes is None:
        return parts
    by_name = {part.name.casefold(): part for part in parts}
    by_id = {part.number: part for part in parts}
    chosen = {}
    for wanted in classes:
        if isinstance(wanted, int):
            part = by_id.get(wanted, Part(wanted, f"class {wanted}", (wanted,), (wanted,)))
        elif wanted.casefold() in by_name:
            part = by_name[wanted.casefold()]
        else:
            there = ", ".join(part.name for part in parts) or "none"
            raise ScanError(f"There is no class “{wanted}” to score. There are: {there}.")
        chosen[part.number] = part
    return [chosen[number] for number in sorted(chosen)]


def require_numbers(name: str, ids: Iterable[int], regions: Mapping[str, Members]) -> None:
    """Refuse a prediction that holds class ids where a table's numbers should be.

    Raises
    ------
    ScanError
        Saying which id is none of the regions' numbers.
    """
    foreign = sorted(class_id for class_id in ids if class_id > len(regions))
    if foreign:
        raise ScanError(
            f"“{name}” holds the id {foreign[0]}, but a prediction of {len(regions)} regions holds "
            f"their numbers, 1 to {len(regions)}. Score it without regions, or take a prediction "
            "of a run that learned these."
        )
