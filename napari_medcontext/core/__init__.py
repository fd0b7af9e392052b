"""The engine: settings, volumes, training, prediction and evaluation, without Qt and napari."""
