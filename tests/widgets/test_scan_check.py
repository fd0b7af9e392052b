"""One press looks at the chosen scans; another leaves out what spoils the training."""

import numpy as np
import pytest
from dock_helpers import add_scan


@pytest.fixture(autouse=True)
def _organs_of_their_own(viewer, train_dock):
    viewer.layers["scan 2 organs"].data[3, 8, 8] = 3


def check(dock, qtbot, press=None):
    with qtbot.waitSignal(dock.check._worker.done, timeout=200_000):
        (press or dock.check.check_button.click)()


def test_clean_scans_are_said_to_be_clean(train_dock, qtbot):
    check(train_dock, qtbot)
    assert train_dock.check.message.text() == "✓ Nothing is wrong or odd."
    assert train_dock.check.list.isHidden()


def test_labels_of_another_scan_are_found_and_left_out_by_one_press(train_dock, viewer, qtbot):
    add_scan(viewer, 3)
    viewer.layers["scan 3 organs"].data[2, 9, 9] = 3
    viewer.layers["scan 3"].data = viewer.layers["scan 1"].data.copy()
    train_dock.scans.pair()
    check(train_dock, qtbot)
    finding = train_dock.check.findings[0]
    assert finding.kind == "same scan"
    assert set(finding.scans) == {"scan 1", "scan 3"}
    assert not train_dock.check.leave_button.isEnabled()
    train_dock.check.list.setCurrentRow(0)
    check(train_dock, qtbot, train_dock.check.leave_button.click)
    roles = {row.image.name: row.role for row in train_dock.scans.rows()}
    assert roles == {"scan 1": "unused", "scan 2": "training", "scan 3": "unused"}
    assert "same scan" not in {found.kind for found in train_dock.check.findings}


@pytest.mark.slow
def test_forecast_follows_what_was_found(train_dock, qtbot):
    config = train_dock.config().updated({"device": {"device": "cpu"}})
    train_dock.set_config(config)
    train_dock.check.check_button.click()
    with qtbot.waitSignal(train_dock.check._prober.done, timeout=200_000):
        pass
    told = train_dock.check.forecast.text()
    assert told.startswith(f"{config.training.steps} steps will take about ")
    assert "on CPU" in told
    train_dock.scans.pair()
    assert train_dock.check.forecast.text() == ""


def test_findings_are_forgotten_when_the_scans_change(train_dock, viewer, qtbot):
    viewer.layers["scan 1"].data = np.zeros_like(viewer.layers["scan 1"].data)
    check(train_dock, qtbot)
    assert train_dock.check.list.count() >= 1
    assert "would stop the training" in train_dock.check.message.text()
    train_dock.scans.pair()
    assert train_dock.check.list.count() == 0
    assert train_dock.check.message.text() == ""
