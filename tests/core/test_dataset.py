import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_medcontext.core.classes import UNKNOWN, Classes
from napari_medcontext.core.config import Case, RunSpec
from napari_medcontext.core.errors import ScanError, SettingsError
from napari_medcontext.core.events import Preparing, Warned
from napari_medcontext.core.io import read_volume, write_volume
from napari_medcontext.core.sampler import PatchSampler


@pytest.fixture(scope="module")
def dataset(tiny_spec, loaded):
    return loaded(tiny_spec)[0]


def test_class_ids_with_gaps_become_indices_and_come_back():
    classes = Classes((0, 2, 5, 900))
    ids = np.array([0, 2, 5, 900, 2])
    indices = classes.to_indices(ids)
    assert indices.tolist() == [0, 1, 2, 3, 1]
    assert indices.dtype == np.uint8
    assert classes.to_ids(indices).tolist() == ids.tolist()
    assert classes.to_ids(indices).dtype == np.uint16


def test_ids_that_training_never_saw_become_background():
    assert Classes((0, 2, 5)).to_indices(np.array([1, 3, 4, 6, 2**31])).tolist() == [0] * 5


def test_scans_of_any_orientation_come_out_upright_at_one_spacing(dataset):
    assert [scan.name for scan in dataset.training] == ["ras", "thick"]
    assert [scan.name for scan in dataset.validation] == ["lps"]
    assert dataset.classes.ids == (0, 2, 5)
    assert dataset.classes.names == {2: "liver", 5: "spleen"}
    for scan in [*dataset.training, *dataset.validation]:
        assert np.diag(scan.affine)[:3] == pytest.approx((1.0, 1.0, 1.5))
        assert scan.image.dtype == torch.float32
        assert scan.image.shape == (1, *scan.labels.shape)
        assert torch.unique(scan.labels).tolist() == [0, 1, 2]
        for index, centre in ((1, (-5, 0, 0)), (2, (6, 2, 0))):
            where = np.argwhere(scan.labels.numpy() == index).mean(0)
            world = scan.affine[:3, :3] @ where + scan.affine[:3, 3]
            assert np.abs(world - centre).max() < 1.0
    assert dataset.training[1].source_spacing == pytest.approx((1.0, 1.0, 2.5))


def test_progress_is_told_from_nothing_to_all(tiny_spec, loaded):
    _, events = loaded(tiny_spec)
    shares = [event.done / event.total for event in events if isinstance(event, Preparing)]
    assert shares[0] == 0
    assert shares[-1] == 1
    assert shares == sorted(shares)


def test_spacing_left_open_is_the_median_of_the_training_scans(tiny_config, cases, loaded):
    config = tiny_config.updated({"data": {"spacing": None}})
    spec = RunSpec(config=config, cases=cases(ras="training", thick="training", lps="training"))
    assert loaded(spec)[0].spacing == pytest.approx((1.0, 1.0, 1.0))


def test_batch_is_a_function_of_seed_and_step_alone(dataset, tiny_config):
    sampler = PatchSampler(dataset.training, tiny_config)
    first = [sampler.batch(step) for step in range(3)]
    again = PatchSampler(dataset.training, tiny_config)
    for step in (2, 0, 1):
        batch = again.batch(step)
        assert torch.equal(batch.image, first[step].image)
        assert torch.equal(batch.labels, first[step].labels)
    other = PatchSampler(dataset.training, tiny_config.updated({"training": {"seed": 1}}))
    assert not torch.equal(other.batch(0).image, first[0].image)
    assert not torch.equal(first[0].image, first[1].image)


@pytest.mark.parametrize("augmentation", ["none", "gentle", "paper"])
def test_volumes_smaller_than_a_patch_are_continued_at_the_edges(
    dataset, tiny_config, augmentation
):
    size = (48, 32, 32)
    config = tiny_config.updated({"data": {"patch_size": size, "augmentation": augmentation}})
    batch = PatchSampler(dataset.training, config).batch(0)
    assert batch.image.shape == batch.labels.shape == (2, 1, *size)
    assert torch.isfinite(batch.image).all()
    assert set(torch.unique(batch.labels).tolist()) <= {0.0, 1.0, 2.0}


