"""Every setting of a run: frozen, validated, with its unit and the words that explain it.

Forms, the command line and the documentation read titles, units and bounds from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from napari_medcontext.core.settings import Settings, setting, validated

Method = Literal["medcontext", "supervised"]
Role = Literal["training", "validation", "preview", "unused"]
Axis = Literal["auto", "x", "y", "z"]
Device = Literal["auto", "cuda", "mps", "cpu"]
PositiveInt = Annotated[int, Field(ge=1)]
Millimetres = Annotated[float, Field(gt=0)]


class NetworkSettings(Settings):
    """Which network learns."""

    name: str = setting("unet", "Network to train. U-Net is the fastest on a laptop.")
    size: Literal["small", "paper"] = setting(
        "small", "Small trains on a laptop; paper is the size of the publication, for a GPU."
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

    @model_validator(mode="after")
    def _window_rises(self) -> DataSettings:
        if self.window[0] >= self.window[1]:
            raise ValueError("the window's lower limit must lie below its upper limit")
        return self


class MaskingSettings(Settings):
    """What is hidden in the masked view (Eq. 1)."""

    ratio: float = setting(
        0.4,
        "Share of the columns that is hidden from the student.",
        title="Mask ratio",
        unit="of the plane",
        gt=0,
        lt=1,
    )
    block_size: int = setting(
        16,
        "Width of one hidden column, in the plane across the depth axis.",
        title="Mask block size",
        unit="voxels",
        ge=1,
    )
    axis: Axis = setting(
        "auto",
        "Axis along which columns run. auto: the axis of clearly thickest slices, "
        "else inferior–superior (z).",
    )


class ObjectiveSettings(Settings):
    """What the network is asked to become good at (Eq. 4), and how the teacher follows (Eq. 6)."""

    method: Method = setting(
        "medcontext",
        "medcontext learns from the plain and the masked scan with a teacher; "
        "supervised learns from the plain scan alone.",
    )
    consistency_weight: float = setting(
        0.5,
        "β: weight of agreeing with the teacher where the scan is hidden.",
        title="Consistency weight β",
        ge=0,
    )
    momentum: float = setting(
        0.996, "λ₀: share of itself that the teacher keeps at each step, at first.", ge=0, lt=1
    )
    momentum_schedule: Literal["run_length", "paper"] = setting(
        "run_length",
        "paper: cosine from λ₀ to 1. run_length: the same, but never slower than an average "
        "over the last tenth of the run, so that short runs get a teacher that has learned.",
    )


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
        "auto", "Number format; auto takes the fastest that the device computes natively."
    )
    threads: int = setting(0, "Processor threads; 0 takes all cores.", unit="threads", ge=0)


class RunConfig(Settings):
    """All settings of a run."""

    network: NetworkSettings = NetworkSettings()
    data: DataSettings = DataSettings()
    masking: MaskingSettings = MaskingSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    training: TrainingSettings = TrainingSettings()
    device: DeviceSettings = DeviceSettings()

    def updated(self, changes: Mapping[str, Mapping[str, Any]]) -> RunConfig:
        """Return the settings with some replaced, checked again.

        Parameters
        ----------
        changes
            Section to its changed settings, e.g. ``{"training": {"steps": 10}}``.
        """
        values = self.model_dump()
        for section, settings in changes.items():
            values.setdefault(section, {}).update(settings)
        return validated(RunConfig, values, "the settings")


class Case(Settings):
    """One scan of a run, by its files."""

    name: str
    image: Path
    labels: Path | None = None
    role: Role = "training"


class RunSpec(Settings):
    """A run's settings and scans: all that is needed to do it, or to go on with it."""

    config: RunConfig = RunConfig()
    cases: tuple[Case, ...] = ()
    class_names: dict[int, str] = Field(default_factory=dict)

    def with_role(self, role: Role) -> tuple[Case, ...]:
        """Return the cases of one role."""
        return tuple(case for case in self.cases if case.role == role)


def section_model(name: str) -> type[Settings]:
    """Return the class of one section of the settings, by its name in ``RunConfig``."""
    annotation = RunConfig.model_fields[name].annotation
    assert isinstance(annotation, type)
    return annotation
