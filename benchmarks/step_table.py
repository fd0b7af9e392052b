"""The table of ``training_step.py``: medians over the rounds, and ratios within each round."""

from __future__ import annotations

import json
import platform
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version

PLAIN_SUPERVISED, PLAIN = "supervised, plain", "MedContext, plain"
SUPERVISED, BUILT = "supervised, built", "MedContext, built"
CPU_TARGET, GPU_TARGET, SUPERVISED_TARGET, MEMORY_TARGET = 0.75, 0.6, 1.9, 1.0

Row = Mapping[str, str]
Rounds = Mapping[str, Row]
"""What was measured of one arm, by the number of the round."""


def step_table(rows: Sequence[Row], device: str) -> str:
    """Return medians and ratios as Markdown."""
    target = GPU_TARGET if device == "cuda" else CPU_TARGET
    lines = [
        f"`python {shlex.join(sys.argv)}`, {rows[0]['machine']}, "
        f"{platform.processor() or platform.machine()}, torch {version('torch')}. "
        f"Targets: time / plain ≤ {target}, time / supervised ≤ {SUPERVISED_TARGET}, "
        f"memory / plain ≤ {MEMORY_TARGET}.",
        "",
        "| network | arm | numbers | step | memory | time / plain | time / supervised "
        "| memory / plain | losses differ by |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for network in dict.fromkeys(row["network"] for row in rows):
        arms: dict[str, dict[str, Row]] = {}
        for row in rows:
            if row["network"] == network:
                arms.setdefault(row["arm"], {})[row["round"]] = row
        lines += [_line(network, name, arms) for name in arms]
    return "\n".join([*lines, ""])


def _line(network: str, name: str, arms: Mapping[str, Rounds]) -> str:
    own = arms[name]
    plain = arms.get(PLAIN_SUPERVISED if name in (SUPERVISED, PLAIN_SUPERVISED) else PLAIN, {})
    supervised = arms.get(PLAIN_SUPERVISED if name == PLAIN else SUPERVISED, {})
    is_supervised = name in (SUPERVISED, PLAIN_SUPERVISED)
    milliseconds = 1000 * statistics.median(float(row["seconds"]) for row in own.values())
    memory = statistics.median(float(row["memory_mib"]) for row in own.values())
    cells = [
        network,
        name,
        next(iter(own.values()))["precision"],
        f"{milliseconds:.0f} ms",
        f"{memory:.0f} MiB",
        "" if own is plain else _ratio(own, plain, "seconds"),
        "" if is_supervised else _ratio(own, supervised, "seconds"),
        "" if own is plain else _ratio(own, plain, "memory_mib"),
        "" if own is plain else _difference(own, plain),
    ]
    return f"| {' | '.join(cells)} |"


def _ratio(own: Rounds, other: Rounds, column: str) -> str:
    ratios = [
        float(own[number][column]) / float(other[number][column])
        for number in own
        if number in other
    ]
    return f"{statistics.median(ratios):.2f}" if ratios else ""


def _difference(own: Rounds, plain: Rounds) -> str:
    """Return how far the first step's losses are apart, as a share of the plain ones."""
    differences = [
        abs(json.loads(own[number]["first_losses"]).get(name, float("nan")) / loss - 1)
        for number in own
        if number in plain
        for name, loss in json.loads(plain[number]["first_losses"]).items()
    ]
    return f"{max(differences):.0e}" if differences else ""
