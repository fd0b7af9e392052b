"""A report in Markdown, with its pictures, in a window of its own."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QDialog, QTextBrowser, QVBoxLayout, QWidget

from napari_medcontext.widgets.parts import button, row

WIDTH = 560
"""Of a picture, in pixels of the screen."""
PICTURE = "\N{OBJECT REPLACEMENT CHARACTER}"
"""Where a picture stands in Qt's text."""


class ReportWindow(QDialog):
    """Shows a report; the window stays open beside napari's own.

    Parameters
    ----------
    report
        The file; pictures are looked for beside it.
    parent
        With which it closes.
    """

    def __init__(self, report: Path, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("report")
        self.setWindowTitle(f"{report.parent.name}: {report}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.text = QTextBrowser()
        self.text.setSearchPaths([str(report.parent)])
        self.text.setOpenExternalLinks(True)
        self.text.setMarkdown(report.read_text(encoding="utf-8"))
        self._make_pictures_smaller()
        folder = QUrl.fromLocalFile(str(report.parent))
        layout = QVBoxLayout(self)
        layout.addWidget(self.text)
        layout.addLayout(
            row(
                None,
                button(
                    "report_folder",
                    "Open its folder",
                    "Tables as CSV, figures as PNG, and every training's run folder.",
                    lambda: QDesktopServices.openUrl(folder),
                ),
                button("report_close", "Close", "Close this window.", self.close),
            )
        )
        self.resize(980, 800)

    def _make_pictures_smaller(self) -> None:
        """Give pictures a width, which Markdown cannot; theirs is for print."""
        cursor = self.text.document().find(PICTURE, 0)
        while not cursor.isNull():
            picture = cursor.charFormat().toImageFormat()
            picture.setWidth(WIDTH)
            cursor.setCharFormat(picture)
            cursor = self.text.document().find(PICTURE, cursor)
