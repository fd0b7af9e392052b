"""Start from weights that were trained elsewhere, and say which of them fitted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.networks import pcrlv2, swinunetr

State = dict[str, Tensor]

WRAPPERS = ("state_dict", "model_state_dict", "network_weights", "model", "net", "student")
"""Under these names files of a whole training keep the weights, likeliest first."""
DEEPEST_PREFIX = 3
SHARED = 0.1
"""Share of the names that a prefix must stand before, so that few are tried."""


@dataclass(frozen=True)
class LoadReport:
    """Which tensors of a file went into a network; names are the network's, or the file's.

    Parameters
    ----------
    path
        The file.
    matched
        Tensors of the network that were filled.
    missing
        Tensors of the network that the file does not have; they keep their random start.
    unexpected
        Tensors of the file that the network does not have.
    shape_differs
        Tensors of both, but of another shape; they keep their random start.
    share
        Share of the network's values that were filled, 0 to 1.
    """

    path: Path
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    shape_differs: tuple[str, ...]
    share: float

    @property
    def text(self) -> str:
        """One line for people."""
        count = len(self.matched) + len(self.missing) + len(self.shape_differs)
        line = f"Starts from {self.path.name}: {len(self.matched)} of {count} tensors matched"
        line += f" ({self.share:.0%} of the network)"
        rest = [
            f"{len(names)} {what} ({_some(names)})"
            for names, what in (
                (self.missing, "not in the file"),
                (self.shape_differs, "of another shape"),
                (self.unexpected, "in the file alone"),
            )
            if names
        ]
        return "; ".join([line, *rest]) + "."


def load_matching(network: nn.Module, path: Path) -> LoadReport:
    """Fill a network with those tensors of a file that have its names and shapes.

    Names may stand under a prefix of their own in the file (``module.``) or in the network
    (``swinViT.``), and published weights may name layers otherwise: what lets most tensors
    match is taken.

    Parameters
    ----------
    network
        Changed in place; what does not match is left as it is.
    path
        A ``.safetensors`` file, or one that ``torch.save`` wrote, which may hold more than the
        weights; code in it is never run.

    Returns
    -------
    LoadReport
        What matched and what did not.

    Raises
    ------
    SettingsError
        If the file cannot be read, or nothing in it matches.
    """
    own = network.state_dict()
    found = _named_as_in(own, read_state(path))
    matched = [name for name in own if name in found and found[name].shape == own[name].shape]
    differing = [name for name in own if name in found and found[name].shape != own[name].shape]
    if not matched:
        problem = f"of other shapes: {_some(differing)}" if differing else "of no name it knows"
        raise SettingsError(
            f"{path} holds no weights for this network; its {len(found)} tensors are {problem}. "
            "Choose the network and size that the file was trained with, or another file."
        )
    with torch.no_grad():
        for name in matched:
            own[name].copy_(found[name])
    return LoadReport(
        path,
        tuple(matched),
        tuple(name for name in own if name not in found),
        tuple(name for name in found if name not in own),
        tuple(differing),
        sum(own[name].numel() for name in matched) / sum(t.numel() for t in own.values()),
    )


def read_state(path: Path) -> State:
    """Read tensors by name from a file of weights.

    Raises
    ------
    SettingsError
        If it is missing, damaged, or holds anything but plain weights.
    """
    if not path.is_file():
        raise SettingsError(f"There is no file of weights at {path}. Check the path.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise SettingsError(
            f"{path} cannot be read as weights ({type(error).__name__}). It is cut short, of "
            "another kind, or holds code, which is never run; save its state_dict() alone, best "
            "as .safetensors."
        ) from error
    state = _unwrapped(content)
    if not state:
        raise SettingsError(
            f"{path} holds no tensors by name. Save the state_dict() of a network in it."
        )
    return state


def _unwrapped(content: Any) -> State:
    """Find the weights in what a file of a whole training holds."""
    if not isinstance(content, Mapping):
        return {}
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    inner = [content[name] for name in WRAPPERS if isinstance(content.get(name), Mapping)]
    return _unwrapped(inner[0]) if inner else tensors


def _named_as_in(own: Mapping[str, Tensor], state: State) -> State:
    """Exchange the file's names and prefix for the network's, so that most tensors match."""

    def score(candidate: State) -> int:
        return sum(name in own and own[name].shape == t.shape for name, t in candidate.items())

    return max(_candidates(own, state), key=score)


def _candidates(own: Mapping[str, Tensor], state: State) -> Iterator[State]:
    """Give the tensors as they are named, then with prefixes exchanged, then renamed too."""
    for names in (list(state), [_renamed(name) for name in state]):
        for old, new in product(_prefixes(names), _prefixes(own)):
            yield {
                new + name.removeprefix(old) if name.startswith(old) else name: tensor
                for name, tensor in zip(names, state.values(), strict=True)
            }


def _renamed(name: str) -> str:
    for pattern, replacement in (*swinunetr.PUBLISHED_NAMES, *pcrlv2.PUBLISHED_NAMES):
        name = re.sub(pattern, replacement, name)
    return name


def _prefixes(names: Iterable[str]) -> list[str]:
    """Return beginnings that end in a dot and that many names share; none at all comes first."""
    counts: Counter[str] = Counter()
    names = list(names)
    for name in names:
        parts = name.split(".")[:-1][:DEEPEST_PREFIX]
        counts.update(".".join(parts[:depth]) + "." for depth in range(1, len(parts) + 1))
    shared = [prefix for prefix, count in counts.items() if count >= SHARED * len(names)]
    return ["", *sorted(shared, key=len)]


def _some(names: Iterable[str], most: int = 2) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
