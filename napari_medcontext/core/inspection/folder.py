"""The folder in which questions about a run and a scan are asked and answered."""

from __future__ import annotations

from pathlib import Path

from pydantic import RootModel, ValidationError

from napari_medcontext.core.errors import RunError, SettingsError
from napari_medcontext.core.folder import WorkFolder
from napari_medcontext.core.inspection.asks import Ask, InspectSpec
from napari_medcontext.core.io import atomic_path
from napari_medcontext.core.settings import dump, load, load_settings_file

INSPECT_FILE = "inspect.yaml"
"""What shall be looked into; a folder that has one is no run's."""


class InspectFolder(WorkFolder):
    """The folder of one inspection: ``inspect.yaml``, and ``asks/000001.yaml`` and so on.

    Whoever watches writes asks; they are answered by events that bear their numbers. Of each
    kind only the newest ask counts: an older one that is not answered yet is dropped, even under
    way. Work on a kind waits while an ask of another kind that came later is answered. Each ask
    ends with one event: its answer, ``AskFailed`` or ``AskDropped``.
    """

    @property
    def spec_path(self) -> Path:
        """The file that says which run and scan."""
        return self.path / INSPECT_FILE

    @property
    def asks(self) -> Path:
        """The folder of asks."""
        return self.path / "asks"

    def exists(self) -> bool:
        """Say whether an inspection has been made here."""
        return self.spec_path.is_file()

    def create(self, spec: InspectSpec) -> InspectFolder:
        """Make the folder, which serves one run and scan alone, and say which.

        Raises
        ------
        RunError
            If the folder is in use by another inspection, or was.
        """
        if self.exists():
            raise RunError(f"{self.path} holds an inspection already. Choose another folder.")
        with atomic_path(self.spec_path) as temporary:
            temporary.write_text(dump(spec), encoding="utf-8")
        return self

    def spec(self) -> InspectSpec:
        """Read which run and scan."""
        return load(InspectSpec, self.spec_path)

    def ask(self, ask: Ask) -> int:
        """Ask something and return the number that its answer will bear."""
        number = max(self.numbers(), default=0) + 1
        with atomic_path(self._path(number)) as temporary:
            temporary.write_text(dump(ask), encoding="utf-8")
        return number

    def withdraw(self, number: int) -> None:
        """Give an ask up, be it under way or not yet begun; an answer that was given stays."""
        # Emptied, not removed: its number must not be given again.
        with atomic_path(self._path(number)) as temporary:
            temporary.write_text("", encoding="utf-8")

    def numbers(self) -> list[int]:
        """Return the numbers of all asks so far, withdrawn ones too, rising."""
        return sorted(int(path.stem) for path in self.asks.glob("*.yaml") if path.stem.isdigit())

    def is_withdrawn(self, number: int) -> bool:
        """Say whether an ask was given up."""
        try:
            return self._path(number).stat().st_size == 0
        except OSError:
            return True

    def read(self, number: int) -> Ask:
        """Read an ask.

        Raises
        ------
        SettingsError
            If it is not one, saying what is wrong with it.
        """
        path = self._path(number)
        values = load_settings_file(path)
        try:
            return _AnyAsk.model_validate(values).root
        except ValidationError as error:
            raise SettingsError(f"In {path}: {error.errors()[0]['msg']}") from error

    def _path(self, number: int) -> Path:
        return self.asks / f"{number:06d}.yaml"


class _AnyAsk(RootModel[Ask]):
    """What the file of an ask holds."""
