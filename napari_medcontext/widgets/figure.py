"""A picture for a publication: a canvas as it is shown, with legend, scale bar and caption."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import QPoint, QRect, QRectF, Qt
from qtpy.QtGui import QColor, QFont, QFontMetrics, QImage, QPainter

from napari_medcontext.core.errors import RunError
from napari_medcontext.core.io import atomic_path

SCALE = 2.0
"""How much finer a picture is than the screen."""
BAR_LENGTHS_MM = (1, 2, 5, 10, 20, 50, 100, 200)
LONGEST_BAR = 0.12
"""Of the picture's width."""
MARGIN, SWATCH, BAR_THICKNESS = 24, 22, 6
FONT_PIXELS = 24

Legend = Sequence[tuple[str, QColor]]


def canvas_figure(qt_viewer: Any, legend: Legend, caption: str) -> QImage:
    """Return what a canvas shows, finer than on the screen, on white with all that explains it.

    Parameters
    ----------
    qt_viewer
        napari's ``QtViewer``; its view is as before afterwards.
    legend
        Name and colour of each class or kind that is shown.
    caption
        What is shown, and which slice.
    """
    camera = qt_viewer.viewer.scene.camera
    with qt_viewer.resize_canvas(None, SCALE):
        camera.zoom *= SCALE
        shot = qt_viewer.canvas.screenshot()
        pixels_per_mm = camera.zoom * shot.width() / qt_viewer.canvas.size[1]
    flat = qt_viewer.viewer.dims.ndisplay == 2
    return composed(shot, legend, caption, pixels_per_mm if flat else None)


def composed(shot: QImage, legend: Legend, caption: str, pixels_per_mm: float | None) -> QImage:
    """Return a picture with its legend and caption below, and a scale bar where one holds."""
    font = QFont()
    font.setPixelSize(FONT_PIXELS)
    width = shot.width() + 2 * MARGIN
    metrics = QFontMetrics(font)
    places, below = _legend_places(legend, metrics, width)
    text = metrics.boundingRect(
        QRect(0, 0, width - 2 * MARGIN, 10_000), int(Qt.TextFlag.TextWordWrap), caption
    )
    top = MARGIN + shot.height() + MARGIN
    figure = QImage(width, top + below + text.height() + MARGIN, QImage.Format.Format_RGB32)
    figure.fill(QColor("white"))
    painter = QPainter(figure)
    painter.setFont(font)
    painter.drawImage(QPoint(MARGIN, MARGIN), shot)
    if pixels_per_mm is not None:
        _draw_bar(painter, shot, pixels_per_mm)
    painter.setPen(QColor("black"))
    for (name, colour), place in zip(legend, places, strict=True):
        corner = QPoint(place.x(), top + place.y())
        painter.fillRect(QRect(corner, corner + QPoint(SWATCH, SWATCH)), colour)
        painter.drawText(corner + QPoint(SWATCH + 10, metrics.ascent()), name)
    painter.drawText(
        QRectF(MARGIN, top + below, width - 2 * MARGIN, text.height()),
        int(Qt.TextFlag.TextWordWrap),
        caption,
    )
    painter.end()
    return figure


def save_figure(figure: QImage, path: Path) -> Path:
    """Write a picture as PNG.

    Raises
    ------
    RunError
        If it cannot be written.
    """
    with atomic_path(path) as temporary:
        if not figure.save(str(temporary), "PNG"):
            raise RunError(f"The picture {path} cannot be written. Choose another folder.")
    return path


def _legend_places(legend: Legend, metrics: QFontMetrics, width: int) -> tuple[list[QPoint], int]:
    """Return where each entry stands, row by row, and how high all of them are."""
    places, x, y, line = [], MARGIN, 0, metrics.height() + 10
    for name, _ in legend:
        step = SWATCH + 10 + metrics.horizontalAdvance(name) + MARGIN
        if x + step > width and x > MARGIN:
            x, y = MARGIN, y + line
        places.append(QPoint(x, y))
        x += step
    return places, y + line + 10 if legend else 0


def _draw_bar(painter: QPainter, shot: QImage, pixels_per_mm: float) -> None:
    longest = shot.width() * LONGEST_BAR / pixels_per_mm
    length = max((mm for mm in BAR_LENGTHS_MM if mm <= longest), default=BAR_LENGTHS_MM[0])
    x, y = 2 * MARGIN, shot.height() - MARGIN
    painter.fillRect(QRectF(x, y, length * pixels_per_mm, BAR_THICKNESS), QColor("white"))
    painter.setPen(QColor("white"))
    painter.drawText(QPoint(x, y - 8), f"{length} mm")
