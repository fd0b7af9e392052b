"""How well a student segments where its input was hidden, and what the skip connections tell it.

    python benchmarks/masking_leak.py --dataset dataset.json --out OUT --steps 600 --seeds 0 1 2 \
        --networks unetr --set data.spacing=[1.25,1.25,1.25]

For each network, mask site and seed this trains a run on all training scans but the last
``--held-out`` (what is trained already is kept), then hides parts of those by masks that are
the same for every run, and scores the Dice inside and outside of what is hidden:

- ``whole``: nothing is hidden; how hard the two places are.
- ``skip blind``: neither the tokens nor the first skip connection tell of the hidden voxels. A
  run that hides voxels was trained so; of one that hides tokens, the hidden voxels are set to
  the mean of the visible ones besides.
- ``skip sees``: the tokens tell nothing, but the first skip connection sees the scan. A run
  that hides tokens was trained so; of one that hides voxels, the tokens are those of the masked
  scan and the rest of the network is given the whole one.

Writes ``leak.csv`` (a row a scan, draw and view) and ``leak.md`` into ``OUT``.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import platform
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import torch
from leave_one_out import finished_rows, parse_changes
from torch import Tensor, nn

from napari_medcontext.core.cases import decathlon_cases
from napari_medcontext.core.config import Case, RunConfig, RunSpec
from napari_medcontext.core.dataset import Dataset, load_dataset
from napari_medcontext.core.device import choose_compute
from napari_medcontext.core.events import RunFinished
from napari_medcontext.core.inference import Predictor, drained, load_predictor
from napari_medcontext.core.jobs import execute
from napari_medcontext.core.masked_scan import MaskedScan
from napari_medcontext.core.masking import choose_axis
from napari_medcontext.core.masking.sites import make_token
from napari_medcontext.core.masking.token import MaskToken
from napari_medcontext.core.metrics import dice
from napari_medcontext.core.networks import Tokens, find_network
from napari_medcontext.core.run import RunFolder

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

RUN_COLUMNS = ("network", "site", "seed", "steps")
COLUMNS = (*RUN_COLUMNS, "scan", "draw", "hidden", "view", "inside", "outside")
WHOLE, BLIND, SEES = "whole", "skip blind", "skip sees"


@dataclass(frozen=True)
class Arm:
    """One training."""

    network: str
    site: str
    seed: int
    steps: int

    @property
    def name(self) -> str:
        """What its run folder is called."""
        return f"{self.network}-{self.site}-{self.steps}-seed{self.seed}"

    @property
    def key(self) -> tuple[str, ...]:
        """What its rows begin with."""
        return self.network, self.site, str(self.seed), str(self.steps)


class Nothing(MaskToken):
    """Hides nothing."""

    def __init__(self) -> None:
        super().__init__(torch.zeros(1))

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Return the image as it is."""
        return image

    def hiding(self, network: nn.Module, mask: Tensor) -> contextlib.nullcontext[None]:
        """Do nothing."""
        return contextlib.nullcontext()


class WithoutVoxels(MaskToken):
    """Hides tokens as the run does, and their voxels besides, behind the mean of the others."""

    def __init__(self, token: MaskToken) -> None:
        super().__init__(torch.zeros(1))
        self._own = token

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Return the image with the hidden voxels set to the mean of the others."""
        visible = image[~mask.expand_as(image)]
        fill = visible.mean() if visible.numel() else image.new_zeros(())
        return torch.where(mask, fill, image)

    def hiding(self, network: nn.Module, mask: Tensor) -> contextlib.AbstractContextManager[object]:
        """Hide tokens as the run does."""
        return self._own.hiding(network, mask)


class WithVoxels(MaskToken):
    """Makes tokens of the scan as the run masks it, and shows the whole one to all else."""

    def __init__(self, token: MaskToken, tokens: Tokens) -> None:
        super().__init__(torch.zeros(1))
        self._own, self._tokens = token, tokens
        self._masked = torch.empty(0)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Return the image as it is, and keep it masked for the tokens."""
        self._masked = self._own(image, mask)
        return image

    @contextlib.contextmanager
    def hiding(self, network: nn.Module, mask: Tensor) -> Iterator[None]:
        """Make the tokens of the masked image."""

        def replace(module: nn.Module, _inputs: Any, _output: Tensor) -> Tensor:
            answer: Tensor = module.forward(self._masked)
            return answer

        part = network.get_submodule(self._tokens.embedding)
        handle = part.register_forward_hook(replace)
        try:
            yield
        finally:
            handle.remove()


