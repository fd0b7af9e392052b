"""A folder of work that is not a training: one file says what to do, results lie beside it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Generic, Self, TypeVar

from napari_medcontext.core.errors import RunError
from napari_medcontext.core.folder import WorkFolder
from napari_medcontext.core.io import atomic_path
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.settings import Settings, dump, load

Spec = TypeVar("Spec", bound=Settings)


class AskedFolder(WorkFolder, Generic[Spec]):
    """The folder of a piece of work that was asked for, whose kind a subclass says."""

    spec_type: type[Spec]
    spec_name: ClassVar[str]
    """Name of the file that says what to do."""

    @property
    def spec_path(self) -> Path:
        """The file that says what to do."""
        return self.path / self.spec_name

    def exists(self) -> bool:
        """Say whether such work was asked for here."""
        return self.spec_path.is_file()

    def create(self, spec: Spec) -> Self:
        """Make the folder and write what to do; what is there from before stays.

        Raises
        ------
        RunError
            If the folder is a run's, or somebody is at work in it.
        """
        self.require_idle()
        if RunFolder(self.path).exists():
            raise RunError(f"{self.path} holds a run. Choose another folder for the results.")
        with atomic_path(self.spec_path) as temporary:
            temporary.write_text(dump(spec), encoding="utf-8")
        return self

    def spec(self) -> Spec:
        """Read what to do."""
        return load(self.spec_type, self.spec_path)
