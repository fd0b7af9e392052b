"""What a training keeps of itself while it learns, and goes on from."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import numpy as np

from napari_medcontext import __version__
from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.dataset import Dataset
from napari_medcontext.core.device import explained_memory_errors
from napari_medcontext.core.errors import RunError
from napari_medcontext.core.learner import Learner
from napari_medcontext.core.run import RunFolder

MEMORY_ADVICE = (
    "Lower the patch size or the patches a step, choose a smaller network, or the CPU; what was "
    "learned up to the last saved state is kept."
)


@dataclass(frozen=True)
class Best:
    """The best validation so far; step 0 before the first."""

    mean_dsc: float = -1.0
    step: int = 0


def restored(run: RunFolder, learner: Learner, config: RunConfig) -> Best | None:
    """Go on from the newest state of a run, and return its best validation; writes nothing.

    ``None`` where there is no state.

    Raises
    ------
    RunError
        If it does not fit the settings.
    """
    state = run.load_state()
    if state is None:
        return None
    step, weights, rest = state
    try:
        with explained_memory_errors(MEMORY_ADVICE):
            learner.restore(step, weights, rest)
        return Best(rest["best_mean_dsc"], rest["best_step"])
    except (KeyError, RuntimeError, ValueError) as error:
        network = config.network
        raise RunError(
            f"The state in {run.newest_state()} does not fit the network {network.name} "
            f"({network.size}) of {run.spec_path}. Were the settings changed, or files "
            "of another run put there? Put the old ones back, or train anew."
        ) from error


class Checkpoints:
    """Saves the states of a training in its run folder, and restores the newest.

    Parameters
    ----------
    run
        The folder; ``None`` saves nothing.
    learner
        What learns.
    config
        The run's settings.
    dataset
        Its scans, for the facts that prediction needs.
    """

    def __init__(
        self, run: RunFolder | None, learner: Learner, config: RunConfig, dataset: Dataset
    ) -> None:
        self.best = Best()
        self._run, self._learner = run, learner
        self._config, self._dataset = config, dataset
        # A new run is saved after its first step, so that no kill sends it back to the start.
        self._saved = -np.inf

    def due(self, every: float) -> bool:
        """Say whether the last state was saved so many seconds ago."""
        return time.monotonic() - self._saved >= every

    def save(self) -> bool:
        """Save the state unless that is done; say whether anything was saved."""
        if self._run is None or self._run.last_step() >= self._learner.step:
            return False
        rest = {
            **self._learner.rest(),
            "best_mean_dsc": self.best.mean_dsc,
            "best_step": self.best.step,
        }
        self._run.save_state(self._learner.step, self._learner.weights(), self._facts(), rest)
        self._saved = time.monotonic()
        return True

    def keep_if_best(self, mean_dsc: float) -> bool:
        """Keep the weights if none has validated better; say whether that is so."""
        if mean_dsc <= self.best.mean_dsc:
            return False
        self.best = Best(mean_dsc, self._learner.step)
        if self._run is not None:
            self._run.save_state(self.best.step, self._learner.weights(), self._facts(), None)
        return True

    def restore(self) -> None:
        """Go on from the newest state, if there is one.

        Raises
        ------
        RunError
            If it does not fit the settings.
        """
        best = restored(self._run, self._learner, self._config) if self._run else None
        if self._run is None or best is None:
            return
        self._saved = time.monotonic()
        self._run.truncate_logs(self._learner.step)
        self._run.drop_best_after(self._learner.step)
        if self._run.best_state() is not None:
            # Else the weights of that score are gone, and the next validation is the best.
            self.best = best

    def _facts(self) -> dict[str, str]:
        """Return what prediction needs to know beside the settings and the weights."""
        classes = self._dataset.classes
        return {
            "napari_medcontext": __version__,
            "class_ids": json.dumps(classes.ids),
            "class_names": json.dumps(dict(classes.names)),
            "regions": json.dumps(classes.regions),
            "spacing": json.dumps(self._dataset.spacing),
        }
