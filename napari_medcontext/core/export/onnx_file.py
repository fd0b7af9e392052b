"""A run's network as one ONNX file, with what another program needs to do the rest.

The input ``image`` is ``(B, 1, x, y, z)``, a prepared patch; the output ``logits`` is
``(B, K, x, y, z)``. B is free, the patch's size is not. What stands in the file's metadata under
``napari_medcontext`` (JSON) says how scans are prepared and what the outputs mean.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from napari_medcontext.core.bundles import OWN
from napari_medcontext.core.export import ExportError, require_equal
from napari_medcontext.core.export.trained import Trained
from napari_medcontext.core.extras import optional_library
from napari_medcontext.core.io import atomic_path

INPUT, OUTPUT = "image", "logits"
ATTENTION = torch.ops.aten.scaled_dot_product_attention.default


def write(trained: Trained, path: Path) -> float:
    """Write a network as ONNX, whole or not at all, and compare it by onnxruntime.

    Parameters
    ----------
    trained
        What to write.
    path
        The file, which ends in ``.onnx``.

    Returns
    -------
    float
        The largest difference between logits of onnxruntime and of the run.

    Raises
    ------
    ExportError
        If the network cannot be said in ONNX, or answers differently there.
    MedContextError
        If the libraries are not installed, or the file cannot be written.
    """
    if path.suffix != ".onnx":
        raise ExportError(f"{path} must end in .onnx.")
    onnx, runtime = _libraries()
    model = _converted(trained)
    facts = {OWN: trained.facts, "class_names": trained.facts["class_names"]}
    onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in facts.items()})
    with atomic_path(path) as file:
        try:
            onnx.save_model(model, file)
            onnx.checker.check_model(file, full_check=True)
            difference = _difference(runtime, file, trained)
        except (onnx.checker.ValidationError, ValueError) as error:
            raise _refused(trained, error) from error
        require_equal(difference, "ONNX file")
    return difference


def _libraries() -> tuple[Any, Any]:
    """Return onnx and onnxruntime.

    Raises
    ------
    MedContextError
        If one of what is needed is not installed, saying how to.
    """
    onnx, onnxruntime, _ = (
        optional_library(name, "export", f"Export to ONNX needs {name}", "export a bundle")
        # The last is what torch's exporter asks for.
        for name in ("onnx", "onnxruntime", "onnxscript")
    )
    return onnx, onnxruntime


def _converted(trained: Trained) -> Any:
    """Return the network as an ONNX model."""
    samples = torch.export.Dim("batch")
    # Not one: a batch of one is taken for a number that never changes.
    patch = torch.zeros(2, trained.channel_count, *trained.config.data.patch_size)
    try:
        with _quiet(), torch.no_grad():
            program = torch.export.export(trained.network, (patch,), dynamic_shapes=({0: samples},))
            converted = torch.onnx.export(
                _with_plain_attention(program),
                dynamo=True,
                input_names=[INPUT],
                output_names=[OUTPUT],
                verbose=False,
            )
    except Exception as error:
        raise _refused(trained, error) from error
    assert converted is not None
    return converted.model_proto


def _with_plain_attention(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Spell attention out: torch's exporter knows it of four axes, nnFormer's has five."""
    if all(node.target is not ATTENTION for node in program.graph.nodes):
        return program
    table = torch.export.default_decompositions()
    with nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):
        plain: torch.export.ExportedProgram = program.run_decompositions(
            {ATTENTION: table[ATTENTION]}
        )
    return plain


def _difference(runtime: Any, file: Path, trained: Trained) -> float:
    session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
    largest = 0.0
    for patch in trained.patches():
        (answer,) = session.run([OUTPUT], {INPUT: patch.numpy()})
        apart = (torch.from_numpy(answer) - trained.logits(patch)).abs().max()
        largest = max(largest, float(apart))
    return largest


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what torch's exporter tells its own developers from the user."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _refused(trained: Trained, error: Exception) -> ExportError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return ExportError(
        f"The network {trained.config.network.name} cannot be written as ONNX "
        f"({type(error).__name__}: {lines[0]}). Export a bundle instead: it holds the network as "
        "it is."
    )