def trained(arm: Arm, config: RunConfig, spec: RunSpec, folder: Path) -> RunFolder:
    """Train an arm, or go on with it, unless that is done."""
    run = RunFolder(folder)
    if not run.exists():
        run.create(spec.model_copy(update={"config": config}))
    if run.last_step() < arm.steps:
        for event in execute(run.path):
            if isinstance(event, RunFinished) and event.reason != "completed":
                raise RuntimeError(event.message)
    return run


def views_of(run: RunFolder, predictor: Predictor) -> dict[str, MaskToken]:
    """Return what hides parts of a scan, by the name of the view."""
    (student,) = predictor.networks
    token = make_token(predictor.config, student, predictor.spacing)
    with torch.no_grad():
        token.value.copy_(run.load_weights("student")[0]["student"]["mask_token"])
    tokens = find_network(predictor.config.network.name).tokens
    if predictor.config.masking.site == "tokens":
        return {WHOLE: Nothing(), BLIND: WithoutVoxels(token), SEES: token}
    views: dict[str, MaskToken] = {WHOLE: Nothing(), BLIND: token}
    if tokens is not None:
        views[SEES] = WithVoxels(token, tokens)
    return views


def region_dice(
    predicted: npt.NDArray[Any], reference: npt.NDArray[Any], region: npt.NDArray[np.bool_]
) -> float:
    """Return the mean Dice of the classes that a region holds, of what lies in it alone."""
    indices = [int(k) for k in sorted(set(reference[region].tolist())) if 0 < k < 255]
    scores = [dice((predicted == k) & region, (reference == k) & region) for k in indices]
    return mean(scores) if scores else float("nan")


def measured(
    arm: Arm, run: RunFolder, dataset: Dataset, case: str, draws: int
) -> list[dict[str, object]]:
    """Score one scan under several masks, seen in each way."""
    import numpy as np

    predictor = load_predictor(run, "student", choose_compute(run.spec().config.device))
    config, scan = predictor.config, dataset.preview
    assert scan is not None
    assert scan.labels is not None
    reference = scan.labels.numpy()
    axis = choose_axis(config.masking.axis, [s.source_spacing for s in dataset.training])
    # Masks on the grid of tokens, and so the same for both sites.
    has_tokens = find_network(config.network.name).tokens is not None
    aligned = config.updated({"masking": {"site": "tokens" if has_tokens else "voxels"}})
    views = views_of(run, predictor)
    rows: list[dict[str, object]] = []
    for draw in range(draws):
        rng = np.random.default_rng([draw, *scan.image.shape])
        masked = MaskedScan(scan, aligned, axis, predictor.spacing, rng)
        hidden = masked.mask.numpy()
        for view, token in views.items():
            work = masked.probabilities(predictor.networks[0], token, predictor.compute)
            predicted = drained(work, lambda: False).argmax(0).numpy()
            rows.append(
                {
                    **dict(zip(RUN_COLUMNS, arm.key, strict=True)),
                    "scan": case,
                    "draw": draw,
                    "hidden": round(float(hidden.mean()), 4),
                    "view": view,
                    "inside": round(region_dice(predicted, reference, hidden), 4),
                    "outside": round(region_dice(predicted, reference, ~hidden), 4),
                }
            )
    return rows


