import subprocess
import sys

import numpy as np
import pytest
from npe2 import PluginManifest

from napari_medcontext.core import phantom


@pytest.fixture
def layers(monkeypatch):
    monkeypatch.setattr(phantom, "SHAPE", (8, 8, 8))
    from napari_medcontext.sample_data import open_sample

    return open_sample()


def test_sample_has_six_images_each_followed_by_its_labels(layers):
    assert [kind for _, _, kind in layers] == ["image", "labels"] * 6
    expected = [f"abdomen {n}{end}" for n in range(1, 7) for end in ("", " organs")]
    assert [options["name"] for _, options, _ in layers] == expected


def test_only_the_first_scan_of_the_sample_is_visible(layers):
    assert [options["visible"] for _, options, _ in layers] == [True, True] + [False] * 10


def test_images_of_the_sample_are_shown_in_a_soft_tissue_window(layers):
    assert {options["contrast_limits"] for _, options, _ in layers[::2]} == {(-160.0, 240.0)}


def test_image_and_labels_of_the_sample_lie_on_each_other(layers):
    for (image, first, _), (labels, second, _) in zip(layers[::2], layers[1::2], strict=True):
        assert image.shape == labels.shape
        np.testing.assert_allclose(first["scale"], second["scale"])
        np.testing.assert_allclose(first["translate"], second["translate"])


def test_manifest_offers_the_sample():
    manifest = PluginManifest.from_distribution("napari-medcontext")
    sample = manifest.contributions.sample_data[0]
    command = next(c for c in manifest.contributions.commands if c.id == sample.command)
    assert command.python_name == "napari_medcontext.sample_data:open_sample"


def test_sample_needs_no_torch():
    code = "import sys, napari_medcontext.sample_data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
