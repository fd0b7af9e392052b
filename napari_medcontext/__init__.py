"""Learn a 3D segmentation network from a handful of scans, inside napari."""

__version__ = "0.1.0"
