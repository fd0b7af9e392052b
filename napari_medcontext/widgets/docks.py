"""Open the plugin's docks."""

from __future__ import annotations

from typing import Any, Literal

PLUGIN = "napari-medcontext"
Dock = Literal["Train", "Preview", "Predict", "Compare", "Inspect"]


def open_dock(viewer: Any, name: Dock) -> Any:
    """Open a dock, or bring it to the front, and return its widget.

    The forms share one place as tabs; the preview stays in sight beside them.
    """
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=name != "Preview")
    dock.show()
    dock.raise_()
    return widget
