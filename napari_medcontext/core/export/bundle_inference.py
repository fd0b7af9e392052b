"""The inference config of a MONAI bundle: what a run's prediction does, in MONAI's transforms.

MONAI reads an entry that begins with ``$`` as a Python expression, in which ``@name`` is another
entry. Where no transform of MONAI does what a run does, an expression says it: smoothing before a
scan becomes coarser, a grid that covers the same field of view, and intensities of the patient.
``Spacingd`` would not do: with ``scale_extent`` it takes the grid's origin by its absolute value.
"""

from __future__ import annotations

from typing import Any

from napari_medcontext.core.export.trained import Trained
from napari_medcontext.core.inference import OVERLAP
from napari_medcontext.core.intensities import PERCENTILES, SHARED_BACKGROUND
from napari_medcontext.core.regions import THRESHOLD, Members
from napari_medcontext.core.windows import SIGMA_SCALE

Config = dict[str, Any]
AXES = [["L", "R"], ["P", "A"], ["I", "S"]]
"""Which way each axis of the world runs; MONAI's default has changed between versions."""
WITHOUT_CHANNELS = (
    "$lambda pred: monai.data.MetaTensor(pred.as_tensor(), affine=pred.affine, "
    "meta={**pred.meta, 'original_channel_dim': 'no_channel'})"
)
FIRST_CHANNEL = "_0000"
"""How the name of a scan's first channel ends, as in nnU-Net; the others follow."""


def inference_config(trained: Trained, network: Config) -> Config:
    """Return the config of inference.

    Parameters
    ----------
    trained
        What is exported.
    network
        The config of its network, ``network_def``.
    """
    return {
        "imports": [
            "$import glob",
            "$import monai",
            "$import numpy",
            "$import torch",
            "$from scipy import ndimage",
        ],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/scans'",
        "output_dir": "$@bundle_root + '/predicted'",
        "checkpoint": "$@bundle_root + '/models/model.pt'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "datalist": _datalist(trained.channel_count),
        "network_def": network,
        "network": "$@network_def.to(@device).eval()",
        "probabilities": f"$torch.nn.Sequential(@network, {_activation(trained)})",
        **_preparation_entries(trained),
        "preprocessing": {"_target_": "Compose", "transforms": _preprocessing(trained)},
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': path} for path in @datalist]",
            "transform": "@preprocessing",
        },
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": list(trained.config.data.patch_size),
            "sw_batch_size": 1,
            "overlap": OVERLAP,
            "mode": "gaussian",
            "sigma_scale": SIGMA_SCALE,
            "padding_mode": "replicate",
            "device": "cpu",
            "sw_device": "@device",
        },
        "postprocessing": {"_target_": "Compose", "transforms": _postprocessing(trained)},
        "dataloader": {
            "_target_": "DataLoader",
            "dataset": "@dataset",
            "batch_size": 1,
            "num_workers": 0,
        },
        # Needs pytorch-ignite, and is built only where somebody asks for it: “run” does not.
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@probabilities",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
        },
        "predict": "$torch.inference_mode()(lambda scan: @postprocessing({**scan, 'pred': "
        "@inferer(scan['image'][None], @probabilities)[0]}))",
        "initialize": [
            "$@network_def.load_state_dict("
            "torch.load(@checkpoint, map_location='cpu', weights_only=True))"
        ],
        "run": ["$[@predict(scan) for scan in @dataset]"],
    }


def _datalist(channels: int) -> str:
    """Return what lists the scans: of several channels, a file each, or one file with all."""
    files = "$sorted(glob.glob(@dataset_dir + '/*.nii*'))"
    if channels == 1:
        return files
    return (
        f"$[[path.replace('{FIRST_CHANNEL}.nii', '_%04d.nii' % number) "
        f"for number in range({channels})] "
        f"for path in sorted(glob.glob(@dataset_dir + '/*{FIRST_CHANNEL}.nii*'))] "
        f"or {files[1:]}"
    )


def _activation(trained: Trained) -> str:
    return "torch.nn.Sigmoid()" if trained.classes.regions else "torch.nn.Softmax(dim=1)"


def _preparation_entries(trained: Trained) -> Config:
    """Return the expressions that preprocessing refers to; scans are ``(C, x, y, z)``."""
    coarser = "numpy.array(@spacing) / numpy.array(scan.pixdim)"
    entries = {
        "spacing": list(trained.spacing),
        "factors": f"$lambda scan: {coarser}",
        "smoothed": "$lambda scan: monai.utils.convert_to_dst_type(ndimage.gaussian_filter("
        "scan.array, (0, *numpy.maximum(@factors(scan) - 1, 0) / 2)), scan)[0]",
        "scaling": "$lambda factors: numpy.block([[numpy.diag(factors), "
        "(factors[:, None] - 1) / 2], [numpy.zeros((1, 3)), numpy.ones((1, 1))]])",
        "grid": "$lambda scan: monai.data.MetaTensor(torch.zeros(1, *numpy.maximum(numpy.round("
        "numpy.array(scan.shape[1:]) / @factors(scan)), 1).astype(int)), "
        "affine=scan.affine.numpy().dot(@scaling(@factors(scan))), meta=scan.meta)",
    }
    if trained.config.data.intensity == "window":
        return entries
    return {**entries, **_intensity_entries(clipped=trained.config.data.intensity == "percentile")}


