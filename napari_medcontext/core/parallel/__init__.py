"""One training by several processes: GPUs of a machine, or machines of a cluster.

Each process sees its share of every batch, and all of them move alike: what they learn is what
one process would. Lightning Fabric finds the others and the devices; it is an extra,
``napari-medcontext[parallel]``, and importing this imports neither it nor torch.
"""

from napari_medcontext.core.parallel.placement import ALONE, Placement, found_placement

__all__ = ["ALONE", "Placement", "found_placement"]
