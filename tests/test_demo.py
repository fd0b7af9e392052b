from pathlib import Path

import pytest

from napari_medcontext.core.errors import MedContextError
from napari_medcontext.demo import Tour


def test_the_demo_does_not_touch_a_folder_that_holds_other_files(tmp_path: Path):
    work = tmp_path / "thesis.txt"
    work.write_text("years of work")
    (tmp_path / "metrics.csv").touch()
    with pytest.raises(MedContextError, match=r"no demo left \(thesis.txt\)"):
        Tour(None, tmp_path, steps=1).make_room()
    assert work.read_text() == "years of work"
    assert (tmp_path / "metrics.csv").exists()


def test_the_demo_replaces_what_an_earlier_one_left(tmp_path: Path):
    for name in ("1-loaded.png", "3-preview-3d.png", "metrics.csv"):
        (tmp_path / name).touch()
    for name in ("run", "run-2"):
        (tmp_path / name / "states").mkdir(parents=True)
    Tour(None, tmp_path, steps=1).make_room()
    assert list(tmp_path.iterdir()) == []