def _intensity_entries(*, clipped: bool) -> Config:
    """Return what normalises each channel over the patient.

    That is all of it, or where much is exactly zero, the rest.
    """
    least = f"{1 - SHARED_BACKGROUND} * scan.size"
    low, high = PERCENTILES
    limits = (
        f"$lambda values: numpy.percentile(values, ({low}, {high}))"
        if clipped
        else "$lambda values: (None, None)"
    )
    return {
        "patient": "$lambda scan: scan[scan != 0] "
        f"if 0 < numpy.count_nonzero(scan) <= {least} else scan.ravel()",
        "limits": limits,
        "scaled": "$lambda scan, inside: (scan - inside.mean(dtype='float64')) / "
        "max(inside.std(dtype='float64'), 1e-8)",
        "clipped": "$lambda scan, low, high: scan if low is None else numpy.clip(scan, low, high)",
        "normalised": "$lambda scan: @scaled(@clipped(scan, *@limits(@patient(scan))), "
        "@clipped(@patient(scan), *@limits(@patient(scan))))",
        "each_normalised": "$lambda scan: monai.utils.convert_to_dst_type("
        "numpy.stack([@normalised(channel) for channel in scan.array]), scan)[0]",
    }


def _preprocessing(trained: Trained) -> list[Config]:
    return [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": AXES},
        {"_target_": "CopyItemsd", "keys": "image", "names": "grid"},
        {"_target_": "Lambdad", "keys": "grid", "func": "@grid"},
        {"_target_": "Lambdad", "keys": "image", "func": "@smoothed"},
        {
            "_target_": "ResampleToMatchd",
            "keys": "image",
            "key_dst": "grid",
            "mode": "bilinear",
            "padding_mode": "border",
            "dtype": "$torch.float32",
        },
        {"_target_": "DeleteItemsd", "keys": "grid"},
        _normalising(trained),
        {"_target_": "EnsureTyped", "keys": "image", "dtype": "$torch.float32"},
    ]


def _normalising(trained: Trained) -> Config:
    data = trained.config.data
    if data.intensity != "window":
        return {"_target_": "Lambdad", "keys": "image", "func": "@each_normalised"}
    low, high = data.window
    return {
        "_target_": "ScaleIntensityRanged",
        "keys": "image",
        "a_min": low,
        "a_max": high,
        "b_min": 0.0,
        "b_max": 1.0,
        "clip": True,
    }


def _postprocessing(trained: Trained) -> list[Config]:
    ids = trained.classes.ids
    steps: list[Config] = [
        {
            "_target_": "Invertd",
            "keys": "pred",
            "transform": "@preprocessing",
            "orig_keys": "image",
            "nearest_interp": False,
            "to_tensor": True,
        }
    ]
    if trained.classes.regions:
        steps.append({"_target_": "Lambdad", "keys": "pred", "func": _painting(trained)})
    else:
        steps.append({"_target_": "AsDiscreted", "keys": "pred", "argmax": True})
    if not trained.classes.regions and ids != tuple(range(len(ids))):
        steps.append(
            {
                "_target_": "MapLabelValued",
                "keys": "pred",
                "orig_labels": list(range(len(ids))),
                "target_labels": list(ids),
            }
        )
    largest = max(trained.classes.predicted_ids)
    saving = {
        "_target_": "SaveImaged",
        "keys": "pred",
        "output_dir": "@output_dir",
        "output_postfix": "",
        "separate_folder": False,
        "resample": False,
        "output_dtype": "$numpy.uint8" if largest < 256 else "$numpy.uint16",
    }
    if trained.channel_count > 1:
        # MONAI 1.6 takes what it saves for a channel and two axes if the scan had channels.
        steps.append({"_target_": "Lambdad", "keys": "pred", "func": WITHOUT_CHANNELS})
        saving["output_name_formatter"] = (
            "$lambda meta, _: {'subject': "
            f"meta['filename_or_obj'].replace('{FIRST_CHANNEL}.nii', '.nii'), 'idx': None}}"
        )
    return [*steps, saving]


def _painting(trained: Trained) -> str:
    """Return what paints nested regions: a voxel is of the last one whose holders all hold it."""
    regions = trained.classes.regions
    chains = [_holders(index, regions) for index in range(len(regions))]
    return (
        f"$lambda pred: torch.stack([number * (pred[chain] > {THRESHOLD}).all(0, keepdim=True) "
        f"for number, chain in enumerate({chains}, 1)]).amax(0)"
    )


def _holders(index: int, regions: tuple[Members, ...]) -> list[int]:
    """Return a region's place and those of all that hold it."""
    return [
        place
        for place in range(index + 1)
        if place == index or set(regions[index]) < set(regions[place])
    ]
