"""A network of your own, trained with MedContext without a change to the package.

From the folder of the checkout, with your own scans and labels::

    export PYTHONPATH=examples
    medcontext train --config examples/my_network.yaml --images scans --labels organs --out run

``medcontext predict`` and the Predict dock need the same ``PYTHONPATH``.

The function is called by name with those of ``channels``, ``classes``, ``patch_size`` and
``size`` that it asks for, and returns any module that maps ``(B, channels, x, y, z)`` to
``(B, classes, x, y, z)``. To see it in the list of networks of every dock, offer a
``Network`` as an entry point of the group ``napari_medcontext.networks``.
"""

from __future__ import annotations

from torch import nn


def build(channels: int, classes: int) -> nn.Module:
    """Look around each voxel at three scales, without ever lowering the resolution."""
    layers: list[nn.Module] = []
    for dilation in (1, 2, 4):
        layers.append(nn.Conv3d(channels, 16, 3, padding=dilation, dilation=dilation))
        layers += [nn.InstanceNorm3d(16, affine=True), nn.ReLU()]
        channels = 16
    return nn.Sequential(*layers, nn.Conv3d(16, classes, 1))
