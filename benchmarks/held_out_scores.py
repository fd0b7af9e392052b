"""Train on a data set's training scans and score its test scans, by the commands a user types.

    python benchmarks/held_out_scores.py dataset.json --out OUT --spacing 1.25 1.25 1.25 \
        --arm medcontext:900 --arm supervised:900 --arm supervised:1800 --seeds 0 1 2

An arm is a method and a number of steps. For each arm and seed this runs ``medcontext train``,
``predict`` (with each of the weights) and ``evaluate``, and adds a row to ``OUT/scores.csv``.
A second call does only what is missing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from score_rows import append_rows, by_arm, finished_rows, read_rows

COLUMNS = ("arm", "seed", "weights", "mean_dsc", "hd95_mm", "missed", "seconds", "wall_seconds")
MEDCONTEXT = (sys.executable, "-m", "napari_medcontext")


@dataclass(frozen=True)
class Arm:
    """What is trained, and for how long."""

    method: str
    steps: int

    @property
    def name(self) -> str:
        """What its rows and folders are called."""
        return f"{self.method}-{self.steps}"

    @property
    def weights(self) -> tuple[str, ...]:
        """Whose weights there are to score; a supervised run has no teacher."""
        return ("student",) if self.method == "supervised" else ("student", "teacher", "mean")


def run(command: Sequence[object]) -> None:
    subprocess.run([*MEDCONTEXT, *map(str, command)], check=True, stdout=subprocess.DEVNULL)


def train(options: argparse.Namespace, arm: Arm, seed: int, folder: Path) -> tuple[float, float]:
    """Train unless that is done; return the seconds of all steps, and of the whole command."""
    started = time.perf_counter()
    if (folder / "run.yaml").is_file():
        run(["train", "--resume", folder])
    else:
        spacing = ["--spacing", *options.spacing] if options.spacing else []
        settings = ["--method", arm.method, "--steps", arm.steps, "--seed", seed]
        run(["train", "--dataset", options.dataset, *spacing, *settings, "--out", folder])
    wall = time.perf_counter() - started
    return sum(float(row["seconds"]) for row in read_rows(folder / "log.csv")), wall


def score(dataset: Path, run_folder: Path, weights: str) -> tuple[float, float, int]:
    """Predict the test scans; return mean DSC, mean HD95 in mm where found, and misses."""
    out = run_folder.with_name(f"{run_folder.name}-{weights}")
    images, labels = dataset.parent / "imagesTs", dataset.parent / "labelsTs"
    run(["predict", run_folder, images, "--out", out, "--weights", weights])
    table = out / "scores.csv"
    run(["evaluate", "--predictions", out, "--labels", labels, "--out", table])
    rows = read_rows(table)
    found = [float(row["hd95_mm"]) for row in rows if row["status"] == "found"]
    missed = sum(row["status"] == "missed" for row in rows)
    return mean(float(row["dsc"]) for row in rows), mean(found), missed


def report(rows: Sequence[dict[str, str]]) -> None:
    print(f"{'arm':18s} {'weights':8s} {'DSC':>6s} {'HD95 mm':>8s} {'train s':>8s}  DSC by seed")
    for (arm, weights), group in by_arm(rows).items():
        dsc, hd95, seconds = (
            mean(float(row[column]) for row in group)
            for column in ("mean_dsc", "hd95_mm", "seconds")
        )
        each = ", ".join(f"{row['seed']}: {float(row['mean_dsc']):.3f}" for row in group)
        print(f"{arm:18s} {weights:8s} {dsc:6.3f} {hd95:8.2f} {seconds:8.0f}  {each}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--spacing", type=float, nargs=3)
    parser.add_argument("--arm", action="append", required=True, metavar="METHOD:STEPS")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()

    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "scores.csv"
    arms = [Arm(method, int(steps)) for method, steps in (a.split(":") for a in options.arm)]
    for seed in options.seeds:
        for arm in arms:
            if any(r["arm"] == arm.name and r["seed"] == str(seed) for r in finished_rows(path)):
                continue
            folder = options.out / f"{arm.name}-seed{seed}"
            seconds, wall = train(options, arm, seed, folder)
            rows = [
                (arm.name, seed, weights, *score(options.dataset, folder, weights), seconds, wall)
                for weights in arm.weights
            ]
            append_rows(path, [dict(zip(COLUMNS, row, strict=True)) for row in rows])
            print(json.dumps(rows), flush=True)
    report(finished_rows(path))


if __name__ == "__main__":
    main()
