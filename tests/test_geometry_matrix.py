"""A marked corner keeps its place from the file to the prediction, whatever the form it came in.

Formats × orientations × anisotropy × grids of the labels, opened in napari and from files: all are
trained on, predicted, opened, saved and opened again, and SimpleITK lays the results on the scans.
"""

from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import write_slice
from napari.layers import Layer

from napari_medcontext.core.config import Case, RunConfig, RunSpec
from napari_medcontext.core.events import RunFinished, StepFinished
from napari_medcontext.core.io import read_volume, write_volume
from napari_medcontext.core.jobs import execute
from napari_medcontext.core.prediction_plan import PredictFolder, PredictSpec, labels_path
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.volume import Volume
from napari_medcontext.layer_volumes import layer_to_volume
from napari_medcontext.reader import get_reader
from napari_medcontext.snapshots import Scan, planned_cases, writer
from napari_medcontext.writer import save_labels

SHAPE = (9, 8, 7)
CORNER = (8, 0, 0)
BLOCK = (slice(2, 5), slice(4, 6), slice(3, 4))
LEVELS_HU = (0, 50, 100)
NAMES = {1: "block", 2: "corner"}
ORIENTATIONS = ("RAS", "LPS", "LAS", "SPL", "oblique")
SPACINGS = ((1.0, 1.0, 1.0), (0.7, 0.8, 4.0), (3.0, 0.6, 0.6))
TOLERANCE_MM = 1e-3


def drawn(orientation: str, spacing: tuple[float, float, float]) -> Volume:
    """Return labels of one marked corner voxel and one block, on a grid of that kind."""
    array = np.zeros(SHAPE, np.uint8)
    array[BLOCK], array[CORNER] = 1, 2
    affine = np.diag([*spacing, 1.0])
    if orientation == "oblique":
        # Turned about two axes, so that no axis of the grid is one of the world.
        (c, s), (e, f) = ((np.cos(a), np.sin(a)) for a in np.radians((17, 11)))
        about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        about_x = np.array([[1, 0, 0], [0, e, -f], [0, f, e]])
        affine[:3, :3] = about_z @ about_x @ affine[:3, :3]
    affine[:3, 3] = (-31.5, 12.25, 87.125)
    labels = Volume(array, affine, "labels", NAMES)
    return labels if orientation == "oblique" else labels.reoriented(orientation)


def scan_of(labels: Volume) -> Volume:
    """Return the scan on which these labels can be seen."""
    return Volume(np.array(LEVELS_HU, np.int16)[labels.array], labels.affine, "scan")


def turned(labels: Volume) -> Volume:
    """Return the labels on other axes of the same voxels."""
    return Volume(
        labels.array.transpose(1, 2, 0)[::-1],
        labels.affine
        @ np.array([[0, 0, 1, 0], [-1, 0, 0, labels.shape[1] - 1], [0, 1, 0, 0], [0, 0, 0, 1]]),
        "labels",
        NAMES,
    )


def finer(labels: Volume) -> Volume:
    """Return the labels on voxels of a third of the size."""
    array = labels.array
    for axis in range(3):
        array = array.repeat(3, axis)
    smaller = np.diag([1 / 3, 1 / 3, 1 / 3, 1.0])
    smaller[:3, 3] = -1 / 3
    return Volume(array, labels.affine @ smaller, "labels", NAMES)


def cut(labels: Volume) -> Volume:
    """Return the labels without the border that has none."""
    voxels = np.argwhere(labels.array)
    first, last = voxels.min(0), voxels.max(0) + 1
    affine = labels.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ first
    box = tuple(slice(*ends) for ends in zip(first, last, strict=True))
    return Volume(labels.array[box], affine, "labels", NAMES)


GRIDS = {"same": lambda labels: labels, "turned": turned, "finer": finer, "cut": cut}


def write_pair(path: Path, volume: Volume) -> Path:
    """Write a pair of header and voxels."""
    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Pair(volume.array, volume.affine), path)
    return path


