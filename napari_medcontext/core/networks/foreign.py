"""Networks that others made: named as ``package.module:function``, or offered by a package.

A package offers a network as an entry point of the group ``napari_medcontext.networks``, whose
value is a :class:`~napari_medcontext.core.networks.registry.Network`.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from napari_medcontext.core.errors import MedContextError, SettingsError
from napari_medcontext.core.networks.registry import Network, PatchSize, Size

if TYPE_CHECKING:
    from torch import nn

GROUP = "napari_medcontext.networks"
ARGUMENTS = ("channels", "classes", "patch_size", "size")


def offered() -> dict[str, Network]:
    """Return the networks of installed packages by name; those that fail to load are left out."""
    found = {}
    for point in entry_points(group=GROUP):
        try:
            found[point.name] = _loaded(point)
        except SettingsError:
            # Naming it in the settings tells why.
            continue
    return found


def offered_names() -> list[str]:
    """Return the names that installed packages offer networks by, whether they load or not."""
    return sorted(entry_points(group=GROUP).names)


def find(name: str, *, known: Sequence[str]) -> Network:
    """Return a network that others made.

    Parameters
    ----------
    name
        Of an entry point, or ``package.module:function``.
    known
        Names to list where there is no such network.

    Raises
    ------
    SettingsError
        Saying what is wrong with the name or with what it stands for.
    """
    points = entry_points(group=GROUP)
    if name in points.names:
        return _loaded(points[name])
    if ":" in name:
        return _named(name)
    raise SettingsError(
        f"There is no network “{name}”; choose one of {', '.join([*known, *points.names])}, or "
        "name a function of your own as package.module:function."
    )


def built_and_tried(
    network: Network, name: str, size: Size, channels: int, classes: int, patch_size: PatchSize
) -> nn.Module:
    """Build a network and try it on one empty patch.

    Raises
    ------
    SettingsError
        If it cannot be built, fails on the patch, or answers with another shape.
    """
    import torch
    from torch import nn

    from napari_medcontext.core.device import explained_memory_errors

    advice = "Lower the patch size, or choose a smaller network."
    with _blamed_on(name, "cannot be built"), explained_memory_errors(advice):
        module = network.build(size, channels, classes, patch_size)
    if not isinstance(module, nn.Module):
        raise SettingsError(f"The network “{name}” is a {_kind(module)}, not a torch.nn.Module.")
    module.eval()
    patch = torch.zeros(1, channels, *patch_size)
    problem = f"fails on a patch of shape {tuple(patch.shape)}"
    with _blamed_on(name, problem), explained_memory_errors(advice), torch.no_grad():
        answer = module(patch)
    wanted = (1, classes, *patch_size)
    if not isinstance(answer, torch.Tensor):
        raise SettingsError(
            f"The network “{name}” answers with a {_kind(answer)}. In evaluation mode it must "
            f"return one tensor of shape {wanted}; several are for training mode alone."
        )
    if tuple(answer.shape) != wanted:
        raise SettingsError(
            f"The network “{name}” answers with the shape {tuple(answer.shape)} to a patch of "
            f"shape {tuple(patch.shape)}, and should with {wanted}: batch, classes, x, y, z."
        )
    return module.train()


@contextlib.contextmanager
def _blamed_on(name: str, problem: str) -> Iterator[None]:
    """Turn whatever somebody else's code raises into a message that names it."""
    try:
        yield
    except MedContextError:
        raise
    except Exception as error:
        raise SettingsError(f"The network “{name}” {problem}: {error!r}.") from error


def _loaded(point: EntryPoint) -> Network:
    try:
        network = point.load()
    except Exception as error:
        raise SettingsError(
            f"The network “{point.name}” ({point.value}) cannot be imported: {error!r}. Mend or "
            "update the package that offers it."
        ) from error
    if not isinstance(network, Network):
        raise SettingsError(
            f"The entry point “{point.name}” ({point.value}) of {GROUP} is a {_kind(network)}, "
            "not a napari_medcontext.core.networks.Network."
        )
    return network


def _named(name: str) -> Network:
    module_name, _, attribute = name.partition(":")
    try:
        module = import_module(module_name)
    except Exception as error:
        raise SettingsError(
            f"The network “{name}” cannot be imported: {error!r}. Install the package, or start "
            "with PYTHONPATH set to the folder that holds it."
        ) from error
    found = getattr(module, attribute, None)
    if isinstance(found, Network):
        return found
    if not callable(found):
        there = "no such name" if found is None else f"a {_kind(found)} of that name, no function"
        raise SettingsError(f"The network “{name}” cannot be used: {module_name} has {there}.")
    return Network(attribute, _calling(found, name))


def _calling(function: Callable[..., Any], name: str) -> Callable[..., nn.Module]:
    """Return a builder that calls a function with those of the arguments that it accepts."""

    def build(size: Size, channels: int, classes: int, patch_size: PatchSize) -> nn.Module:
        values = dict(zip(ARGUMENTS, (channels, classes, patch_size, size), strict=True))
        module: nn.Module = function(**_accepted(function, name, values))
        return module

    return build


def _accepted(
    function: Callable[..., Any], name: str, values: Mapping[str, object]
) -> dict[str, object]:
    parameters = inspect.signature(function).parameters.values()
    needed = [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        and parameter.name not in values
    ]
    if needed:
        raise SettingsError(
            f"The network “{name}” asks for {', '.join(needed)}. It is called with "
            f"{', '.join(values)}, by name; give everything else a default."
        )
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return dict(values)
    names = {parameter.name for parameter in parameters}
    return {key: value for key, value in values.items() if key in names}


def _kind(thing: object) -> str:
    return type(thing).__name__
