"""Train: a plain generator of events, the same in a test, a terminal, a thread or a process."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial

import numpy as np

from napari_medcontext.core.checkpoints import MEMORY_ADVICE, Checkpoints
from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.dataset import Dataset
from napari_medcontext.core.device import (
    Compute,
    explained_memory_errors,
    gradients_are_unsafe,
    release_memory,
)
from napari_medcontext.core.errors import TrainingError
from napari_medcontext.core.events import (
    CheckpointSaved,
    Event,
    Paused,
    Preparing,
    Resumed,
    RunFinished,
    RunStarted,
    StepFinished,
    ValidationFinished,
    Warned,
)
from napari_medcontext.core.inference import Cancelled
from napari_medcontext.core.learner import Learner, StepResult
from napari_medcontext.core.masking import AXES, check_masking, choose_axis
from napari_medcontext.core.networks import check_patch_size
from napari_medcontext.core.parallel.team import Team
from napari_medcontext.core.prefetch import Prefetcher
from napari_medcontext.core.preview_series import PreviewSeries
from napari_medcontext.core.previews import PreviewMaker
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.sampler import PatchSampler
from napari_medcontext.core.timeline import Timeline
from napari_medcontext.core.validation import validated_dice

Question = Callable[[], bool]
PAUSE_POLL_SECONDS = 0.1


def train(
    config: RunConfig,
    dataset: Dataset,
    *,
    run: RunFolder | None = None,
    should_stop: Question = lambda: False,
    should_pause: Question = lambda: False,
    save_at: Collection[int] = (),
    team: Team | None = None,
) -> Iterator[Event]:
    """Train a network, step by step.

    Parameters
    ----------
    config
        All settings.
    dataset
        Prepared scans.
    run
        Where to save states and the log, and to go on from; ``None`` saves nothing.
    should_stop, should_pause
        Asked after each step. A stopped run saves its state and ends.
    save_at
        Steps after which the state is saved besides; whoever iterates may read it there.
    team
        The processes that learn together, of which this is the first; see ``parallel.follow``
        for the others. ``None`` is this one alone.

    Yields
    ------
    Event
        ``Warned`` of what is odd, ``RunStarted``, a ``StepFinished`` for each step, validations,
        previews and saved states in between, and ``RunFinished`` at the end.

    Raises
    ------
    SettingsError, RunError, TrainingError, OutOfMemoryError
        With what to change.
    """
    check_patch_size(config.network.name, config.data.patch_size)
    team = team or Team()
    compute = team.compute(config.device)
    if gradients_are_unsafe(compute):
        yield Warned(
            "On a processor PyTorch may learn wrongly in bfloat16, above all on small patches. "
            "Choose the precision “auto” or “float32”."
        )
    training = _Training(config, dataset, run, compute, should_stop, should_pause, save_at, team)
    try:
        with explained_memory_errors(MEMORY_ADVICE):
            yield from training.events()
    finally:
        training.close()
        del training
        release_memory(compute.device)


def mask_axis(config: RunConfig, dataset: Dataset) -> int:
    """Return the index of the axis along which columns are hidden."""
    return choose_axis(config.masking.axis, [scan.source_spacing for scan in dataset.training])


def make_learner(
    config: RunConfig, dataset: Dataset, run: RunFolder | None, compute: Compute, team: Team
) -> Learner:
    """Return what learns, as yet untrained; parameters as in ``train``.

    Raises
    ------
    SettingsError, OutOfMemoryError
        With what to change.
    """
    with explained_memory_errors(MEMORY_ADVICE):
        return Learner(
            config,
            dataset.classes.outputs,
            mask_axis(config, dataset),
            compute,
            dataset.classes.membership,
            dataset.spacing,
            channels=len(dataset.training[0].image),
            resumed=run is not None and run.newest_state() is not None,
            team=team,
        )


class _Training:
    def __init__(
        self,
        config: RunConfig,
        dataset: Dataset,
        run: RunFolder | None,
        compute: Compute,
        should_stop: Question,
        should_pause: Question,
        save_at: Collection[int],
        team: Team,
    ) -> None:
        self._config, self._dataset, self._run = config, dataset, run
        self._compute, self._team = compute, team
        self._should_stop, self._should_pause = should_stop, should_pause
        self._save_at = save_at
        self._mask_axis = mask_axis(config, dataset)
        if config.objective.has_masked_view:
            check_masking(config, self._mask_axis, dataset.spacing)
        self._learner = make_learner(config, dataset, run, compute, team)
        self._batches = Prefetcher(PatchSampler(dataset.training, config, team))
        self._checkpoints = Checkpoints(run, self._learner, config, dataset)
        self._checkpoints.restore()
        team.align(self._learner.step, self._learner.tensors())
        self._previews = self._preview_series()

    def close(self) -> None:
        """End the prefetching thread and drop everything big."""
        self._batches.close()
        self.__dict__.clear()

    def _preview_series(self) -> PreviewSeries | None:
        """Return what makes previews; what was kept of steps that are done again is forgotten."""
        timeline, config, dataset = None, self._config, self._dataset
        if self._run is not None:
            timeline = Timeline(self._run.path, config.training.kept_previews)
            timeline.forget_after(self._learner.step)
        if dataset.preview is None:
            return None
        maker = PreviewMaker(
            dataset.preview,
            dataset.classes,
            config,
            self._mask_axis,
            self._compute,
            dataset.spacing,
        )
        return PreviewSeries(maker, config.training.preview_every, timeline, dataset.classes.names)

    def events(self) -> Iterator[Event]:
        if self._learner.pretrained is not None:
            yield Preparing(self._learner.pretrained.text, 1, 1)
        yield self._started()
        steps, training = self._config.training.steps, self._config.training
        while self._learner.step < steps:
            yield from self._wait_while_paused()
            if self._should_stop():
                break
            self._team.tell(True)
            yield self._one_step()
            step = self._learner.step
            last = step == steps
            if self._dataset.validation and (last or step % training.validate_every == 0):
                yield from self._unless_stopped(self._validate)
            # With each new best too, or a kill would send the run back to before it.
            new_best = self._checkpoints.best.step == step
            asked = step in self._save_at
            due = self._checkpoints.due(training.checkpoint_every)
            if last or new_best or asked or due:
                yield from self._save_if_needed()
            yield from self._preview_if_due(last)
        self._team.tell(False)
        yield from self._save_if_needed()
        yield self._finished()

    def _started(self) -> RunStarted:
        config = self._config
        return RunStarted(
            first_step=self._learner.step,
            steps=config.training.steps,
            device=self._team.title(self._compute),
            precision=self._compute.precision,
            parameters=sum(p.numel() for p in self._learner.student.parameters()),
            network=config.network.name,
            method=config.objective.method,
            mask_axis=AXES[self._mask_axis],
            class_names=dict(self._dataset.classes.names),
            spacing=self._dataset.spacing,
            validated=bool(self._dataset.validation),
            mask_scheme=config.masking.scheme if config.objective.has_masked_view else "",
        )

    def _one_step(self) -> StepFinished:
        started = time.perf_counter()
        step = self._learner.step
        result = self._learner.learn(self._batches.batch(step, self._config.training.steps))
        seconds = time.perf_counter() - started
        if not np.isfinite(sum(result.losses.values())):
            raise TrainingError(
                f"The loss is no finite number any more at step {step + 1} ({result.losses}). "
                "Lower the learning rate or the gradient clip, or choose the precision float32, "
                "in a new run; what was saved before is kept."
            )
        event = StepFinished(
            step + 1, result.losses, result.momentum, result.learning_rate, seconds
        )
        if self._run:
            self._run.append_log(_log_row(event, result))
        return event

    def _wait_while_paused(self) -> Iterator[Event]:
        if not self._should_pause():
            return
        yield from self._save_if_needed()
        yield Paused(self._learner.step)
        while self._should_pause() and not self._should_stop():
            time.sleep(PAUSE_POLL_SECONDS)
        if not self._should_stop():
            yield Resumed(self._learner.step)

    def _unless_stopped(self, work: Callable[[], Event]) -> Iterator[Event]:
        try:
            yield work()
        except Cancelled:
            return

    def _preview_if_due(self, last: bool) -> Iterator[Event]:
        previews = self._previews
        if previews is not None and previews.is_due(last=last):
            make = partial(previews.make, self._learner, self._should_stop)
            yield from self._unless_stopped(make)

    def _validate(self) -> Event:
        by_class = validated_dice(
            self._learner.student,
            self._dataset.validation,
            self._dataset.classes,
            self._config.data.patch_size,
            self._compute,
            self._should_stop,
        )
        mean = float(np.mean(list(by_class.values()))) if by_class else 0.0
        if self._run:
            self._run.append_validation(self._validation_rows(by_class))
        best = self._checkpoints.keep_if_best(mean)
        return ValidationFinished(self._learner.step, by_class, mean, best)

    def _validation_rows(self, by_class: Mapping[int, float]) -> list[dict[str, object]]:
        names = self._dataset.classes.names
        return [
            {"step": self._learner.step, "class_id": k, "class_name": names[k], "dsc": dsc}
            for k, dsc in by_class.items()
        ]

    def _save_if_needed(self) -> Iterator[Event]:
        if self._checkpoints.save():
            yield CheckpointSaved(self._learner.step)

    def _finished(self) -> RunFinished:
        step, steps = self._learner.step, self._config.training.steps
        if step < steps:
            return RunFinished("stopped", step, f"Stopped after step {step} of {steps}; kept.")
        if self._checkpoints.best.step:
            kept = f"the best weights are those of step {self._checkpoints.best.step}, "
            kept += f"with a Dice of {self._checkpoints.best.mean_dsc:.3f} on validation"
        else:
            kept = "the last weights are kept, since there is no validation scan"
        return RunFinished("completed", step, f"Finished {steps} steps; {kept}.")


def _log_row(event: StepFinished, result: StepResult) -> dict[str, object]:
    return {
        "step": event.step,
        **result.losses,
        "momentum": event.momentum,
        "learning_rate": event.learning_rate,
        "seconds": round(event.seconds, 4),
    }
