"""Settings of any training: the network, the scans' form, how long, and where it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from napari_medcontext.core.settings import Millimetres, PositiveInt, Settings, setting

Device = Literal["auto", "cuda", "mps", "cpu"]


class NetworkSettings(Settings):
    """Which network learns."""

    name: str = setting(
        "unet",
        "Network to train. U-Net is the fastest on a laptop. A function of your own: "
        "package.module:function.",
    )
    size: Literal["small", "paper"] = setting(
        "small", "Small trains on a laptop; paper is the size of the publication, for a GPU."
    )
    pretrained: Path | None = setting(
        None,
        "File of weights to start from (.safetensors, or saved by PyTorch); what has the same "
        "names and shapes is taken. Empty: random weights.",
        title="Start from weights",
    )


class DataSettings(Settings):
    """How scans are brought to one form, and what the network sees at once."""

    intensity: Literal["zscore", "percentile", "window"] = setting(
        "zscore",
        "How intensities are normalised: zscore (MRI), percentile (robust to outliers), "
        "window (CT, see the window's limits).",
    )
    window: tuple[float, float] = setting(
        (-175.0, 250.0), "Lower and upper intensity of the window that becomes 0 to 1.", unit="HU"
    )
    spacing: tuple[Millimetres, Millimetres, Millimetres] | None = setting(
        None,
        "Voxel size that scans are resampled to, along x, y, z (right, anterior, superior). "
        "Empty: the median of the training scans.",
        unit="mm",
    )
    patch_size: tuple[PositiveInt, PositiveInt, PositiveInt] = setting(
        (64, 64, 32),
        "Size of the boxes cut from the scans for training, along x, y, z. Larger sees more "
        "context and needs more memory.",
        unit="voxels",
    )
    augmentation: Literal["gentle", "paper", "none"] = setting(
        "gentle",
        "Random changes made to patches. gentle: small turns, zooms, brightness and noise; "
        "paper: flips and quarter turns, where left and right need not differ.",
    )
    ignore_label: int | None = setting(
        None,
        "Class id in the labels that means “unknown”: such voxels teach nothing and are not "
        "scored. Empty: there is none.",
        title="Label of the unknown",
        ge=1,
    )

    classes: tuple[PositiveInt, ...] | None = setting(
        None,
        "Class ids in the labels that are learned; others count as background. Empty: all.",
        title="Classes to learn",
        min_length=1,
    )
    resample: bool = setting(
        False,
        "Bring labels, and channels after the first, that lie on another grid than their scan onto "
        "it: labels by the nearest voxel, channels linearly. Else they are refused.",
        title="Resample onto the scan",
    )

    @model_validator(mode="after")
    def _window_rises(self) -> DataSettings:
        if self.window[0] >= self.window[1]:
            raise ValueError("the window's lower limit must lie below its upper limit")
        return self


class TrainingSettings(Settings):
    """How long and how fast it learns."""

    steps: int = setting(600, "Number of training steps.", unit="steps", ge=1)
    batch_size: int = setting(2, "Patches a step.", unit="patches", ge=1)
    learning_rate: float | None = setting(
        None, "Step size of AdamW at its highest. Empty: the network's own.", gt=0
    )
    weight_decay: float = setting(1e-5, "Weight decay of AdamW.", ge=0)
    warmup_steps: int = setting(
        20,
        "Steps over which the learning rate rises before it falls along a cosine.",
        unit="steps",
        ge=0,
    )
    gradient_clip: float = setting(12.0, "Largest norm of the gradient; 0 does not clip.", ge=0)
    seed: int = setting(0, "Number that fixes every random choice.", ge=0)
    validate_every: int = setting(
        100, "Steps between validations, where there is a validation scan.", unit="steps", ge=1
    )
    preview_every: float = setting(10.0, "Seconds between previews; 0 shows none.", unit="s", ge=0)
    kept_previews: int = setting(
        24,
        "Previews whose labels are kept, spread evenly over the run, to be played in the Inspect "
        "dock; 0 keeps none.",
        unit="previews",
        ge=0,
    )
    checkpoint_every: float = setting(
        15.0,
        "Seconds between saved states; so much is lost at most when the power fails.",
        unit="s",
        ge=0,
    )


class DeviceSettings(Settings):
    """Where it runs."""

    device: Device = setting("auto", "Where to compute; auto takes a GPU where there is one.")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = setting(
        "auto",
        "Number format; auto takes half precision on a GPU that computes it natively, else "
        "float32. On a processor bfloat16 is for predictions alone: PyTorch learns wrongly in it.",
    )
    threads: int = setting(0, "Processor threads; 0 takes all cores.", unit="threads", ge=0)
