"""What a folded section holds, in one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from napari_medcontext.core.config import RunConfig

SCHEMES = {"blocks": "boxes", "structure": "a structure among decoys"}


def network_summary(config: RunConfig) -> str:
    """Say what the network starts from."""
    weights = config.network.pretrained
    return f"Network: starts from {'random weights' if weights is None else weights.name}"


def training_summary(config: RunConfig) -> str:
    """Say what else a run does."""
    return (
        f"Training: {config.training.batch_size} patches a step, preview every "
        f"{config.training.preview_every:g} s, seed {config.training.seed}"
    )


def data_summary(config: RunConfig) -> str:
    """Say how scans are brought to one form."""
    data = config.data
    low, high = data.window
    intensity = f"{low:g} to {high:g} HU" if data.intensity == "window" else data.intensity
    learned = f", classes {', '.join(map(str, data.classes))} alone" if data.classes else ""
    unknown = "" if data.ignore_label is None else f", id {data.ignore_label} is unknown"
    moved = ", labels resampled onto scans" * data.resample
    told = f"{learned}{unknown}{moved}"
    return f"Scans: {intensity}, {data.augmentation} augmentation{told}"


def masking_summary(config: RunConfig) -> str:
    """Say what is hidden, and where."""
    masking = config.masking
    if not config.objective.has_masked_view:
        return "Masking: none"
    axis = "the slice axis" if masking.axis == "auto" else masking.axis
    parts = [SCHEMES.get(masking.scheme, f"columns along {axis}")]
    if masking.ratio_range is not None:
        low, high = masking.ratio_range
        parts.append(f"{100 * low:g} to {100 * high:g} %")
    if masking.block_size_mm is not None:
        parts.append(f"{masking.block_size_mm:g} mm wide")
    if masking.site == "tokens":
        parts.append("in tokens")
    return f"Masking: {', '.join(parts)}"


def objective_summary(config: RunConfig) -> str:
    """Say what is learned from which patches, and from whom."""
    objective = config.objective
    if objective.method == "supervised":
        return "Objective: labels on whole patches, no teacher"
    parts = [f"{objective.views} view{'s' * (objective.views == 'two')}"]
    if objective.masked_share < 1:
        parts.append(f"{100 * objective.masked_share:g} % masked")
    if objective.masked_weight != 1:
        parts.append(f"masked loss × {objective.masked_weight:g}")
    if objective.masked_start or objective.masked_ramp:
        parts.append(_when(100 * objective.masked_start, 100 * objective.masked_ramp))
    return f"Objective: {', '.join([*parts, _teacher(config)])}"


def device_summary(config: RunConfig) -> str:
    """Say how it is computed."""
    return (
        f"Computing: {config.device.precision} precision, {config.device.threads or 'all'} threads"
    )


SUMMARIES: Mapping[str, Callable[[RunConfig], str]] = {
    "network": network_summary,
    "training": training_summary,
    "data": data_summary,
    "masking": masking_summary,
    "objective": objective_summary,
    "device": device_summary,
}
"""By section of the settings."""


def _when(start: float, ramp: float) -> str:
    if ramp:
        return f"masking rises between {start:g} and {start + ramp:g} % of the run"
    return f"masking after {start:g} % of the run"


def _teacher(config: RunConfig) -> str:
    objective = config.objective
    if not objective.has_teacher:
        return "no teacher"
    schedule = objective.momentum_schedule.replace("_", " ")
    ramp = ", β rising" if objective.has_consistency and objective.consistency_ramp else ""
    return f"teacher λ from {objective.momentum:g}, {schedule}{ramp}"
