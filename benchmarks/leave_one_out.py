"""Compare settings on training scans alone: train without one of them, score on that one.

    python benchmarks/leave_one_out.py dataset.json --out OUT \
        --arm gentle --arm "paper:data.augmentation=paper" --common training.steps=500

Each arm is a name with the settings in which it differs. The test scans of the data set are
never opened, so defaults that are chosen here may be reported on them. Every finished row of
``OUT/scores.csv`` is kept, and a second call does only what is missing. One process a core
with one thread each does more steps a second than one process with all threads.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import yaml
from score_rows import append_rows, by_arm, finished_rows

Changes = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Trial:
    """One training without one scan, and its score on that scan."""

    dataset: Path
    out: Path
    arm: str
    changes: Changes
    fold: str
    seed: int

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from every other trial."""
        return self.arm, self.fold, str(self.seed)


def parse_changes(texts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Turn ``section.name=value`` (YAML values) into nested settings."""
    changes: dict[str, dict[str, Any]] = {}
    for text in texts:
        path, _, value = text.partition("=")
        section, _, name = path.partition(".")
        changes.setdefault(section, {})[name] = yaml.safe_load(value)
    return changes


def run_trial(trial: Trial) -> list[dict[str, object]]:
    """Train, predict the scan that was left out with each of the weights, and score."""
    from napari_medcontext.core.cases import decathlon_cases
    from napari_medcontext.core.config import RunConfig, RunSpec
    from napari_medcontext.core.evaluation import evaluate_volumes
    from napari_medcontext.core.events import RunFinished, StepFinished
    from napari_medcontext.core.inference import drained, load_predictor
    from napari_medcontext.core.io import read_volume
    from napari_medcontext.core.jobs import execute
    from napari_medcontext.core.run import RunFolder
    from napari_medcontext.core.scores import summarise

    cases, names = decathlon_cases(trial.dataset)
    (held_out,) = (case for case in cases if case.name == trial.fold)
    kept = tuple(case for case in cases if case.name != trial.fold)
    config = RunConfig().updated({"training": {"preview_every": 0.0}}).updated(trial.changes)
    config = config.updated({"training": {"seed": trial.seed}, "device": {"threads": 1}})
    folder = trial.out / "runs" / "-".join(trial.key)
    shutil.rmtree(folder, ignore_errors=True)
    run = RunFolder(folder).create(RunSpec(config=config, cases=kept, class_names=names))
    seconds = 0.0
    for event in execute(run.path):
        if isinstance(event, StepFinished):
            seconds += event.seconds
        if isinstance(event, RunFinished) and event.reason != "completed":
            raise RuntimeError(event.message)
    rows: list[dict[str, object]] = []
    supervised = config.objective.method == "supervised"
    for weights in ("student",) if supervised else ("student", "teacher", "mean"):
        predictor = load_predictor(run, weights)
        prediction = drained(predictor.predict(read_volume(held_out.image)), lambda: False)
        scores = evaluate_volumes(
            prediction.labels, read_volume(held_out.labels), case=held_out.name
        )
        rows.append(
            {
                "arm": trial.arm,
                "fold": trial.fold,
                "seed": trial.seed,
                "weights": weights,
                "mean_dsc": round(summarise(scores).mean_dsc, 4),
                "hd95_mm": round(mean(score.hd95_mm for score in scores), 2),
                "seconds": round(seconds, 1),
                "settings": json.dumps(trial.changes),
            }
        )
    shutil.rmtree(folder)
    return rows


def report(rows: Iterable[Mapping[str, str]]) -> None:
    """Print a line for each arm and weights, over its folds and seeds."""
    print(f"{'arm':24s} {'weights':8s} {'n':>2s} {'DSC':>6s} {'worst':>6s} {'HD95':>6s}  each")
    for (arm, weights), group in by_arm(rows).items():
        dsc = [float(row["mean_dsc"]) for row in group]
        hd95 = mean(float(row["hd95_mm"]) for row in group)
        each = " ".join(f"{value:.3f}" for value in dsc)
        print(
            f"{arm:24s} {weights:8s} {len(dsc):2d} {mean(dsc):6.3f} {min(dsc):6.3f} "
            f"{hd95:6.2f}  {each}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arm", action="append", required=True, metavar="NAME[:S.N=V;...]")
    parser.add_argument("--common", action="append", default=[], metavar="SECTION.NAME=VALUE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--folds", type=int, help="only the first so many scans")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()

    table = json.loads(options.dataset.read_text(encoding="utf-8"))
    names = [Path(pair["image"]).name.split(".")[0] for pair in table["training"]]
    arms: dict[str, Changes] = {}
    for text in options.arm:
        name, _, settings = text.partition(":")
        arms[name] = parse_changes([*options.common, *filter(None, settings.split(";"))])
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "scores.csv"
    done = {(row["arm"], row["fold"], row["seed"]) for row in finished_rows(path)}
    # Folds outermost: whenever this is cut, every arm has been tried on the same scans.
    trials = [
        Trial(options.dataset, options.out, arm, changes, fold, seed)
        for seed in options.seeds
        for fold in names[: options.folds]
        for arm, changes in arms.items()
    ]
    waiting = [trial for trial in trials if trial.key not in done]
    with ProcessPoolExecutor(options.jobs, max_tasks_per_child=1) as pool:
        for future in as_completed([pool.submit(run_trial, trial) for trial in waiting]):
            append_rows(path, future.result())
            print(future.result()[0], flush=True)
    report(finished_rows(path))


if __name__ == "__main__":
    main()
