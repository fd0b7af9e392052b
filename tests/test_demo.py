from pathlib import Path

import pytest

from napari_medcontext.core.errors import MedContextError
from napari_medcontext.demo import FIRST_PICTURE, Tour


def test_the_demo_does_not_touch_a_folder_that_holds_other_files(tmp_path: Path):
    work = tmp_path / "thesis.txt"
    work.write_text("years of work")
    with pytest.raises(MedContextError, match="holds files that no demo left"):
        Tour(None, tmp_path, steps=1)._make_room()
    assert work.read_text() == "years of work"


def test_the_demo_replaces_what_an_earlier_one_left(tmp_path: Path):
    (tmp_path / FIRST_PICTURE).touch()
    (tmp_path / "run").mkdir()
    Tour(None, tmp_path, steps=1)._make_room()
    assert list(tmp_path.iterdir()) == []
