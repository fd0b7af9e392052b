"""The config of a bundle read as plain data: references are followed, nothing is evaluated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from napari_medcontext.core.bundles import BundleError

KNOWN_KEYS = {"_target_", "_desc_", "_disabled_"}
DECIDED_HERE = {"device", "sw_device", "transform"}
"""Arguments that this program gives itself: where to compute, and what ``Invertd`` inverts."""


@dataclass(frozen=True)
class Component:
    """What a config wants built: the name of a class of MONAI, and its arguments."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class PlainConfig:
    """A config of a bundle.

    Parameters
    ----------
    source
        The bundle, for messages.
    entries
        What its file holds.
    """

    source: str
    entries: Mapping[str, Any]

    def component(self, name: str, allowed: Iterable[str], package: str) -> Component:
        """Return what an entry wants built; raises as ``read``."""
        return self.read(self._entry(name), allowed, package, where=name)

    def components(
        self, name: str, allowed: Iterable[str], package: str, left_out: Iterable[str]
    ) -> list[Component]:
        """Return the transforms of a ``Compose``; raises as ``read``.

        Parameters
        ----------
        name
            The entry.
        allowed, package
            As for ``read``.
        left_out
            Names of transforms that are left out, whatever their arguments; so are those that are
            switched off.
        """
        whole = self._entry(name)
        if not isinstance(whole, Mapping) or _last(whole.get("_target_")) != "Compose":
            raise self._refused(f"{name} is no Compose of transforms")
        listed = self._plain(whole.get("transforms", []), name)
        if not isinstance(listed, list):
            raise self._refused(f"the transforms of {name} are no list")
        wanted = [self._plain(entry, name) for entry in listed]
        return [
            self.read(entry, allowed, package, where=name)
            for entry in wanted
            if not (isinstance(entry, Mapping) and _is_left_out(entry, left_out))
        ]

    def read(self, entry: Any, allowed: Iterable[str], package: str, *, where: str) -> Component:
        """Return what a part of the config wants built.

        Parameters
        ----------
        entry
            The part, a mapping with ``_target_``.
        allowed
            Names of classes that may be built.
        package
            The package of MONAI that has them.
        where
            The entry that it stands in, for messages.

        Raises
        ------
        BundleError
            If it is none of those allowed, or has an argument that would be evaluated.
        """
        target = entry.get("_target_") if isinstance(entry, Mapping) else None
        if not isinstance(target, str):
            raise self._refused(f"{where} has no plain _target_")
        name, allowed = _last(target), tuple(allowed)
        home = target.removesuffix(name).removesuffix(".")
        if name not in allowed or (home and not f"{home}.".startswith(f"{package}.")):
            raise self._refused(f"{where} asks for {target}, and may for {', '.join(allowed)}")
        unknown = [key for key in entry if key.startswith("_") and key not in KNOWN_KEYS]
        if unknown:
            raise self._refused(f"{where} has {unknown[0]} beside {name}")
        given = {
            key: self._value(value, where)
            for key, value in entry.items()
            if not key.startswith("_") and key not in DECIDED_HERE
        }
        return Component(name, given)

    def _entry(self, name: str) -> Any:
        if name not in self.entries:
            raise self._refused(f"it has no {name}")
        return self._plain(self.entries[name], name)

    def _value(self, value: Any, where: str, seen: tuple[str, ...] = ()) -> Any:
        """Return a value with all references in it replaced by what they stand for."""
        if isinstance(value, str) and value.startswith("@"):
            if value in seen:
                raise self._refused(f"{value} refers to itself")
            return self._value(self._referred(value, where), where, (*seen, value))
        if isinstance(value, Mapping):
            return {key: self._value(inner, where, seen) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._value(inner, where, seen) for inner in value]
        return self._plain(value, where)

    def _plain(self, value: Any, where: str) -> Any:
        """Return a value, or what it refers to; what lies inside it is left as it is."""
        seen: set[str] = set()
        while isinstance(value, str) and value.startswith("@"):
            if value in seen:
                raise self._refused(f"{value} refers to itself")
            seen.add(value)
            value = self._referred(value, where)
        if isinstance(value, str) and value.startswith(("$", "%")):
            raise self._refused(f"{where} holds the expression “{value}”")
        return value

    def _referred(self, reference: str, where: str) -> Any:
        found: Any = self.entries
        for part in reference[1:].replace("::", "#").split("#"):
            if not isinstance(found, Mapping) or part not in found:
                raise self._refused(f"{where} refers to {reference}, which is not there")
            found = found[part]
        return found

    def _refused(self, problem: str) -> BundleError:
        return BundleError(
            f"The bundle {self.source} is not understood: in its inference config {problem}. "
            "Bundles of others are read as plain data, and no code or expression in them is run. "
            "If you trust it, predict with “python -m monai.bundle run” instead."
        )


def _is_left_out(entry: Mapping[str, Any], left_out: Iterable[str]) -> bool:
    return bool(entry.get("_disabled_")) or _last(entry.get("_target_")) in left_out


def _last(target: Any) -> str:
    return target.rpartition(".")[2] if isinstance(target, str) else ""
