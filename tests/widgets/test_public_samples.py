"""A public sample opens where it was downloaded; else it is downloaded beside the window."""

from archive_server import TASK
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager

SAMPLE = ("napari-medcontext", "hippocampus")
OPENED = [
    "hippocampus_001",
    "hippocampus_001 labels",
    "hippocampus_003",
    "hippocampus_003 labels",
]


def names(viewer):
    return [layer.name for layer in viewer.layers]


def opened(viewer, qtbot):
    viewer.open_sample(*SAMPLE)
    qtbot.waitUntil(lambda: names(viewer) == OPENED, timeout=30_000)


def test_sample_is_downloaded_beside_the_window_and_then_shown(viewer, served, qtbot):
    served.seconds_a_piece = 0.02
    (layer,) = viewer.open_sample(*SAMPLE)
    assert "CC BY-SA 4.0" in notification_manager.records[-1].message
    assert layer.name == f"{TASK}, about 27 MB"
    seen = []
    layer.events.name.connect(lambda _: seen.append(layer.name))
    qtbot.waitUntil(lambda: names(viewer) == OPENED, timeout=30_000)
    assert seen[0] == f"Downloading {TASK}: 0 %"
    assert f"Downloading {TASK}: 100 %" in seen
    assert [each.visible for each in viewer.layers] == [True, True, False, False]
    assert list(viewer.layers[1].features["class"]) == ["Anterior"]


def test_sample_that_is_here_opens_at_once(viewer, served, qtbot):
    opened(viewer, qtbot)
    served.ranges.clear()
    viewer.layers.clear()
    viewer.open_sample(*SAMPLE)
    assert names(viewer) == OPENED
    assert served.ranges == []


def test_script_without_a_window_waits_for_the_scans(served):
    viewer = ViewerModel()
    viewer.open_sample(*SAMPLE)
    assert names(viewer) == OPENED


def test_deleting_the_layer_of_a_download_stops_it_and_the_next_goes_on(
    viewer, served, qtbot, tmp_path
):
    served.seconds_a_piece = 0.1
    viewer.open_sample(*SAMPLE)
    folder = tmp_path / "data" / f"{TASK}.download"
    qtbot.waitUntil(lambda: any(p.stat().st_size for p in folder.glob("*.part")), timeout=30_000)
    viewer.layers.clear()
    qtbot.waitUntil(lambda: not (folder / "heartbeat.json").exists(), timeout=30_000)
    assert names(viewer) == []
    (partial,) = folder.glob("*.part")
    had = partial.stat().st_size
    served.seconds_a_piece = 0.0
    opened(viewer, qtbot)
    assert served.ranges[-1] == f"bytes={had}-"


def test_failed_download_is_told_and_leaves_no_layer(viewer, served, qtbot):
    served.status = 404
    viewer.open_sample(*SAMPLE)
    qtbot.waitUntil(lambda: names(viewer) == [], timeout=30_000)
    assert any("cannot be downloaded" in each.message for each in notification_manager.records)
