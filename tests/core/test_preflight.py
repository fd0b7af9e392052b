"""Each planted fault is found, by its kind and its scan; a clean study gives no finding."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from napari_medcontext.cli import app
from napari_medcontext.core.config import Case, RunConfig
from napari_medcontext.core.io import write_volume
from napari_medcontext.core.preflight import Forecast, check_cases
from napari_medcontext.core.preflight.forecast import scarce
from napari_medcontext.core.volume import Volume

LEFT_ATRIUM = Path(__file__).parents[3] / "shared" / "data" / "left_atrium"
NAMES = {1: "liver", 2: "spleen"}
SHAPE, SPACING = (44, 40, 26), (1.5, 1.5, 3.0)


@dataclass
class Clinic:
    """Four CT scans with their labels, one of them for validation, before a fault is planted."""

    images: list[Volume]
    labels: list[Volume | None]
    config: RunConfig = field(default_factory=RunConfig)
    names: dict[int, str] = field(default_factory=lambda: dict(NAMES))
    after: Callable[[Path], None] = lambda folder: None

    def check(self, folder: Path):
        """Write all, plant what is planted in files, and return the findings."""
        cases = []
        for number, (image, labels) in enumerate(zip(self.images, self.labels, strict=True)):
            drawn = folder / "labels" / f"scan{number}.nii.gz"
            case = Case(
                name=f"scan{number}",
                image=write_volume(folder / "images" / f"scan{number}.nii.gz", image),
                labels=None if labels is None else write_volume(drawn, labels),
                role="validation" if number == 3 else "training",
            )
            cases.append(case)
        self.after(folder)
        work = check_cases(cases, self.config, self.names)
        while True:
            try:
                next(work)
            except StopIteration as end:
                return end.value.findings

    def paint(self, number: int, change: Callable[[np.ndarray], None]) -> None:
        """Change a copy of a scan's voxels."""
        array = self.images[number].array.copy()
        change(array)
        self.images[number] = self.images[number].with_array(array)

    def draw(self, number: int, change: Callable[[np.ndarray], None]) -> None:
        """Change a copy of its labels."""
        array = self.labels[number].array.copy()
        change(array)
        self.labels[number] = self.labels[number].with_array(array)


@pytest.fixture
def clinic():
    images, labels = [], []
    for number in range(4):
        rng = np.random.default_rng(number)
        x, y, z = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
        body = ((x - 22) / 20) ** 2 + ((y - 20) / 18) ** 2 < 1 + 0 * z
        hu = np.where(body, rng.normal(40, 20, SHAPE), rng.normal(-1000, 5, SHAPE))
        organs = np.zeros(SHAPE, np.uint8)
        organs[(x - 14 - number) ** 2 + (y - 20) ** 2 + (2 * (z - 13)) ** 2 < 60] = 1
        organs[(x - 32) ** 2 + (y - 18) ** 2 + (2 * (z - 12)) ** 2 < 30 + number] = 2
        affine = np.diag([*SPACING, 1.0])
        affine[:3, 3] = rng.uniform(-50, 50, 3)
        images.append(Volume(hu.astype(np.int16), affine, f"scan{number}"))
        labels.append(Volume(organs, affine, f"labels{number}"))
    return Clinic(images, labels, RunConfig().updated({"data": {"patch_size": (32, 32, 16)}}))


def cut_file(clinic):
    def cut(folder):
        path = folder / "images" / "scan1.nii.gz"
        path.write_bytes(path.read_bytes()[:2000])

    clinic.after = cut


def unsaid(clinic):
    def forget(folder):
        """Leave it open how the scan lies: a reader then makes up the same place for both."""
        for part in ("images", "labels"):
            path = folder / part / "scan1.nii.gz"
            image = nib.Nifti1Image(np.asanyarray(nib.load(path).dataobj), None)
            image.header.set_zooms(SPACING)
            nib.save(image, path)

    clinic.after = forget


def sheared(clinic):
    for volumes in (clinic.images, clinic.labels):
        affine = volumes[1].affine.copy()
        affine[1, 2] = 0.4
        volumes[1] = replace(volumes[1], affine=affine)


def rescaled(clinic, factors):
    for volumes in (clinic.images, clinic.labels):
        volumes[1] = replace(volumes[1], affine=volumes[1].affine @ np.diag([*factors, 1.0]))


def swapped(clinic):
    hu, drawn = clinic.images[1], clinic.labels[1]
    clinic.images[1], clinic.labels[1] = replace(drawn, name="scan1"), hu