def test_every_scan_is_used_once_before_any_is_used_again(dataset, tiny_config):
    config = tiny_config.updated({"data": {"augmentation": "none"}})
    sampler = PatchSampler(dataset.training, config)
    known = [set(scan.image.numpy().ravel().tolist()) for scan in dataset.training]
    for step in range(5):
        images = sampler.batch(step).image.numpy()
        used = [max((0, 1), key=lambda i: len(known[i] & set(p.ravel()))) for p in images]
        assert sorted(used) == [0, 1]


def test_patches_show_every_class_often(dataset, tiny_config):
    config = tiny_config.updated({"data": {"augmentation": "none", "patch_size": (16, 16, 16)}})
    sampler = PatchSampler(dataset.training, config)
    centres = [int(p[0, 8, 8, 8]) for step in range(60) for p in sampler.batch(step).labels]
    share = np.bincount(centres, minlength=3) / len(centres)
    # Patches near a border are moved inside, so the shares are not exactly ½, ¼, ¼.
    assert (share > 0.1).all()


def arrays(dataset):
    scans = [*dataset.training, *dataset.validation]
    return [array for scan in scans for array in (scan.image, scan.labels, scan.affine)]


def test_cache_gives_the_same_arrays_without_preparing_again(
    tiny_spec, loaded, tmp_path, monkeypatch
):
    plain = arrays(loaded(tiny_spec)[0])
    written = arrays(loaded(tiny_spec, tmp_path)[0])
    files = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(files) == 9

    def refuse(*_):
        raise AssertionError("prepared again")

    monkeypatch.setattr("napari_medcontext.core.prepared._prepare", refuse)
    read = arrays(loaded(tiny_spec, tmp_path)[0])
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == files
    for one, two, three in zip(plain, written, read, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(two))
        np.testing.assert_array_equal(np.asarray(one), np.asarray(three))


def test_cache_is_missed_when_the_scan_or_a_setting_changes(
    make_scan, tiny_config, loaded, tmp_path
):
    image, labels = make_scan("a", "RAS", (1.0, 1.0, 1.0), (24, 24, 20))
    case = Case(name="a", image=tmp_path / "a.nii", labels=tmp_path / "b.nii")
    write_volume(case.image, image)
    write_volume(case.labels, labels)
    cache = tmp_path / "cache"
    spec = RunSpec(config=tiny_config, cases=(case,))
    first = loaded(spec, cache)[0].training[0].image.clone()
    write_volume(case.image, image.with_array(image.array[::-1].copy()))
    os.utime(case.image, ns=(0, 12345))
    second = loaded(spec, cache)[0].training[0].image
    assert not torch.equal(first, second)
    changed = spec.config.updated({"data": {"intensity": "percentile"}})
    third = loaded(RunSpec(config=changed, cases=(case,)), cache)[0].training[0].image
    assert not torch.equal(second, third)


def test_damaged_cache_is_prepared_again(tiny_spec, loaded, tmp_path):
    plain = arrays(loaded(tiny_spec, tmp_path)[0])
    plain = [np.asarray(array).copy() for array in plain]
    for path in tmp_path.glob("*-image.npy"):
        path.unlink()
        path.write_bytes(b"cut")
    for one, two in zip(plain, arrays(loaded(tiny_spec, tmp_path)[0]), strict=True):
        np.testing.assert_array_equal(one, np.asarray(two))


def test_nothing_to_train_on_is_refused(tiny_config, cases, loaded):
    with pytest.raises(ScanError, match="no scan to train on"):
        loaded(RunSpec(config=tiny_config, cases=cases(ras="validation", lps="unused")))


def bare_beside(case, role="training", count=1):
    """Return a case, and copies of it without labels."""
    bare = [
        case.model_copy(update={"name": f"bare{number}", "labels": None, "role": role})
        for number in range(count)
    ]
    return (case, *bare)


@pytest.mark.parametrize(
    ("role", "objective"),
    [
        ("validation", {}),
        ("training", {"method": "supervised"}),
        ("training", {"consistency_weight": 0.0}),
    ],
)
def test_role_that_needs_labels_names_the_scan_without(tiny_config, cases, loaded, role, objective):
    config = tiny_config.updated({"objective": objective})
    two = bare_beside(*cases(ras="training"), role)
    with pytest.raises(ScanError, match=f"Set to {role}, but without labels: “bare0”"):
        loaded(RunSpec(config=config, cases=two))


def test_scan_without_labels_joins_where_there_is_a_teacher_and_it_is_told(
    tiny_config, cases, loaded
):
    dataset, events = loaded(RunSpec(config=tiny_config, cases=bare_beside(*cases(ras="training"))))
    assert [scan.labels is None for scan in dataset.training] == [False, True]
    (warning,) = [event for event in events if isinstance(event, Warned)]
    assert "“bare0”" in warning.message


