"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[object], body: Iterable[Sequence[object]]) -> str:
    """Return a table with a row of heads above its other rows, whatever its cells hold."""
    rows = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in rows)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|")
