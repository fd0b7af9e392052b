"""Open the plugin's docks where there is room for them."""

from __future__ import annotations

from typing import Any, Literal

from qtpy.QtCore import Qt

PLUGIN = "napari-medcontext"
Dock = Literal["Train", "Preview", "Predict", "Compare"]


def open_dock(viewer: Any, name: Dock) -> Any:
    """Open a dock, or bring it to the front, and return its widget.

    The preview goes below the canvas, where its panels stand in a row and the forms stay
    whole; the others share one place as tabs.
    """
    window = viewer.window
    dock, widget = window.add_plugin_dock_widget(PLUGIN, name, tabify=name != "Preview")
    if name == "Preview" and window._qt_window.dockWidgetArea(dock) == Qt.RightDockWidgetArea:
        window._qt_window.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, dock)
    dock.show()
    dock.raise_()
    return widget
