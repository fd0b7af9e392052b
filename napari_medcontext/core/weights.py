"""The states of a training on disk: weights and optimizer, each whole at any moment.

A state is a folder, named by its step; it is written beside its place and renamed into it.
Importing this module imports no torch; only reading and writing does.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_medcontext.core.errors import RunError

if TYPE_CHECKING:
    from torch import Tensor

Weights = Literal["student", "teacher"]


def newest_in(states: Path, prefix: str) -> Path | None:
    """Return the state of the highest step among those whose names begin with a prefix."""
    found = [path for path in states.glob(f"{prefix}*") if path.is_dir()]
    return max(found, default=None)


def write_state(
    state: Path,
    weights: Mapping[str, Mapping[str, Tensor]],
    facts: Mapping[str, str],
    rest: Mapping[str, Any] | None,
) -> None:
    """Write a state beside its place and rename it into it, replacing one of the same name.

    Parameters
    ----------
    state
        The folder that the state becomes.
    weights
        Network to its tensors by name; one safetensors file each.
    facts
        Written into each weight file's header.
    rest
        Optimizer and the like; written where there is any.

    Raises
    ------
    RunError
        If the disk does not take it; what lay there before is kept.
    """
    import torch
    from safetensors.torch import save_file

    temporary = state.with_name(f".writing-{state.name}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for name, tensors in weights.items():
            apart = {key: tensor.contiguous() for key, tensor in _unshared(tensors).items()}
            save_file(apart, weight_file(temporary, name), metadata=dict(facts))
        if rest is not None:
            torch.save(dict(rest), _optimizer_file(temporary))
        _flush(temporary)
        if state.exists():
            _set_aside(state)
        temporary.rename(state)
        shutil.rmtree(_aside(state), ignore_errors=True)
    except OSError as error:
        raise RunError(
            f"{state.parent} cannot be written ({error.strerror or error}). Make room on the "
            "disk; the last good state is kept."
        ) from error


def remove_state(state: Path) -> None:
    """Remove a state at once: nobody shall take a half of it for a whole one."""
    _set_aside(state)
    shutil.rmtree(_aside(state), ignore_errors=True)


def read_weights(state: Path, network: Weights) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a network's tensors from a state, and the facts in their file's header.

    Raises
    ------
    RunError
        If the file is missing, damaged, or not from a training with this package.
    """
    from safetensors import SafetensorError, safe_open

    path = weight_file(state, network)
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


def read_optimizer(state: Path) -> dict[str, Any]:
    """Read what a state holds beside its weights; the file can run no code.

    Raises
    ------
    RunError
        If the file is missing or damaged.
    """
    import torch

    path = _optimizer_file(state)
    try:
        rest: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise RunError(
            f"{path} cannot be read ({type(error).__name__}); it is missing, cut short or not "
            "from napari-medcontext. Predict with the run as it is, or train anew."
        ) from error
    return rest


def _unshared(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors that share memory with an earlier one, as tied weights do: files refuse it."""
    seen: set[int] = set()
    apart = {}
    for name, tensor in state.items():
        place = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return apart


def weight_file(state: Path, network: str) -> Path:
    """Return the file in a state's folder that holds a network's weights."""
    return state / f"{network}.safetensors"


def _flush(state: Path) -> None:
    """Put a state's files on the disk itself: the one before it goes next, power or not."""
    for path in state.iterdir():
        with path.open("r+b") as file:
            os.fsync(file.fileno())


def _optimizer_file(state: Path) -> Path:
    return state / "optimizer.pt"


def _aside(state: Path) -> Path:
    """Return where a state waits for its removal, out of the sight of readers."""
    return state.with_name(f".old-{state.name}")


def _set_aside(state: Path) -> None:
    shutil.rmtree(_aside(state), ignore_errors=True)
    state.rename(_aside(state))