def test_training_on_scans_without_labels_alone_is_refused(tiny_config, cases, loaded):
    (case,) = cases(ras="training")
    with pytest.raises(ScanError, match="No training scan has labels"):
        loaded(RunSpec(config=tiny_config, cases=bare_beside(case)[1:]))


@pytest.mark.parametrize(
    ("labelled", "bare", "batch_size", "expected"),
    [(2, 1, 2, 1), (1, 4, 2, 1), (2, 1, 4, 1), (1, 2, 4, 2), (1, 5, 5, 2)],
)
def test_batch_holds_patches_without_labels_by_their_share_and_at_most_half(
    dataset, tiny_config, labelled, bare, batch_size, expected
):
    first = dataset.training[0]
    scans = [first] * labelled + [replace(first, labels=None)] * bare
    config = tiny_config.updated({"training": {"batch_size": batch_size}})
    sampler = PatchSampler(scans, config)
    for step in range(4):
        assert sampler.batch(step).labelled.count(False) == expected


def test_patches_without_labels_come_once_masking_starts_and_each_kind_takes_turns(
    dataset, tiny_config
):
    first = dataset.training[0]
    scans = [replace(first, image=first.image * 0 + k) for k in range(4)]
    scans += [replace(first, image=first.image * 0 + k, labels=None) for k in (10, 11)]
    config = tiny_config.updated(
        {
            "data": {"augmentation": "none"},
            "objective": {"masked_start": 0.5},
            "training": {"steps": 12, "batch_size": 2},
        }
    )
    sampler = PatchSampler(scans, config)
    batches = [sampler.batch(step) for step in range(12)]
    assert all(batch.labelled == (True, True) for batch in batches[:6])
    assert all(batch.labelled == (True, False) for batch in batches[6:])
    used = [float(image.mean()) for batch in batches for image in batch.image]
    whole = [value for value in used if value < 10]
    assert all(sorted(whole[k : k + 4]) == [0, 1, 2, 3] for k in range(0, 16, 4))
    bare = [value for value in used if value >= 10]
    assert all(sorted(bare[k : k + 2]) == [10, 11] for k in range(0, 6, 2))
    assert all((batch.labels[1] == UNKNOWN).all() for batch in batches[6:])


def test_scan_without_labels_needs_two_patches_a_step(dataset, tiny_config):
    scans = [dataset.training[0], replace(dataset.training[0], labels=None)]
    config = tiny_config.updated({"training": {"batch_size": 1}})
    with pytest.raises(SettingsError, match="patches a step to 2 or more"):
        PatchSampler(scans, config)


@pytest.fixture
def sparse_case(make_scan, tmp_path):
    """Return a function that writes a scan of which every so many slices are annotated."""

    def build(every, axis=2, unknown=9):
        image, labels = make_scan("a", "RAS", (1.0, 1.0, 1.0), (24, 24, 20))
        array = np.full_like(labels.array, unknown)
        known = [slice(None)] * 3
        known[axis] = slice(0, None, every)
        array[tuple(known)] = labels.array[tuple(known)]
        case = Case(name="sparse", image=tmp_path / "i.nii", labels=tmp_path / "l.nii")
        write_volume(case.image, image)
        write_volume(case.labels, labels.with_array(array))
        return case

    return build


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 1.0, 2.0), (0.8, 1.3, 3.0)])
def test_scan_annotated_on_some_slices_keeps_them_and_no_class_for_the_rest(
    sparse_case, tiny_config, loaded, spacing
):
    config = tiny_config.updated({"data": {"ignore_label": 9, "spacing": spacing}})
    dataset, events = loaded(RunSpec(config=config, cases=(sparse_case(10),)))
    assert dataset.classes.ids == (0, 2, 5)
    assert not [event for event in events if isinstance(event, Warned)]
    labels = dataset.training[0].labels.numpy()
    assert set(np.unique(labels)) == {0, 1, 2, UNKNOWN}
    known = (labels != UNKNOWN).any((0, 1))
    heights = dataset.training[0].affine[2, 3] + np.flatnonzero(known) * spacing[2]
    assert heights == pytest.approx([-9.5, 0.5], abs=spacing[2] / 2)
    assert (labels != UNKNOWN)[..., known].all()