def write_dicom(path: Path, volume: Volume) -> Path:
    """Write a folder of slices; DICOM's axes point left and back where ours point right."""
    path.mkdir(parents=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    sizes = np.linalg.norm(lps[:3, :3], axis=0)
    for index in range(volume.shape[2]):
        write_slice(
            path / f"{index}.dcm",
            volume.array[:, :, index].T,
            (lps @ [0, 0, index, 1])[:3],
            directions=(lps[:3, :3] / sizes).T[:2],
            spacing=(sizes[1], sizes[0]),
            number=index,
        )
    return path


FORMATS = {
    "nifti": (write_volume, ".nii.gz", ".nii.gz"),
    "pair": (write_pair, ".hdr", ".nii"),
    "nrrd": (write_volume, ".nrrd", ".seg.nrrd"),
    "meta": (write_volume, ".mha", ".mha"),
    "dicom": (write_dicom, "", ".seg.nrrd"),
    "zarr": (write_volume, ".ome.zarr", ".ome.zarr"),
}


@pytest.fixture
def files(tmp_path):
    """Return the function that writes a scan in every format, and its labels on every grid."""

    def write(labels: Volume) -> list[Case]:
        cases = []
        for name, (write_scan, suffix, labels_suffix) in FORMATS.items():
            image = write_scan(tmp_path / "images" / f"{name}{suffix}", scan_of(labels))
            for grid, change in GRIDS.items():
                path = tmp_path / "labels" / f"{name}-{grid}{labels_suffix}"
                write_volume(path, change(labels))
                case = Case(name=f"{name}-{grid}", image=image, labels=path, role="training")
                cases.append(case)
        return cases

    return write


def opened(path: Path, kind: str) -> Layer:
    """Return a file as the layer that napari makes of it."""
    ((data, attributes, found),) = get_reader(str(path))(str(path))
    assert found == kind
    return Layer.create(data, attributes, found)


def through_layers(cases: list[Case], config: RunConfig, folder: Path) -> list[Case]:
    """Return the cases as the Train dock makes them of layers."""
    scans = []
    for case in cases:
        image = layer_to_volume(opened(case.image, "image"))
        labels = layer_to_volume(opened(case.labels, "labels"))
        scans.append(Scan(Volume(image.array, image.affine, f"{case.name} layer"), labels))
    made = planned_cases(scans, folder)
    writer(scans, made, config.data)()
    return list(made)


def trained_on(cases: list[Case], config: RunConfig, path: Path) -> RunFolder:
    """Train one step; its loss says that the labels lie on what can be seen."""
    spec = RunSpec(config=config, cases=tuple(cases), class_names=NAMES)
    run = RunFolder(path).create(spec)
    events = list(execute(run.path))
    assert isinstance(events[-1], RunFinished)
    assert events[-1].reason == "completed", events[-1].message
    (step,) = (event for event in events if isinstance(event, StepFinished))
    assert step.losses["dice_ce"] < 0.01
    return run


def predicted(run: RunFolder, images: dict[str, Path], folder: Path) -> dict[str, Path]:
    """Return the predicted labels of scans by name."""
    scans = tuple(Case(name=name, image=image) for name, image in images.items())
    out = folder / "predicted"
    spec = PredictSpec(run=run.path, scans=scans, out=out)
    PredictFolder(folder / "work").create(spec)
    *_, last = execute(folder / "work")
    assert last.reason == "completed", last.message
    return {case.name: labels_path(spec, case) for case in scans}


def read_by_others(path: Path) -> sitk.Image:
    """Read a scan with SimpleITK."""
    if path.is_dir():
        return sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path)))
    return sitk.ReadImage(str(path))


def place_of_corner(path: Path) -> np.ndarray:
    """Return where SimpleITK says that the corner lies, in millimetres, RAS+."""
    image = sitk.ReadImage(str(path))
    (voxel,) = np.argwhere(sitk.GetArrayFromImage(image).T == 2)
    return image.TransformIndexToPhysicalPoint(voxel.tolist()) * np.array([-1, -1, 1])


@pytest.mark.parametrize(("orientation", "spacing"), [*product(ORIENTATIONS, SPACINGS)])
def test_marked_corner_keeps_its_place(files, loaded, tmp_path, orientation, spacing):
    labels = drawn(orientation, spacing)
    corner = (labels.affine @ [*np.argwhere(labels.array == 2)[0], 1])[:3]
    config = RunConfig().updated(
        {
            "network": {"name": "bright_network:build"},
            "data": {
                "intensity": "window",
                "window": (LEVELS_HU[0], LEVELS_HU[-1]),
                "patch_size": (12, 8, 8),
                "augmentation": "none",
                "resample": True,
            },
            "masking": {"block_size": 4},
            "training": {"steps": 1, "batch_size": 8, "preview_every": 0.0, "learning_rate": 1e-9},
            "device": {"device": "cpu", "precision": "float32", "threads": 1},
        }
    )
    cases = files(labels)
    cases += through_layers(cases, config, tmp_path / "layers")
    run = trained_on(cases, config, tmp_path / "run")
    dataset, _ = loaded(run.spec(), run.path / "cache")
    assert len(dataset.training) == 2 * len(FORMATS) * len(GRIDS)
    for scan in dataset.training:
        seen = np.rint(2 * np.asarray(scan.image[0]))
        np.testing.assert_array_equal(np.asarray(scan.labels), seen, err_msg=scan.name)
        (voxel,) = np.argwhere(np.asarray(scan.labels) == 2)
        assert np.abs((scan.affine @ [*voxel, 1])[:3] - corner).max() < TOLERANCE_MM

    images = {case.name.removesuffix("-same"): case.image for case in cases[:: len(GRIDS)]}
    for name, path in predicted(run, images, tmp_path).items():
        # SimpleITK reads no Zarr: of that, what is saved again is laid on the same scan as NIfTI.
        is_zarr = path.is_dir()
        saved = [] if is_zarr else [path]
        for suffix in (".nii.gz", ".seg.nrrd"):
            layer = opened(path, "labels")
            saved.append(save_labels(tmp_path / "saved" / f"{name}{suffix}", layer))
        source = read_by_others(images["nifti" if is_zarr else name])
        expected = np.rint(sitk.GetArrayFromImage(source) / LEVELS_HU[1])
        for file in saved:
            again = read_volume(file)
            (voxel,) = np.argwhere(again.array == 2)
            assert np.abs((again.affine @ [*voxel, 1])[:3] - corner).max() < TOLERANCE_MM
            assert np.abs(place_of_corner(file) - corner).max() < TOLERANCE_MM
            overlaid = sitk.Resample(
                sitk.ReadImage(str(file)), source, sitk.Transform(), sitk.sitkNearestNeighbor
            )
            np.testing.assert_array_equal(sitk.GetArrayFromImage(overlaid), expected, err_msg=name)
