"""A run as a MONAI bundle: a folder of configs, weights and words that MONAI's tools open.

The form: https://docs.monai.io/en/stable/mb_specification.html. Where the network is MONAI's, the
bundle works without this package.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import nn

from napari_medcontext.core import networks
from napari_medcontext.core.bundles import INFERENCE, METADATA, MODEL
from napari_medcontext.core.export import require_equal
from napari_medcontext.core.export.bundle_inference import inference_config
from napari_medcontext.core.export.bundle_words import licence, metadata, readme
from napari_medcontext.core.export.trained import Trained
from napari_medcontext.core.io import atomic_path, make_folder, require_writable

MONAI_NETWORKS = "monai.networks.nets"
BUILDER = "napari_medcontext.core.networks.build_named"


def write(trained: Trained, path: Path) -> float:
    """Write a bundle, whole or not at all.

    Parameters
    ----------
    trained
        What to write.
    path
        The folder, which must not be there.

    Returns
    -------
    float
        The largest difference between logits of the bundle's network and the run's.

    Raises
    ------
    ExportError
        If the bundle's network would answer differently.
    """
    network_def = network_config(trained)
    config = json.dumps(inference_config(trained, network_def), indent=2) + "\n"
    network = _filled(json.loads(config)["network_def"], trained)
    difference = _difference(network, trained)
    require_equal(difference, "bundle's network")
    ours = network_def["_target_"] == BUILDER
    texts = {
        INFERENCE: config,
        METADATA: json.dumps(metadata(trained, needs_this=ours), indent=2) + "\n",
        "docs/README.md": readme(trained, path.name, needs_this=ours),
        "LICENSE": licence(trained),
    }
    with _atomic_folder(path) as folder:
        for name, text in texts.items():
            with atomic_path(folder / name) as file:
                file.write_text(text, encoding="utf-8")
        make_folder((folder / MODEL).parent)
        torch.save(network.state_dict(), folder / MODEL)
    return difference


def network_config(trained: Trained) -> dict[str, Any]:
    """Return the config that builds a run's network: MONAI's own, or by this package."""
    settings, patch_size = trained.config.network, trained.config.data.patch_size
    kind = next(
        (kind for kind in type(trained.network).__mro__ if _is_monais(kind)),
        None,
    )
    if kind is not None and (arguments := _arguments(settings.name)) is not None:
        given = arguments(settings.size, trained.channel_count, trained.classes.outputs, patch_size)
        return {"_target_": f"{MONAI_NETWORKS}.{kind.__name__}", **given}
    return {
        "_target_": BUILDER,
        "name": settings.name,
        "size": settings.size,
        "channels": trained.channel_count,
        "classes": trained.classes.outputs,
        "patch_size": list(patch_size),
    }


def _is_monais(kind: type) -> bool:
    return kind.__module__.startswith(MONAI_NETWORKS)


def _arguments(name: str) -> Any:
    """Return what gives the arguments of one of this package's networks that MONAI builds."""
    if name not in networks.NETWORKS:
        return None
    return getattr(import_module(f"{networks.__name__}.{name}"), "arguments", None)


def _filled(config: dict[str, Any], trained: Trained) -> nn.Module:
    """Build a network as readers of the bundle do, and give it the run's weights.

    MONAI's may register a part twice that ours registers once; both then share it.
    """
    network: nn.Module = ConfigParser({"network": config}).get_parsed_content("network")
    network.load_state_dict(trained.network.state_dict(), strict=False)
    return network.eval()


@torch.inference_mode()
def _difference(network: nn.Module, trained: Trained) -> float:
    return max(float((network(p) - trained.logits(p)).abs().max()) for p in trained.patches())


@contextmanager
def _atomic_folder(path: Path) -> Iterator[Path]:
    """Give a folder to write to that becomes ``path`` only when all went well."""
    require_writable(path.parent)
    make_folder(path.parent)
    temporary = path.with_name(f".writing-{path.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        make_folder(temporary)
        yield temporary
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
