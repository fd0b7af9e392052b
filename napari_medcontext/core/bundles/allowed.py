"""What the config of somebody else's bundle may build: MONAI's own, and none that runs code.

A config may name any Python function. Those listed take plain values, read no file and call
nothing that a config could choose.
"""

from __future__ import annotations

NETWORKS = (
    "AttentionUnet",
    "BasicUNet",
    "DynUNet",
    "HighResNet",
    "SegResNet",
    "SwinUNETR",
    "UNETR",
    "UNet",
    "VNet",
)
"""Of ``monai.networks.nets``: those that answer with one tensor of logits."""

PREPARING = (
    "ClipIntensityPercentilesd",
    "CropForegroundd",
    "DivisiblePadd",
    "EnsureTyped",
    "NormalizeIntensityd",
    "Orientationd",
    "Resized",
    "ScaleIntensityRangePercentilesd",
    "ScaleIntensityRanged",
    "ScaleIntensityd",
    "Spacingd",
    "SpatialPadd",
    "ToTensord",
)
"""Of ``monai.transforms``, before the network."""

FINISHING = (
    "Activationsd",
    "AsDiscreted",
    "EnsureTyped",
    "FillHolesd",
    "KeepLargestConnectedComponentd",
    "RemoveSmallObjectsd",
    "ToTensord",
)
"""Of ``monai.transforms``, after the network."""

READING = ("EnsureChannelFirstd", "LoadImaged")
WRITING = ("SaveImaged",)
"""These this program does itself."""