def elsewhere(clinic):
    moved = clinic.labels[1].affine.copy()
    moved[0, 3] += 20.0
    clinic.labels[1] = replace(clinic.labels[1], affine=moved)


def copied_scan(clinic):
    clinic.images[3], clinic.labels[3] = clinic.images[1], clinic.labels[1]


def copied_labels(clinic):
    clinic.labels[2] = replace(clinic.labels[1], affine=clinic.images[2].affine)


def nan(clinic):
    array = clinic.images[1].array.astype(np.float32)
    array[3, 3, 3] = np.nan
    clinic.images[1] = clinic.images[1].with_array(array)


def halves(clinic):
    array = clinic.labels[1].array.astype(np.float32)
    array[20:22, 20, 10] = 0.5
    clinic.labels[1] = clinic.labels[1].with_array(array)


def image_as_labels(clinic):
    scan = clinic.images[1]
    clinic.images[1] = clinic.labels[1] = scan.with_array(scan.array + np.int16(3000))


def noise_as_labels(clinic):
    array = np.random.default_rng(0).integers(0, 4000, clinic.labels[1].shape)
    clinic.labels[1] = clinic.labels[1].with_array(array.astype(np.int16))


def put(index, value):
    def change(array):
        array[index] = value

    return change


def no_class(class_id):
    def change(array):
        array[array == class_id] = 0

    return change


def dusted(array):
    array[2:40:3, 1, 2] = 2


def stopping(kind, plant):
    return pytest.param(kind, True, plant, id=f"{kind}, {plant.__name__}")


def odd(kind, plant, name=""):
    return pytest.param(kind, False, plant, id=f"{kind}, {name or plant.__name__}")


FAULTS = [
    stopping("scan", cut_file),
    stopping("scan", nan),
    stopping("labels", halves),
    stopping("labels", elsewhere),
    stopping("labels", image_as_labels),
    stopping("labels", noise_as_labels),
    stopping("same scan", copied_scan),
    stopping("same labels", copied_labels),
    pytest.param("constant", True, lambda c: c.paint(1, put(..., 7)), id="constant"),
    pytest.param("labels", True, lambda c: c.draw(1, put(..., 0)), id="empty labels"),
    pytest.param("labels", True, lambda c: c.draw(1, put(..., 1)), id="one class everywhere"),
    odd("looks like labels", swapped),
    odd("unplaced", unsaid),
    odd("askew", sheared),
    odd("odd spacing", lambda c: rescaled(c, (0.1, 0.1, 0.1)), "centimetres"),
    odd("thick slices", lambda c: rescaled(c, (0.5, 0.5, 2.4)), "thick"),
    odd("not HU", lambda c: c.paint(1, lambda a: np.add(a, 1100, out=a)), "shifted by 1024"),
    odd("outliers", lambda c: c.paint(1, put((20, 20, 10), 32000)), "metal"),
    odd("unnamed classes", lambda c: c.draw(1, put(np.s_[5:9, 15:20, 10:14], 9)), "id 9"),
    odd("missing class", lambda c: [c.draw(n, no_class(2)) for n in range(3)], "validation only"),
    odd(
        "tiny structure",
        lambda c: c.draw(1, lambda a: (no_class(2)(a), put(np.s_[32, 18, 9:12], 2)(a))),
        "slip of the brush",
    ),
    odd("cut structure", lambda c: c.draw(1, put(np.s_[10:14, 18:22, 12:], 1)), "cut by the edge"),
    odd("specks", lambda c: c.draw(1, dusted), "specks"),
    odd("mostly labelled", lambda c: c.draw(1, lambda a: put(a == 0, 1)(a)), "inverted"),
]


def test_clean_study_gives_no_finding(clinic, tmp_path):
    assert clinic.check(tmp_path) == []


@pytest.mark.parametrize(("kind", "stops", "plant"), FAULTS)
def test_planted_fault_is_found(clinic, tmp_path, kind, stops, plant):
    plant(clinic)
    findings = {finding.kind: finding for finding in clinic.check(tmp_path)}
    assert kind in findings, findings
    finding = findings[kind]
    assert finding.stops == stops
    assert finding.what
    named = " ".join([*finding.scans, finding.what])
    assert "scan1" in named or "scan3" in named
    assert finding.remedy or kind in ("scan", "labels")


