"""What is probed: which runs on which scans; and the folder that keeps what came out."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from napari_medcontext.core.asked_folder import AskedFolder
from napari_medcontext.core.config import Case, RunConfig
from napari_medcontext.core.presets import PRESETS, with_preset
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.settings import Settings

MEASURE = 1
"""Counts up when something else is measured, so that older rows are not taken for it."""


class ProbeSpec(Settings):
    """The runs to compare, and the labelled scans to compare them on."""

    runs: Annotated[tuple[Path, ...], Field(min_length=1)]
    scans: Annotated[tuple[Case, ...], Field(min_length=1)]
    organs: tuple[str, ...] = Field(
        default=(), description="Names or ids of the classes to hide. Empty: all."
    )
    draws: Annotated[int, Field(ge=1)] = Field(default=3, description="Boxes round each organ.")
    seed: Annotated[int, Field(ge=0)] = 0
    command: str = Field(default="", description="What was typed to do this, for the report.")


class ProbeFolder(AskedFolder[ProbeSpec]):
    """The folder of a probe: ``probe.yaml``, ``parts/`` (a table a run and scan), the results."""

    spec_type = ProbeSpec
    spec_name = "probe.yaml"

    @property
    def report(self) -> Path:
        """The file that says what came out, ``probe.md``."""
        return self.path / "probe.md"

    def part(self, run: RunFolder, case: Case) -> Path:
        """Return the file of what a run's present weights make of a scan.

        It has another name where weights, scan, labels or the way of measuring are others.
        """
        spec, state = self.spec(), run.state_to_predict_with()
        files = [path for path in (state, case.image, case.labels) if path is not None]
        facts = [
            MEASURE,
            [[str(path.absolute()), path.stat().st_mtime_ns] for path in files],
            spec.organs,
            spec.draws,
            spec.seed,
        ]
        key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]
        name = re.sub(r"[^\w.]+", "_", f"{run.name}-{case.name}").strip("_")
        return self.path / "parts" / f"{name}-{key}.csv"


def run_names(runs: Sequence[Path]) -> list[str]:
    """Return what runs are called: their folders' names, or paths where two have the same."""
    names = [path.name for path in runs]
    return [
        str(path) if names.count(name) > 1 else name for path, name in zip(runs, names, strict=True)
    ]


def method_of(config: RunConfig) -> str:
    """Return how a run was trained, in a word: its network, and the preset that it followed.

    Where it followed none, the method itself.
    """
    followed = (name for name in PRESETS if _follows(config, name))
    return f"{config.network.name} · {next(followed, config.objective.method)}"


def _follows(config: RunConfig, preset: str) -> bool:
    meant = with_preset(config, preset)
    if not meant.objective.has_masked_view:
        # What is hidden makes no difference to who never hides anything.
        return meant.objective == config.objective
    return (meant.objective, meant.masking) == (config.objective, config.masking)
