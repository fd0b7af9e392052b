"""What a bundle says of itself: metadata in MONAI's form, a README and a licence's place."""

from __future__ import annotations

import datetime
from typing import Any

import monai
import nibabel
import numpy as np
import scipy
import torch

from napari_medcontext import __version__
from napari_medcontext.core.bundles import OWN
from napari_medcontext.core.export.trained import Trained
from napari_medcontext.core.markdown import table

SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
    "meta_schema_20240725.json"
)
FIRST_VERSION = "0.1.0"


def metadata(trained: Trained, *, needs_this: bool) -> dict[str, Any]:
    """Return the metadata of a run's bundle.

    Parameters
    ----------
    trained
        What is exported.
    needs_this
        Whether this package is needed to build the network.
    """
    packages = {"nibabel": nibabel.__version__, "scipy": scipy.__version__}
    if needs_this:
        packages["napari-medcontext"] = __version__
    return {
        "schema": SCHEMA,
        "version": FIRST_VERSION,
        "changelog": {FIRST_VERSION: f"Exported from the run {trained.name}."},
        "monai_version": _release(monai.__version__),
        "pytorch_version": _release(torch.__version__),
        "numpy_version": _release(np.__version__),
        "required_packages_version": packages,
        "name": trained.name,
        "task": f"Segmentation of {_classes(trained)} in 3D scans",
        "description": f"The {trained.which}'s network ({trained.config.network.name}, "
        f"{trained.config.network.size}) of a training with napari-medcontext {__version__}.",
        "authors": "Whoever trained it; fill in before you pass it on.",
        "copyright": "Whoever trained it; fill in before you pass it on.",
        "intended_use": "Research; not a medical device.",
        "network_data_format": {
            "inputs": {"image": _input(trained)},
            "outputs": {"pred": _output(trained)},
        },
        OWN: trained.facts,
    }


def readme(trained: Trained, name: str, *, needs_this: bool) -> str:
    """Return what a reader of the bundle should know."""
    data, (sx, sy, sz) = trained.config.data, trained.spacing
    window = " × ".join(map(str, data.patch_size))
    needs = (
        "MONAI, nibabel, SciPy **and napari-medcontext**, which builds its network"
        if needs_this
        else "MONAI, nibabel and SciPy; napari-medcontext is not needed"
    )
    return f"""# {name}

Segments {_classes(trained)}. It holds the {trained.which}'s weights of the run “{trained.name}”,
trained with [MedContext](https://arxiv.org/abs/2402.17725) in napari-medcontext {__version__} and
exported on {datetime.date.today().isoformat()}. For research; not a medical device.

## Predict

It needs {needs}. Put scans (NIfTI) into `scans/` and run, in this folder:

```console
python -m monai.bundle run --config_file configs/inference.json --meta_file configs/metadata.json
```

{_files(trained)}MONAI's command asks for the package `fire`. Labels come into `predicted/`, each on
its scan's own grid. `--dataset_dir` and `--output_dir` name other folders. With napari-medcontext:
`medcontext predict {name} scans --out predicted`.

## What it does

{_channels(trained)}, axes to the right, the front and the top (RAS), voxels of
{sx:g} × {sy:g} × {sz:g} mm, intensities by “{data.intensity}”, windows of {window} voxels
that overlap by a half, weighted by a Gaussian. The mean is taken of probabilities, not of logits
(`probabilities` in the config is the network with its activation). They are brought back onto the
scan's grid before a voxel is given its class. Where MONAI has no transform for a step, an
expression in `configs/inference.json` says it.

## Classes

{_table(trained)}
"""


def licence(trained: Trained) -> str:
    """Return what stands where a licence belongs: weights have none by themselves."""
    return (
        f"No licence has been chosen for the weights of “{trained.name}”. Whoever trained them "
        "decides, within\nwhat the licence of the training scans allows. Replace this file before "
        "you pass the bundle on.\n"
    )


def _input(trained: Trained) -> dict[str, Any]:
    return {
        "type": "image",
        "format": "magnitude",
        "modality": "n/a",
        "num_channels": trained.channel_count,
        "spatial_shape": list(trained.config.data.patch_size),
        "dtype": "float32",
        "value_range": [0, 1] if trained.config.data.intensity == "window" else [],
        "is_patch_data": True,
        "channel_def": {
            str(index): name for index, name in enumerate(trained.channels or ["image"])
        },
    }


def _output(trained: Trained) -> dict[str, Any]:
    names = [trained.classes.names.get(k, f"class {k}") for k in trained.classes.predicted_ids]
    channels = names if trained.classes.regions else ["background", *names]
    return {
        "type": "image",
        "format": "segmentation",
        "num_channels": trained.classes.outputs,
        "spatial_shape": list(trained.config.data.patch_size),
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": True,
        "channel_def": {str(index): name for index, name in enumerate(channels)},
    }


def _files(trained: Trained) -> str:
    """Say how the files of several channels are named."""
    if trained.channel_count == 1:
        return ""
    named = ", ".join(
        f"`case_{number:04d}.nii.gz` ({name})" for number, name in enumerate(trained.channels)
    )
    return (
        f"A scan is a file a channel, {named}, all on one grid, or one file with all channels as "
        "its last axis.\n"
    )


def _channels(trained: Trained) -> str:
    if trained.channel_count == 1:
        return "One channel"
    return f"Channels {', '.join(trained.channels)}, each normalised by itself"


def _classes(trained: Trained) -> str:
    return ", ".join(trained.classes.names.values()) or "classes without names"


def _table(trained: Trained) -> str:
    names = trained.classes.names
    rows = [(k, names.get(k, f"class {k}")) for k in trained.classes.predicted_ids]
    return table(["label", "meaning"], [(0, "background"), *rows])


def _release(version: str) -> str:
    """Return a version without what names a build of it, as in 2.13.0+cpu."""
    return version.split("+")[0]