def test_patch_that_does_not_fit_is_told(clinic, tmp_path):
    clinic.config = clinic.config.updated({"data": {"patch_size": (128, 32, 16)}})
    assert {finding.kind for finding in clinic.check(tmp_path / "large")} == {"small scan"}
    changes = {"data": {"patch_size": (16, 16, 16), "spacing": (0.2, 0.2, 0.2)}}
    clinic.config = clinic.config.updated(changes)
    assert "small patch" in {finding.kind for finding in clinic.check(tmp_path / "small")}


def test_scan_too_large_for_the_memory_is_told(clinic, tmp_path, monkeypatch):
    from napari_medcontext.core.preflight import run_rules

    little = SimpleNamespace(available=100_000)
    monkeypatch.setattr(run_rules.psutil, "virtual_memory", lambda: little)
    (finding,) = clinic.check(tmp_path)
    assert finding.kind == "memory"
    assert "GiB" in finding.what


def test_what_stops_a_training_comes_first(clinic, tmp_path):
    sheared(clinic)
    copied_labels(clinic)
    assert [finding.stops for finding in clinic.check(tmp_path)] == [True, False]


def called(*words, probe=False):
    probes = "--probe" if probe else "--no-probe"
    return CliRunner().invoke(app, ["check", *map(str, words), probes])


def test_command_tells_findings_and_by_its_code_whether_they_stop_a_training(clinic, tmp_path):
    sheared(clinic)
    clinic.check(tmp_path)
    scans = ("--images", tmp_path / "images", "--labels", tmp_path / "labels")
    result = called(*scans)
    assert result.exit_code == 0, result.output
    assert "miss right angles" in result.output
    write_volume(tmp_path / "labels" / "other.nii.gz", clinic.labels[0])
    assert "other.nii.gz" in called(*scans).output
    copied_labels(clinic)
    clinic.check(tmp_path)
    result = called(*scans)
    assert result.exit_code == 1
    assert "the very same labels" in result.output


def test_command_tells_a_few_of_many_alike_and_counts_the_others(clinic, tmp_path):
    clinic.draw(1, lambda array: [put((4 + k, 20, 10), 10 + k)(array) for k in range(8)])
    clinic.check(tmp_path)
    told = called("--images", tmp_path / "images", "--labels", tmp_path / "labels").output
    assert told.count("1 voxels at the spacing") == 5
    assert "3 more: tiny structure." in told
    assert "Findings that would stop a training: 0" in told


def test_command_tells_what_a_training_will_take(clinic, tmp_path):
    clinic.check(tmp_path)
    scans = ("--images", tmp_path / "images", "--labels", tmp_path / "labels")
    options = ("--patch-size", 32, 16, 16, "--steps", 120, "--device", "cpu")
    result = called(*scans, *options, probe=True)
    assert result.exit_code == 0, result.output
    told = re.search(r"120 steps .* ([\d:]+) \(h:mm:ss\) on CPU.* ([\d.]+) s each", result.output)
    assert told, result.output
    hours, minutes, seconds = map(int, told[1].split(":"))
    whole = 3600 * hours + 60 * minutes + seconds
    assert whole == pytest.approx(120 * float(told[2]), rel=0.1, abs=1)
    assert re.search(r"and [\d.]+ of [\d.]+ GiB", result.output)


def test_training_that_fails_at_its_first_step_is_found(clinic, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    for number in range(4):
        clinic.draw(number, no_class(2))
    clinic.check(tmp_path)
    scans = ("--images", tmp_path / "images", "--labels", tmp_path / "labels")
    # It knows two classes, and there is one.
    result = called(*scans, "--network", "bright_network:build", "--device", "cpu", probe=True)
    assert result.exit_code == 1, result.output
    assert "A training step fails: The network “bright_network:build” cannot" in result.output


def test_step_that_takes_more_memory_than_is_free_is_odd():
    cost = Forecast("CPU", 4.0, 100, step_seconds=1.0, gibibytes=3.9)
    (finding,) = scarce(cost)
    assert (finding.kind, finding.stops) == ("step memory", False)
    assert "3.9 GiB on CPU, of which 4.0 GiB are free" in finding.what
    assert not list(scarce(replace(cost, gibibytes=3.0)))
    slow = replace(cost, step_seconds=None, gibibytes=None, problem="not measured", slow=True)
    assert not list(scarce(slow))


@pytest.mark.realdata
@pytest.mark.skipif(not LEFT_ATRIUM.is_dir(), reason="the real volumes are not beside the checkout")
def test_clean_study_of_left_atria_gives_no_finding():
    result = called("--dataset", LEFT_ATRIUM / "dataset.json")
    assert result.exit_code == 0
    assert "Nothing is wrong or odd with 5 scans" in result.output
