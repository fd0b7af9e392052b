"""The choice of a run's folder, which says at once where there is no run."""

from __future__ import annotations

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_medcontext.core.bundles import is_bundle, require_source
from napari_medcontext.core.errors import RunError
from napari_medcontext.core.run import RunFolder
from napari_medcontext.widgets.parts import Text, folder_chooser, row

REST_MILLISECONDS = 400
"""A path that is being typed is looked at once it rests for so long."""


class RunChooser(QWidget):
    """A line for the folder of a run, a button that asks for it, and what is wrong with it.

    Parameters
    ----------
    dock
        Begins the names of the controls.
    bundles
        Whether the folder of a MONAI bundle will do too.
    """

    changed = Signal()
    """Another folder is named."""

    def __init__(self, dock: str, *, bundles: bool = False) -> None:
        super().__init__()
        self._bundles = bundles
        self.path, browse = folder_chooser(
            dock,
            "Folder of a run; one that is still training works too."
            + " So does a MONAI bundle." * bundles,
        )
        self.message = Text(f"{dock}_run_message")
        self.message.setVisible(False)
        self._rest = QTimer(self, singleShot=True, interval=REST_MILLISECONDS)
        self._rest.timeout.connect(self._look)
        self.path.textChanged.connect(self._follow)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row(self.path, browse))
        layout.addWidget(self.message)

    @property
    def run(self) -> RunFolder | None:
        """The folder that is named, whether there is a run, a bundle or neither in it."""
        path = self.path.text().strip()
        return RunFolder(path) if path else None

    def required(self) -> RunFolder:
        """Return the named run.

        Raises
        ------
        MedContextError
            If none is named, there is no run in the folder, or its settings cannot be read.
        """
        if self.run is None:
            raise RunError("There is no run folder. Name one beside “Run”.")
        if self._is_bundle(self.run):
            require_source(self.run.path)
        else:
            self.run.spec()
        return self.run

    def show_run(self, run: RunFolder | None) -> None:
        """Name another run, where there is one."""
        if run is not None:
            self.path.setText(str(run.path))

    def _follow(self) -> None:
        self.message.setVisible(False)
        self._rest.start()
        self.changed.emit()

    def _look(self) -> None:
        try:
            if self.run is not None and not self._is_bundle(self.run):
                self.run.require()
        except RunError as error:
            self.message.setText(f"⚠ {error}")
            self.message.setVisible(True)

    def _is_bundle(self, run: RunFolder) -> bool:
        return self._bundles and is_bundle(run.path)
