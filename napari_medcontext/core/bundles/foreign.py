"""Bundles that others wrote: one network, MONAI's transforms before and after, windows between."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer
from monai.transforms import Compose, Invertd
from torch import nn

from napari_medcontext.core.bundles import (
    MODEL,
    BundleError,
    allowed,
    input_channels,
    read_inference,
)
from napari_medcontext.core.bundles.plain import Component, PlainConfig
from napari_medcontext.core.channels import require_channels
from napari_medcontext.core.classes import Classes
from napari_medcontext.core.device import Compute, choose_compute, explained_memory_errors
from napari_medcontext.core.inference import Prediction
from napari_medcontext.core.io import smallest_label_dtype
from napari_medcontext.core.pretrained import read_state
from napari_medcontext.core.training_settings import DeviceSettings
from napari_medcontext.core.volume import Volume
from napari_medcontext.core.windows import MEMORY_ADVICE

IMAGE, ANSWER = "image", "pred"


@dataclass(frozen=True)
class ForeignPredictor:
    """A network of somebody else's bundle, with all that is done before and after it.

    Parameters
    ----------
    source
        The bundle, for messages.
    preparing, finishing
        MONAI's transforms of a mapping with ``image``, and of one with ``pred`` too.
    """

    source: str
    network: nn.Module
    inferer: SlidingWindowInferer
    preparing: Compose
    finishing: Compose
    classes: Classes
    compute: Compute
    channels: Sequence[str] = ()
    resamples: bool = False

    @torch.inference_mode()
    def predict(
        self, *channels: Volume, probabilities: bool = False
    ) -> Generator[float, None, Prediction]:
        """Segment a scan, as ``Predictor.predict`` does; windows are not told one by one.

        Raises
        ------
        BundleError
            If probabilities are asked for, or the bundle's transforms fail on the scan or give
            no label map on its grid.
        """
        if probabilities:
            raise BundleError(
                f"The bundle {self.source} gives labels alone. Leave out the probabilities."
            )
        require_channels(channels, self.channels)
        scan = channels[0]
        yield 0.0
        arrays = np.stack([channel.array.astype(np.float32) for channel in channels])
        image = MetaTensor(torch.as_tensor(arrays), torch.as_tensor(scan.affine))
        try:
            with explained_memory_errors(MEMORY_ADVICE):
                answer = self._answer(image)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise BundleError(
                f"The bundle {self.source} cannot predict {scan.name}: {error}"
            ) from error
        if tuple(answer.shape) != (1, *scan.shape):
            raise BundleError(
                f"The bundle {self.source} answers with the shape {tuple(answer.shape)}, not with "
                f"one label for each voxel of {scan.name}. Outputs that overlap are not supported."
            )
        yield 1.0
        dtype = smallest_label_dtype(self.classes.ids[-1])
        labels = np.rint(np.asarray(answer[0])).astype(dtype)
        return Prediction(Volume(labels, scan.affine, scan.name, dict(self.classes.names)), {})

    def _answer(self, image: MetaTensor) -> torch.Tensor:
        prepared: dict[str, Any] = self.preparing({IMAGE: image})
        with self.compute.autocast():
            logits = self.inferer(prepared[IMAGE][None], self.network)
        answer: torch.Tensor = self.finishing({**prepared, ANSWER: logits[0].float()})[ANSWER]
        return answer.as_tensor().cpu() if isinstance(answer, MetaTensor) else answer.cpu()


def load_foreign(
    folder: Path, metadata: Mapping[str, Any], compute: Compute | None = None
) -> ForeignPredictor:
    """Build what the inference config of a bundle describes.

    Parameters
    ----------
    folder
        The bundle.
    metadata
        Its metadata, which names the classes.
    compute
        Where to compute; by default on what is there.

    Raises
    ------
    BundleError, SettingsError
        If anything in it is not understood, or its weights do not fit.
    """
    config = PlainConfig(str(folder), read_inference(folder))
    compute = compute or choose_compute(DeviceSettings())
    definition = config.component("network_def", allowed.NETWORKS, "monai.networks.nets")
    channels = input_channels(metadata)
    taken = definition.arguments.get("in_channels", 1)
    if taken != max(1, len(channels)):
        raise BundleError(
            f"The bundle {folder} takes {taken} channels by its network_def, and "
            f"{max(1, len(channels))} by what its metadata tell of inputs (network_data_format)."
        )
    network = _built(definition, monai.networks.nets, folder)
    try:
        network.load_state_dict(read_state(folder / MODEL))
    except RuntimeError as error:
        raise BundleError(f"{folder / MODEL} does not fit network_def: {error}") from error
    preparing = Compose(_transforms(config, "preprocessing", allowed.PREPARING, allowed.READING))
    windows = config.component("inferer", ["SlidingWindowInferer"], "monai.inferers")
    places = {"sw_device": compute.device, "device": torch.device("cpu")}
    windows = Component(windows.name, {**windows.arguments, **places})
    return ForeignPredictor(
        str(folder),
        network.eval().to(compute.device),
        _built(windows, monai.inferers, folder),
        preparing,
        Compose(
            _transforms(config, "postprocessing", allowed.FINISHING, allowed.WRITING, preparing)
        ),
        _classes(metadata, folder),
        compute,
        channels,
    )


def _transforms(
    config: PlainConfig,
    name: str,
    known: Sequence[str],
    left_out: Sequence[str],
    undone: Compose | None = None,
) -> list[Any]:
    """Build the transforms of an entry, without those that this program does itself.

    Parameters
    ----------
    undone
        What ``Invertd`` inverts; where there is something, it must be inverted.
    """
    names = [*known, *(["Invertd"] if undone else [])]
    wanted = config.components(name, names, "monai.transforms", left_out)
    if undone and all(component.name != "Invertd" for component in wanted):
        raise BundleError(
            f"The bundle {config.source} does not bring its answer back onto the scan: its "
            f"{name} has no Invertd. Predict with “python -m monai.bundle run” instead."
        )
    return [
        _inverting(component, undone)
        if component.name == "Invertd"
        else _built(component, monai.transforms, config.source)
        for component in wanted
    ]


def _inverting(component: Component, undone: Compose | None) -> Invertd:
    nearest = component.arguments.get("nearest_interp", True)
    return Invertd(ANSWER, undone, IMAGE, nearest_interp=nearest)


def _built(component: Component, package: Any, source: object) -> Any:
    try:
        with warnings.catch_warnings():
            # MONAI tells of defaults that changed; whoever wrote the bundle may mind, not the user.
            warnings.simplefilter("ignore", FutureWarning)
            return getattr(package, component.name)(**component.arguments)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise BundleError(
            f"The bundle {source} asks for {component.name} in a way that MONAI "
            f"{monai.__version__} does not take: {error}."
        ) from error


def _classes(metadata: Mapping[str, Any], folder: Path) -> Classes:
    """Read what the outputs mean from a bundle's metadata."""
    try:
        (output,) = metadata["network_data_format"]["outputs"].values()
        names = {int(index): str(name) for index, name in output["channel_def"].items()}
        ids = tuple(range(max(int(output["num_channels"]), *names)))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise BundleError(
            f"The metadata of the bundle {folder} does not say what its one output means "
            "(network_data_format, outputs, channel_def)."
        ) from error
    return Classes(ids, {index: name for index, name in names.items() if index})
