"""The run folder of a training: settings, states, weights and log, each whole at any moment.

::

    run.yaml            settings and scans, readable
    log.csv             one row a step
    validation.csv      one row a validation and class
    states/step-000320  the newest state: student, teacher, optimizer
    states/best-000300  the weights that were best on the validation scans
    timeline/           labels of previews at steps spread over the run, see ``timeline``
    scans/              copies of the layers that were trained on, if any
    cache/              prepared scans
    events.jsonl, previews/, control, heartbeat.json, output.log   (see ``WorkFolder``)

Importing this module imports no torch; only saving and loading states does.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_medcontext.core.config import RunSpec
from napari_medcontext.core.errors import RunError
from napari_medcontext.core.folder import STUDY_FILE, WorkFolder
from napari_medcontext.core.io import atomic_path
from napari_medcontext.core.log_table import LOG_COLUMNS, VALIDATION_COLUMNS, LogTable
from napari_medcontext.core.settings import dump, load
from napari_medcontext.core.weights import (
    Weights,
    newest_in,
    read_optimizer,
    read_weights,
    remove_state,
    weight_file,
    write_state,
)

if TYPE_CHECKING:
    from torch import Tensor

BEFORE_A_RUN = ("scans", "cache", "control", "events.jsonl", "heartbeat.json", "output.log")
"""What may lie in a run's folder before its settings do: those who start it come first."""
LOOKUPS = 3
"""So often are weights looked for that a running training replaces meanwhile."""


