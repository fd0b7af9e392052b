"""Predict whole scans window by window, and bring the answer back onto the scan's grid."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_medcontext.core import transforms
from napari_medcontext.core.channels import require_channels
from napari_medcontext.core.classes import Classes
from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.device import Compute, choose_compute
from napari_medcontext.core.errors import RunError
from napari_medcontext.core.masking.sites import make_token
from napari_medcontext.core.masking.token import MaskToken
from napari_medcontext.core.networks import build_network
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.volume import Spacing, Volume
from napari_medcontext.core.weights import Weights
from napari_medcontext.core.windows import windowed_probabilities

Which = Literal["student", "teacher", "mean"]
OVERLAP = 0.5


class Cancelled(Exception):
    """Somebody asked to stop in the middle of a prediction."""


@dataclass(frozen=True)
class Prediction:
    """A predicted label volume on its scan's own grid, and probabilities if asked for.

    ``probabilities`` maps each foreground class id to float32 of the scan's shape. Where
    regions were learned, an id is a region's number in their table, from 1, and the label
    volume shows the innermost region at each voxel.
    """

    labels: Volume
    probabilities: Mapping[int, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Predictor:
    """Trained networks with all that is needed to apply them.

    Several networks answer with the mean of their probabilities. ``token`` is what the student
    learned to see in hidden places; none where it is not among them, or never saw any.
    ``channels`` names what it takes of a scan; none is a single channel without a name.
    """

    networks: Sequence[nn.Module]
    config: RunConfig
    classes: Classes
    spacing: Spacing
    compute: Compute
    token: MaskToken | None = None
    channels: Sequence[str] = ()

    @property
    def resamples(self) -> bool:
        """Whether channels on another grid than the first are to be brought onto it."""
        return self.config.data.resample

    def predict(
        self, *channels: Volume, probabilities: bool = False
    ) -> Generator[float, None, Prediction]:
        """Segment a scan.

        Parameters
        ----------
        channels
            Those of the scan, in the network's order, all on one grid of any orientation.
        probabilities
            Whether to return the probability of each class too.

        Yields
        ------
        float
            Share of the windows that are done.

        Returns
        -------
        Prediction
            On the scan's own grid, with the classes' own ids, or the regions' numbers.

        Raises
        ------
        ScanError
            If there are other channels than the network takes, or one cannot be used.
        """
        scan = channels[0]
        require_channels(channels, self.channels)
        image, prepared = transforms.prepare_channels(channels, self.spacing, self.config.data)
        answer = yield from windowed_probabilities(
            self.networks,
            torch.as_tensor(image),
            self.config.data.patch_size,
            self.compute,
            overlap=OVERLAP,
            exclusive=not self.classes.regions,
        )
        decided = transforms.class_map_on(answer, prepared.affine, scan, self.classes.decide)
        labels = Volume(
            self.classes.to_ids(decided), scan.affine, scan.name, dict(self.classes.names)
        )
        maps = {
            class_id: transforms.probability_on(answer[index], prepared.affine, scan)
            for class_id, index in self.classes.output_by_id.items()
            if probabilities
        }
        return Prediction(labels, maps)


def load_predictor(run: RunFolder, which: Which, compute: Compute | None = None) -> Predictor:
    """Build a run's networks with its trained weights.

    Parameters
    ----------
    run
        The run; it may still be training.
    which
        ``"student"`` (the paper found it better), ``"teacher"``, or the ``"mean"`` of both.
    compute
        Where to compute; by default as the run's settings say.

    Raises
    ------
    RunError
        If weights are missing, damaged, foreign, or do not fit the run's network.
    """
    spec = run.spec()
    config, channels = spec.config, spec.channels
    names: tuple[Weights, ...] = ("student", "teacher") if which == "mean" else (which,)
    if which != "student" and not config.objective.has_teacher:
        raise RunError(f"{run.path} was trained without a teacher. Choose the student's weights.")
    compute = compute or choose_compute(config.device)
    weights, facts, state = run.load_weights(*names)
    networks: list[nn.Module] = []
    misfit = (
        f"The weights in {state} do not fit the network {config.network.name} "
        f"({config.network.size}) of {run.spec_path}. Were the settings changed?"
    )
    try:
        classes, (x, y, z) = _classes(facts), json.loads(facts["spacing"])
    except (KeyError, ValueError) as error:
        raise RunError(misfit) from error
    token: MaskToken | None = None
    for tensors in weights.values():
        network = build_network(
            config.network,
            channels=max(1, len(channels)),
            classes=classes.outputs,
            patch_size=config.data.patch_size,
        )
        learned = tensors.pop("mask_token", None)
        networks.append(network.eval().to(compute.device))
        try:
            network.load_state_dict(tensors)
            if learned is not None and config.objective.has_masked_view:
                token = make_token(config, network, (x, y, z), max(1, len(channels)))
                token.load_state_dict({"value": learned})
        except RuntimeError as error:
            raise RunError(misfit) from error
    return Predictor(networks, config, classes, (x, y, z), compute, token, channels)


def _classes(facts: Mapping[str, str]) -> Classes:
    """Read what a network's outputs mean from its file of weights."""
    names = {int(k): name for k, name in json.loads(facts["class_names"]).items()}
    regions = tuple(tuple(members) for members in json.loads(facts.get("regions", "[]")))
    return Classes(tuple(json.loads(facts["class_ids"])), names, regions)


def drained(work: Generator[Any, None, Any], should_stop: Callable[[], bool]) -> Any:
    """Run a generator to its end and return what it returns.

    Raises
    ------
    Cancelled
        If ``should_stop`` says so in between.
    """
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value
        if should_stop():
            work.close()
            raise Cancelled