def append_rows(path: Path, rows: Sequence[dict[str, object]]) -> None:
    new = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)


def table(rows: Sequence[dict[str, str]]) -> str:
    """Return a Markdown table: means over scans and draws, then over seeds, with their spread."""
    lines = [
        f"`python {shlex.join(sys.argv)}`, {platform.processor() or platform.machine()}, "
        f"torch {torch.__version__}",
        "",
        "| network | hidden in training | steps | seen | Dice inside | Dice outside | inside − "
        "outside | seeds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    groups: dict[tuple[str, ...], dict[str, list[dict[str, str]]]] = {}
    for row in rows:
        key = (row["network"], row["site"], row["steps"], row["view"])
        groups.setdefault(key, {}).setdefault(row["seed"], []).append(row)
    for key, seeds in groups.items():
        inside, outside = (
            [mean(_numbers(rows, column)) for rows in seeds.values()]
            for column in ("inside", "outside")
        )
        gaps = [a - b for a, b in zip(inside, outside, strict=True)]
        cells = [*key, *(_with_spread(values) for values in (inside, outside, gaps)), len(seeds)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, ""])


def _numbers(rows: Sequence[dict[str, str]], column: str) -> list[float]:
    return [float(row[column]) for row in rows if row[column] != "nan"] or [float("nan")]


def _with_spread(values: Sequence[float]) -> str:
    spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{mean(values):.3f}{spread}"


def held_out_as_preview(cases: Sequence[Case], name: str, count: int) -> tuple[Case, ...]:
    """Return the training scans, and of those held out the one to look at."""
    shown = [case.model_copy(update={"role": "preview"}) for case in cases if case.name == name]
    return (*cases[:-count], *shown)


def options_given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--networks", nargs="+", default=["unetr"])
    parser.add_argument("--sites", nargs="+", default=["voxels", "tokens"])
    parser.add_argument("--held-out", type=int, default=1, help="the last so many training scans")
    parser.add_argument("--draws", type=int, default=4, help="masks a scan")
    parser.add_argument("--set", nargs="+", default=[], metavar="SECTION.NAME=VALUE")
    return parser.parse_args()


def config_of(arm: Arm, settings: Sequence[str]) -> RunConfig:
    config = RunConfig().updated({"training": {"preview_every": 0.0}})
    return config.updated(parse_changes(settings)).updated(
        {
            "network": {"name": arm.network},
            "masking": {"site": arm.site},
            "training": {"seed": arm.seed, "steps": arm.steps},
        }
    )


def main() -> None:
    options = options_given()
    cases, names = decathlon_cases(options.dataset)
    spec = RunSpec(cases=cases[: -options.held_out], class_names=names)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "leak.csv"
    arms = [
        Arm(network, site, seed, options.steps)
        for seed in options.seeds
        for network in options.networks
        for site in options.sites
        if site == "voxels" or find_network(network).tokens
    ]
    for arm in arms:
        config = config_of(arm, options.set)
        for name in (case.name for case in cases[-options.held_out :]):
            rows = finished_rows(path)
            if any((*arm.key, name) == tuple(r[c] for c in (*RUN_COLUMNS, "scan")) for r in rows):
                continue
            run = trained(arm, config, spec, options.out / "runs" / arm.name)
            shown = held_out_as_preview(cases, name, options.held_out)
            looked_at = spec.model_copy(update={"config": config, "cases": shown})
            dataset = drained(load_dataset(looked_at, run.path / "cache"), lambda: False)
            append_rows(path, measured(arm, run, dataset, name, options.draws))
            # After each, so that what is done can be read while the rest goes on.
            (options.out / "leak.md").write_text(table(finished_rows(path)), encoding="utf-8")
            print(f"{arm.name}: {name} measured", flush=True)
    print(table(finished_rows(path)))


if __name__ == "__main__":
    main()
