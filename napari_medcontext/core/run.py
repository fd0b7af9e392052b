"""The run folder of a training: settings, states, weights and log, each whole at any moment.

::

    run.yaml            settings and scans, readable
    log.csv             one row a step
    validation.csv      one row a validation and class
    states/step-000320  the newest state: student, teacher, optimizer
    states/best-000300  the weights that were best on the validation scans
    scans/              copies of the layers that were trained on, if any
    cache/              prepared scans
    events.jsonl, previews/, control, heartbeat.json, output.log   (see ``WorkFolder``)

Importing this module imports no torch; only saving and loading states does.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_medcontext.core.config import RunSpec
from napari_medcontext.core.errors import RunError
from napari_medcontext.core.folder import WorkFolder
from napari_medcontext.core.io import atomic_path
from napari_medcontext.core.settings import dump, load

if TYPE_CHECKING:
    from torch import Tensor

Weights = Literal["student", "teacher"]
LOG_COLUMNS = (
    "step",
    "dice_ce",
    "dice_ce_masked",
    "consistency",
    "momentum",
    "learning_rate",
    "seconds",
)
VALIDATION_COLUMNS = ("step", "class_id", "class_name", "dsc")
LOOKUPS = 3
"""So often are weights looked for that a running training replaces meanwhile."""


class RunFolder(WorkFolder):
    """The folder of one training run."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        self._unwritten: dict[str, list[Mapping[str, object]]] = {}

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    @property
    def spec_path(self) -> Path:
        """The file of settings and scans."""
        return self.path / "run.yaml"

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
        if self.exists() and not self._ended_before_first_step():
            raise RunError(f"{self.path} holds a run already. Resume it, or choose another folder.")

    def save_spec(self, spec: RunSpec) -> None:
        """Replace settings and scans."""
        with atomic_path(self.spec_path) as temporary:
            temporary.write_text(dump(spec), encoding="utf-8")

    def spec(self) -> RunSpec:
        """Read settings and scans."""
        if not self.exists():
            raise RunError(
                f"{self.path} is no run folder: it has no run.yaml. Choose the folder that a "
                "training wrote."
            )
        return load(RunSpec, self.spec_path)

    def newest_state(self) -> Path | None:
        """Return the folder of the newest whole state."""
        return _newest(self.path / "states", "step-")

    def best_state(self) -> Path | None:
        """Return the folder of the weights that validated best, where there was validation."""
        return _newest(self.path / "states", "best-")

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
        import torch
        from safetensors.torch import save_file

        prefix = "best-" if rest is None else "step-"
        states = self.path / "states"
        final, temporary = states / f"{prefix}{step:06d}", states / f".writing-{prefix}{step:06d}"
        aside = _aside(final)
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            for name, tensors in weights.items():
                contiguous = {key: tensor.contiguous() for key, tensor in tensors.items()}
                save_file(contiguous, temporary / f"{name}.safetensors", metadata=dict(facts))
            if rest is not None:
                torch.save(dict(rest), temporary / "optimizer.pt")
            if final.exists():
                shutil.rmtree(aside, ignore_errors=True)
                final.rename(aside)
            temporary.rename(final)
            shutil.rmtree(aside, ignore_errors=True)
        except OSError as error:
            raise RunError(
                f"{states} cannot be written ({error.strerror or error}). Make room on the disk; "
                "the last good state is kept."
            ) from error
        for older in states.glob(f"{prefix}*"):
            if older != final:
                shutil.rmtree(older, ignore_errors=True)
        return final

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
            state = self._state_to_predict_with()
            try:
                return self._weights_in(state, names)
            except RunError:
                # Replaced meanwhile; the listing may even have missed the old and the new one.
                if state is not None and state == self._state_to_predict_with():
                    raise
        return self._weights_in(self._state_to_predict_with(), names)

    def load_state(
        self,
    ) -> tuple[int, dict[Weights, dict[str, Tensor]], dict[str, Any]] | None:
        """Read the newest state to go on from: its step, weights and optimizer."""
        import torch

        state = self.newest_state()
        if state is None:
            return None
        supervised = self.spec().config.objective.method == "supervised"
        names: tuple[Weights, ...] = ("student",) if supervised else ("student", "teacher")
        weights = {name: _read_weights(state / f"{name}.safetensors")[0] for name in names}
        file = state / "optimizer.pt"
        try:
            rest = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:
            raise RunError(
                f"{file} cannot be read ({type(error).__name__}); it is missing, cut short or not "
                "from napari-medcontext. Predict with the run as it is, or train anew."
            ) from error
        return self.last_step(), weights, rest

    def append_log(self, row: Mapping[str, object]) -> None:
        """Add one step to ``log.csv``; where that fails, together with the next."""
        self._append("log.csv", LOG_COLUMNS, [row])

    def append_validation(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Add one validation to ``validation.csv``; where that fails, together with the next."""
        self._append("validation.csv", VALIDATION_COLUMNS, rows)

    def drop_best_after(self, step: int) -> None:
        """Forget best weights of steps that a resumed run will do again."""
        for best in (self.path / "states").glob("best-*"):
            if int(best.name.removeprefix("best-")) > step:
                # Renamed first: nobody shall take a half of it for the best.
                aside = _aside(best)
                shutil.rmtree(aside, ignore_errors=True)
                best.rename(aside)
                shutil.rmtree(aside, ignore_errors=True)

    def truncate_logs(self, step: int) -> None:
        """Forget logged steps after ``step``, which will be done again."""
        for name in ("log.csv", "validation.csv"):
            path = self.path / name
            if path.is_file() and path.stat().st_size:
                header, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
                kept = [row for row in rows if row.endswith("\n") and _step_of(row) <= step]
                with atomic_path(path) as temporary:
                    temporary.write_text("".join([header, *kept]), encoding="utf-8")

    def _state_to_predict_with(self) -> Path | None:
        return self.best_state() or self.newest_state()

    def _weights_in(
        self, state: Path | None, names: Sequence[Weights]
    ) -> tuple[dict[Weights, dict[str, Tensor]], dict[str, str], Path]:
        if state is None:
            raise RunError(
                f"{self.path} has no weights yet: its training has not saved a state. "
                "Let it train for a moment."
            )
        read = {name: _read_weights(state / f"{name}.safetensors") for name in names}
        weights = {name: tensors for name, (tensors, _) in read.items()}
        return weights, read[names[-1]][1], state

    def _append(
        self, name: str, columns: Sequence[str], rows: Sequence[Mapping[str, object]]
    ) -> None:
        rows = [*self._unwritten.pop(name, []), *rows]
        try:
            _add_rows(self.path / name, columns, rows)
        except OSError:
            # A full disk, or a spreadsheet that locks the file, must not end the training.
            self._unwritten[name] = rows

    def _ended_before_first_step(self) -> bool:
        tried = (self.path / "events.jsonl").is_file()
        learned = (self.path / "log.csv").is_file() or self.newest_state() is not None
        return tried and not learned and not self.is_alive()


def _newest(states: Path, prefix: str) -> Path | None:
    found = [path for path in states.glob(f"{prefix}*") if path.is_dir()]
    return max(found, default=None)


def _aside(state: Path) -> Path:
    """Return where a state waits for its removal, out of the sight of readers."""
    return state.with_name(f".old-{state.name}")


def _read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        problem = "is missing" if not path.exists() else f"is cut short or damaged ({error})"
        raise RunError(
            f"The weight file {path} {problem}. Restore the run folder from a copy, or train anew."
        ) from error
    if "napari_medcontext" not in facts:
        raise RunError(
            f"The weight file {path} was not written by napari-medcontext. Choose the folder of a "
            "run that was trained here."
        )
    return tensors, facts


def _add_rows(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    """Add rows to a table whole, or not at all."""
    size = path.stat().st_size if path.exists() else 0
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    if not size:
        writer.writeheader()
    writer.writerows(rows)
    try:
        with path.open("a", newline="", encoding="utf-8") as file:
            file.write(text.getvalue())
    except OSError:
        with contextlib.suppress(OSError):
            os.truncate(path, size)
        raise


def _step_of(row: str) -> int:
    text = row.split(",", 1)[0]
    return int(text) if text.isdigit() else 2**31
