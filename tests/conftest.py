"""A tiny study that every test of the engine can train on within seconds."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_medcontext.core.config import Case, RunConfig, RunSpec
from napari_medcontext.core.io import write_volume
from napari_medcontext.core.volume import Volume

CLASS_NAMES = {2: "liver", 5: "spleen"}
AXES = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
GRIDS = {
    "ras": ("RAS", (1.0, 1.0, 1.0), (24, 24, 20)),
    "lps": ("LPS", (1.0, 1.0, 1.0), (24, 24, 20)),
    "thick": ("SPL", (2.5, 1.0, 1.0), (8, 24, 24)),
}
"""Orientation, spacing in mm and shape, all by array axis."""


def scan_on(name: str, orientation: str, spacing, shape) -> tuple[Volume, Volume]:
    """Sample the same two bright balls, ids 2 and 5, on any grid centred on the origin."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for column, (letter, size) in enumerate(zip(orientation, spacing, strict=True)):
        axis, sign = AXES[letter]
        affine[axis, column] = sign * size
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    world = np.einsum("ab,bijk->aijk", affine[:3, :3], np.indices(shape).astype(float))
    world += affine[:3, 3][:, None, None, None]
    labels = np.zeros(shape, dtype=np.uint8)
    for class_id, centre, radius in ((2, (-5, 0, 0), 5.0), (5, (6, 2, 0), 4.5)):
        offset = world - np.array(centre, dtype=float)[:, None, None, None]
        labels[np.sqrt((offset**2).sum(0)) < radius] = class_id
    noise = np.random.default_rng(sum(map(ord, name))).normal(0, 5, shape)
    image = (100 + 40.0 * labels + noise).astype(np.float32)
    return (
        Volume(image, affine, name),
        Volume(labels, affine, f"{name} labels", CLASS_NAMES),
    )


@pytest.fixture(scope="session")
def make_scan():
    """Return the function that samples the study's anatomy on any grid."""
    return scan_on


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Path:
    """A folder with ``images`` and ``labels`` of three scans: RAS, LPS, and permuted and thick."""
    folder = tmp_path_factory.mktemp("study")
    for name, grid in GRIDS.items():
        image, labels = scan_on(name, *grid)
        write_volume(folder / "images" / f"{name}.nii.gz", image)
        write_volume(folder / "labels" / f"{name}.nii.gz", labels)
    return folder


@pytest.fixture(scope="session")
def tiny_config() -> RunConfig:
    """Settings with which a step takes a fraction of a second, the same on every machine."""
    return RunConfig().updated(
        {
            "data": {"patch_size": (32, 16, 16), "spacing": (1.0, 1.0, 1.5)},
            "masking": {"block_size": 4},
            "training": {
                "steps": 4,
                "batch_size": 2,
                "warmup_steps": 2,
                "preview_every": 0.0,
                "checkpoint_every": 1000.0,
            },
            "device": {"device": "cpu", "precision": "float32", "threads": 1},
        }
    )


@pytest.fixture(scope="session")
def cases(study):
    """Return cases of the study by name and role."""

    def build(**roles: str) -> tuple[Case, ...]:
        return tuple(
            Case(
                name=name,
                image=study / "images" / f"{name}.nii.gz",
                labels=study / "labels" / f"{name}.nii.gz",
                role=role,
            )
            for name, role in roles.items()
        )

    return build


@pytest.fixture(scope="session")
def tiny_spec(tiny_config, cases) -> RunSpec:
    """Two scans to train on, one to validate on."""
    return RunSpec(
        config=tiny_config,
        cases=cases(ras="training", thick="training", lps="validation"),
        class_names=CLASS_NAMES,
    )


@pytest.fixture(scope="session")
def loaded():
    """Return the function that loads a dataset and gives it with its events."""
    from napari_medcontext.core.dataset import load_dataset

    def load(spec: RunSpec, cache: Path | None = None):
        work, events = load_dataset(spec, cache), []
        while True:
            try:
                events.append(next(work))
            except StopIteration as end:
                return end.value, events

    return load


@pytest.fixture(scope="session")
def _finished_run(tmp_path_factory, tiny_spec) -> Path:
    from napari_medcontext.core.jobs import execute
    from napari_medcontext.core.run import RunFolder

    run = RunFolder(tmp_path_factory.mktemp("runs") / "finished").create(tiny_spec)
    *_, last = execute(run.path)
    assert last.reason == "completed", last
    return run.path


@pytest.fixture
def finished_run(_finished_run, tmp_path):
    """A run that has done its four steps and validated; each test gets its own copy."""
    from napari_medcontext.core.run import RunFolder

    return RunFolder(shutil.copytree(_finished_run, tmp_path / "finished"))


@pytest.fixture
def served(monkeypatch, tmp_path):
    """A small public data set on a server of this machine, in place of the real one."""
    from archive_server import TASK, serving, small_archive

    from napari_medcontext.core import decathlon

    with serving(small_archive()) as server:
        ours = replace(decathlon.TASKS[TASK], md5=server.md5)
        monkeypatch.setattr(decathlon, "TASKS", {**decathlon.TASKS, TASK: ours})
        monkeypatch.setenv(decathlon.MIRROR_VARIABLE, server.url)
        monkeypatch.setenv(decathlon.DATA_VARIABLE, str(tmp_path / "data"))
        yield server