class RunFolder(WorkFolder):
    """The folder of one training run."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        self._steps = LogTable(self.path / "log.csv", LOG_COLUMNS)
        self._validations = LogTable(self.path / "validation.csv", VALIDATION_COLUMNS)

    @property
    def spec_path(self) -> Path:
        """The file of settings and scans."""
        return self.path / "run.yaml"

    @property
    def states(self) -> Path:
        """The folder of states."""
        return self.path / "states"

    def exists(self) -> bool:
        """Say whether a run has been made here."""
        return self.spec_path.is_file()

    def create(self, spec: RunSpec) -> RunFolder:
        """Make the folder and write its settings.

        Raises
        ------
        RunError
            If the folder holds a run already, unless that ended before its first step.
        MedContextError
            If it cannot be written.
        """
        self.require_free()
        self.save_spec(spec)
        return self

    def require_free(self) -> None:
        """Refuse a folder that holds a run.

        A run that ended before its first step, on a scan that could not be used for example,
        left nothing to lose: the same folder takes the corrected one.

        Raises
        ------
        RunError
            If there is something to lose, or somebody at work.
        """
        if (self.path / STUDY_FILE).exists():
            raise RunError(
                f"{self.path} holds a comparison of methods. Resume it, or choose another folder."
            )
        if self.exists() and not self._ended_before_first_step():
            raise RunError(f"{self.path} holds a run already. Resume it, or choose another folder.")
        foreign = [] if self.exists() else self._foreign()
        if foreign:
            raise RunError(
                f"{self.path} holds other files ({', '.join(foreign[:3])}). Choose a new or an "
                "empty folder for the run."
            )

    def save_spec(self, spec: RunSpec) -> None:
        """Replace settings and scans."""
        with atomic_path(self.spec_path) as temporary:
            temporary.write_text(dump(spec), encoding="utf-8")

    def spec(self) -> RunSpec:
        """Read settings and scans; raises as ``require``, or if they cannot be read."""
        self.require()
        return load(RunSpec, self.spec_path)

    def require(self) -> None:
        """Raise a ``RunError`` if no run has been made here."""
        if not self.exists():
            raise RunError(
                f"{self.path} is no run folder: it has no run.yaml. Choose the folder that a "
                "training wrote."
            )

    def newest_state(self) -> Path | None:
        """Return the folder of the newest whole state."""
        return newest_in(self.states, "step-")

    def best_state(self) -> Path | None:
        """Return the folder of the weights that validated best, where there was validation."""
        return newest_in(self.states, "best-")

    def state_to_predict_with(self) -> Path | None:
        """Return the state whose weights predict: the best where there was validation."""
        return self.best_state() or self.newest_state()

    def weight_file(self, network: Weights) -> Path:
        """Return the file of the weights that a network predicts with.

        Raises
        ------
        RunError
            If no state has been saved yet.
        """
        return weight_file(self._required(self.state_to_predict_with()), network)

    def last_step(self) -> int:
        """Return the number of steps in the newest state; 0 where there is none."""
        newest = self.newest_state()
        return int(newest.name.removeprefix("step-")) if newest else 0

    def save_state(
        self,
        step: int,
        weights: Mapping[str, Mapping[str, Tensor]],
        facts: Mapping[str, str],
        rest: Mapping[str, Any] | None,
    ) -> Path:
        """Write a state beside the last one, rename it into place, then drop the last.

        Parameters
        ----------
        step
            Steps done.
        weights
            ``student``, ``teacher``: name to tensors; written as safetensors.
        facts
            Written into each weight file's header: enough to build the network again.
        rest
            Optimizer and the like; ``None`` saves the weights as the best so far instead.
        """
        prefix = "best-" if rest is None else "step-"
        state = self.states / f"{prefix}{step:06d}"
        write_state(state, weights, facts, rest)
        for older in self.states.glob(f"{prefix}*"):
            if older != state:
                shutil.rmtree(older, ignore_errors=True)
        return state

    def load_weights(
        self, *names: Weights
    ) -> tuple[dict[Weights, dict[str, Tensor]], dict[str, str], Path]:
        """Read networks' weights: the best where there was validation, else the newest.

        All are of one state, even while a training saves the next.

        Returns
        -------
        weights, facts, path
            The tensors by network, the facts of the last one's file, and where they were read.
        """
        for _ in range(LOOKUPS - 1):
            state = self.state_to_predict_with()
            try:
                return self._weights_in(state, names)
            except RunError:
                # Replaced meanwhile; the listing may even have missed the old and the new one.
                if state is not None and state == self.state_to_predict_with():
                    raise
        return self._weights_in(self.state_to_predict_with(), names)

    def load_state(
        self,
    ) -> tuple[int, dict[Weights, dict[str, Tensor]], dict[str, Any]] | None:
        """Read the newest state to go on from: its step, weights and optimizer."""
        state = self.newest_state()
        if state is None:
            return None
        taught = self.spec().config.objective.has_teacher
        names: tuple[Weights, ...] = ("student", "teacher") if taught else ("student",)
        weights = {name: read_weights(state, name)[0] for name in names}
        return self.last_step(), weights, read_optimizer(state)

    def append_log(self, row: Mapping[str, object]) -> None:
        """Add one step to ``log.csv``; where that fails, together with the next."""
        self._steps.append([row])

    def append_validation(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Add one validation to ``validation.csv``; where that fails, together with the next."""
        self._validations.append(rows)

    def drop_best_after(self, step: int) -> None:
        """Forget best weights of steps that a resumed run will do again."""
        for best in self.states.glob("best-*"):
            if int(best.name.removeprefix("best-")) > step:
                remove_state(best)

    def truncate_logs(self, step: int) -> None:
        """Forget logged steps after ``step``, which will be done again."""
        self._steps.truncate(step)
        self._validations.truncate(step)

    def _weights_in(
        self, state: Path | None, names: Sequence[Weights]
    ) -> tuple[dict[Weights, dict[str, Tensor]], dict[str, str], Path]:
        state = self._required(state)
        read = {name: read_weights(state, name) for name in names}
        weights = {name: tensors for name, (tensors, _) in read.items()}
        return weights, read[names[-1]][1], state

    def _required(self, state: Path | None) -> Path:
        if state is None:
            raise RunError(
                f"{self.path} has no weights yet: its training has not saved a state. "
                "Let it train for a moment."
            )
        return state

    def _foreign(self) -> list[str]:
        """Return what lies here and is no part of a run that is about to begin."""
        if not self.path.is_dir():
            return []
        names = sorted(path.name for path in self.path.iterdir())
        return [name for name in names if name not in BEFORE_A_RUN and not name.startswith(".")]

    def _ended_before_first_step(self) -> bool:
        tried = (self.path / "events.jsonl").is_file()
        learned = self._steps.path.is_file() or self.newest_state() is not None
        return tried and not learned and not self.is_alive()
