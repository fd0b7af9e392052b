"""Write a trained run in forms that other programs open: a MONAI bundle, or ONNX.

Importing this package imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from napari_medcontext.core.errors import MedContextError, RunError
from napari_medcontext.core.weights import Weights

if TYPE_CHECKING:
    from napari_medcontext.core.export.trained import Trained
    from napari_medcontext.core.run import RunFolder

LARGEST_DIFFERENCE = 1e-3
"""Logits of the export and of the run may differ by so much; those of a network are some units."""


class ExportError(MedContextError):
    """A run cannot be written in another form."""


@dataclass(frozen=True)
class Form:
    """A form that runs are exported in.

    Parameters
    ----------
    title
        What a user reads.
    module
        The module of this package whose ``write(trained, path)`` writes it, and returns the
        largest difference between its logits and the run's.
    """

    title: str
    module: str

    def write(self, trained: Trained, path: Path) -> float:
        """Write a network in this form; nothing is left of it where that fails."""
        writer: Callable[[Trained, Path], float] = import_module(
            f"{__package__}.{self.module}"
        ).write
        return writer(trained, path)


FORMS: Mapping[str, Form] = {
    "bundle": Form("MONAI bundle, a folder", "bundle"),
    "onnx": Form("ONNX, one file", "onnx_file"),
}


@dataclass(frozen=True)
class Exported:
    """What was written, and how far its logits are from the run's at most."""

    path: Path
    difference: float

    @property
    def text(self) -> str:
        """One line for people."""
        return (
            f"{self.path}: its logits and the run's differ by {self.difference:.1e} at most, on "
            "random patches."
        )


def export_run(run: RunFolder, form: str, path: Path, which: Weights = "student") -> Exported:
    """Write a run's network and what is needed to predict with it.

    Parameters
    ----------
    run
        The run; it may still be training.
    form
        A name of ``FORMS``.
    path
        The folder or file to write; there must be nothing yet.
    which
        Whose weights.

    Raises
    ------
    RunError
        If the run has no weights, or there is something at ``path``.
    ExportError
        If the network cannot be written in this form, or would answer differently.
    """
    if path.exists():
        raise RunError(f"{path} is there already, and is not replaced. Choose another path.")
    from napari_medcontext.core.export.trained import load_trained

    return Exported(path, FORMS[form].write(load_trained(run, which), path))


def require_equal(difference: float, what: str) -> None:
    """Refuse an export whose logits are not the run's.

    Raises
    ------
    ExportError
        Saying by how much they differ.
    """
    # Not “>”: what is not a number must not pass either.
    if not difference <= LARGEST_DIFFERENCE:
        raise ExportError(
            f"The {what} answers differently from the run: logits differ by up to "
            f"{difference:.1e}, where {LARGEST_DIFFERENCE:.0e} is allowed. It is not kept. "
            "Predict with the run itself, and report this with the name of its network."
        )
