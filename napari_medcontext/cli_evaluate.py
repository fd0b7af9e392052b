"""What ``medcontext evaluate`` does: score folders, write the table, say what it holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from napari_medcontext import cli_cohort as cohort
from napari_medcontext import cli_inputs as inputs
from napari_medcontext.core.definitions import Definitions
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.io import require_writable
from napari_medcontext.core.scores import (
    ClassScore,
    ScoredCase,
    require_score_table,
    summarise,
    summarise_classes,
    write_scores,
)
from napari_medcontext.progress import say


def scored_all(given: Mapping[str, Any], console: Console) -> bool:
    """Score predictions into a table; say whether every reference has its scores there.

    Parameters
    ----------
    given
        The options of the command.
    console
        Where progress and warnings go.

    Raises
    ------
    ScanError
        If no pair can be compared; nothing is written then.
    """
    from napari_medcontext.core.folder_evaluation import evaluate_folders, unpredicted

    predictions, labels, out = given["predictions"], given["labels"], given["out"]
    require_writable(out.absolute().parent)
    require_score_table(out)
    definitions = Definitions(given["hd95"].value, given["nsd"].value, given["nsd_tolerance"])
    work = evaluate_folders(
        predictions,
        labels,
        classes=inputs.chosen_classes(given["classes"]),
        regions=inputs.region_table(given["region"], given["regions"]),
        ignore_label=given["ignore_label"],
        definitions=definitions,
        cluster=cohort.chosen(given["workers"], given["scheduler"]),
    )
    scores, refused = _parted(track(work, "Comparing", console=console))
    write_scores(out, scores)
    _print_summary(scores, definitions, out)
    missing = unpredicted(predictions, labels)
    for case in refused:
        _warn(console, f"No score counts “{case.case}”. {case.problem}")
    if missing:
        _warn(
            console,
            f"{predictions} has no prediction for {', '.join(missing)}; no score counts them.",
        )
    return not refused and not missing


def _parted(cases: Iterable[ScoredCase]) -> tuple[list[ClassScore], list[ScoredCase]]:
    """Return the scores of all cases, and the cases that cannot be compared.

    Raises
    ------
    ScanError
        If none can.
    """
    done = list(cases)
    refused = [case for case in done if case.problem]
    if len(refused) == len(done):
        others = " No other pair can be compared either." if len(done) > 1 else ""
        raise ScanError(refused[0].problem + others)
    return [score for case in done for score in case.scores], refused


def _print_summary(scores: Sequence[ClassScore], definitions: Definitions, out: Path) -> None:
    of_class = summarise_classes(scores)
    for name, summary in of_class.items() if len(of_class) > 1 else ():
        print(f"{name}: {summary.text}")
    print(f"{summarise(scores).text}\n{definitions.text}\n{out}")


def _warn(console: Console, text: str) -> None:
    say(console, text, label="Warning", style="yellow")
