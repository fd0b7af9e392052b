import csv

import pytest

from napari_medcontext.demo import Tour


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_main_job_in_a_real_window_leaves_pictures_a_table_and_a_run(
    make_napari_viewer, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    viewer = make_napari_viewer(show=True)
    tour = Tour(viewer, tmp_path / "demo", steps=40)
    tour.open_sample()
    tour.do_all()
    assert all(path.exists() for path in tour.results())
    with (tmp_path / "demo" / "metrics.csv").open() as file:
        rows = {row["class_name"]: row for row in csv.DictReader(file)}
    assert len(rows) == 8
    assert float(rows["liver"]["dsc"]) > 0.2
