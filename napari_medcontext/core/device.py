"""Where to compute and in which number format, decided once, when a run starts."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from napari_medcontext.core.errors import OutOfMemoryError, SettingsError
from napari_medcontext.core.processors import usable_cores
from napari_medcontext.core.training_settings import DeviceSettings

Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Compute:
    """A device and the number format that suits it."""

    device: torch.device
    precision: Precision

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which networks compute in this number format."""
        if self.precision == "float32":
            return contextlib.nullcontext()
        dtype: torch.dtype = getattr(torch, self.precision)
        return torch.autocast(self.device.type, dtype)

    @property
    def title(self) -> str:
        """What a user reads, e.g. ``"NVIDIA H200"`` or ``"CPU, 2 threads"``."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        if self.device.type == "mps":
            return "Apple GPU"
        return f"CPU, {torch.get_num_threads()} threads"


def choose_compute(settings: DeviceSettings) -> Compute:
    """Turn the settings into a device and a number format.

    “auto” takes a GPU where there is one, and on it half precision; on a processor float32, so
    that answers are the same on each.

    Raises
    ------
    SettingsError
        If the device asked for is not there.
    """
    torch.set_num_threads(settings.threads or usable_cores())
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    name = settings.device
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if available[kind])  # type: ignore[assignment]
    if not available[name]:
        raise SettingsError(
            f"The device “{name}” was asked for but this PyTorch finds none. Choose “auto”, or "
            "install a PyTorch build for your GPU (pytorch.org/get-started)."
        )
    device = torch.device(name)
    precision = settings.precision
    return Compute(device, _native_precision(device) if precision == "auto" else precision)


def gradients_are_unsafe(compute: Compute) -> bool:
    """Say whether PyTorch may get gradients wrong there.

    On processors with bfloat16 instructions (tried: AVX-512 BF16, PyTorch 2.13) the gradient of a
    3D convolution's weights depends on what lay in memory before, up to NaN, where its input is
    two voxels long along the first axis, as at the coarsest level of a U-Net on small patches.
    Answers of networks, without gradients, are right.
    """
    return compute.device.type == "cpu" and compute.precision == "bfloat16"


def release_memory(device: torch.device) -> None:
    """Give cached device memory back once all references to it are dropped."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


@contextlib.contextmanager
def explained_memory_errors(advice: str) -> Iterator[None]:
    """Turn every backend's out-of-memory error into one that says what to lower."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        raise OutOfMemoryError(f"The device ran out of memory. {advice}") from error


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return (
        isinstance(error, (torch.OutOfMemoryError, MemoryError))
        or "out of memory" in text
        or "can't allocate memory" in text
        or "not enough memory" in text
    )


def _native_precision(device: torch.device) -> Precision:
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    return "float32"