def test_patches_are_centred_on_what_is_known(sparse_case, tiny_config, loaded):
    config = tiny_config.updated(
        {
            "data": {
                "ignore_label": 9,
                "spacing": (1.0, 1.0, 1.0),
                "patch_size": (8, 8, 8),
                "augmentation": "none",
            }
        }
    )
    dataset, _ = loaded(RunSpec(config=config, cases=(sparse_case(7, axis=0),)))
    sampler = PatchSampler(dataset.training, config)
    patches = [patch for step in range(20) for patch in sampler.batch(step).labels]
    # Patches on the outermost slices are moved inside.
    centred = [patch for patch in patches if (patch[0, 4] != UNKNOWN).all()]
    assert len(centred) > 20
    assert all((patch != UNKNOWN).any() for patch in patches)
    assert all(batch for step in range(20) for batch in sampler.batch(step).labelled)


def test_scan_of_which_nothing_is_known_is_refused(sparse_case, tiny_config, loaded, cases):
    case = sparse_case(10)
    volume = read_volume(case.labels)
    write_volume(case.labels, volume.with_array(np.full_like(volume.array, 9)))
    config = tiny_config.updated({"data": {"ignore_label": 9}})
    with pytest.raises(ScanError, match=r"unknown \(9\) in every voxel"):
        loaded(RunSpec(config=config, cases=(*cases(ras="training"), case)))


def test_regions_name_what_is_predicted_and_tell_of_what_they_leave_out(tiny_config, cases, loaded):
    spec = RunSpec(config=tiny_config, cases=cases(ras="training"), regions={"spot": (5,)})
    dataset, events = loaded(spec)
    assert dataset.classes.names == {1: "spot"}
    assert dataset.classes.outputs == 1
    (warning,) = [event for event in events if isinstance(event, Warned)]
    assert "[2] are in no region" in warning.message
    with pytest.raises(ScanError, match="“core” is made of the classes"):
        loaded(spec.model_copy(update={"regions": {"spot": (5,), "core": (7,)}}))


def test_preview_scan_needs_no_labels(tiny_config, cases, loaded):
    (first,) = cases(ras="training")
    bare = first.model_copy(update={"name": "bare", "labels": None, "role": "preview"})
    dataset, _ = loaded(RunSpec(config=tiny_config, cases=(first, bare)))
    assert dataset.preview.name == "bare"
    assert dataset.preview.labels is None


def test_class_that_no_training_scan_has_is_warned_of(
    make_scan, tiny_config, cases, loaded, tmp_path
):
    image, labels = make_scan("odd", "RAS", (1.0, 1.0, 1.0), (24, 24, 20))
    array = labels.array.copy()
    array[0, 0, 0] = 9
    odd = Case(name="odd", image=tmp_path / "i.nii", labels=tmp_path / "l.nii", role="validation")
    write_volume(odd.image, image)
    write_volume(odd.labels, labels.with_array(array))
    dataset, events = loaded(RunSpec(config=tiny_config, cases=(*cases(ras="training"), odd)))
    (warning,) = [event for event in events if isinstance(event, Warned)]
    assert "“odd”" in warning.message
    assert "[9]" in warning.message
    assert dataset.classes.ids == (0, 2, 5)


def test_labels_that_vanish_at_the_spacing_are_refused(make_scan, tiny_config, loaded, tmp_path):
    image, labels = make_scan("a", "RAS", (1.0, 1.0, 1.0), (24, 24, 20))
    array = np.zeros_like(labels.array)
    array[0, 0, 0] = 1
    case = Case(name="speck", image=tmp_path / "i.nii", labels=tmp_path / "l.nii")
    write_volume(case.image, image)
    write_volume(case.labels, labels.with_array(array))
    config = tiny_config.updated({"data": {"spacing": (6.0, 6.0, 6.0)}})
    with pytest.raises(ScanError, match="Nothing is left of the labels of “speck”"):
        loaded(RunSpec(config=config, cases=(case,)))


def test_two_scans_of_one_name_are_refused_before_any_is_read(tiny_spec, cases, loaded):
    twice = (*cases(ras="training"), *cases(ras="validation"))
    with pytest.raises(ScanError, match="Several scans are called ras"):
        loaded(tiny_spec.model_copy(update={"cases": twice}))
    unused = (*cases(ras="training"), *cases(ras="unused"))
    assert loaded(tiny_spec.model_copy(update={"cases": unused}))[0].classes.ids == (0, 2, 5)
