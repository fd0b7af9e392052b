"""Scans of several channels: found, checked, learned from and predicted, in the right order."""

import numpy as np
import pytest
import torch

from napari_medcontext.core.cases import paired_cases
from napari_medcontext.core.channel_files import cases_of, listed_channels
from napari_medcontext.core.channels import read_channels
from napari_medcontext.core.config import RunSpec
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.inference import drained, load_predictor
from napari_medcontext.core.io import read_volume, write_volume
from napari_medcontext.core.jobs import execute
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.subject import load_networks, load_subject
from napari_medcontext.core.volume import Volume

NAMES = ("FLAIR", "T1", "T1ce")


@pytest.fixture
def folders(study, tmp_path):
    """Scans of two channels: the study's, and its negative, under names as users give them."""
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    for name, ends in (("ras", ("0000", "0001")), ("lps", ("flair", "T1"))):
        image = read_volume(study / "images" / f"{name}.nii.gz")
        for end, sign in zip(ends, (1, -1), strict=True):
            changed = image.with_array(sign * image.array.astype(np.float32))
            write_volume(tmp_path / "images" / f"{name}_{end}.nii.gz", changed)
        labels = study / "labels" / f"{name}.nii.gz"
        (tmp_path / "labels" / labels.name).write_bytes(labels.read_bytes())
    return tmp_path


@pytest.fixture
def cases(folders):
    return paired_cases(folders / "images", folders / "labels", channels=NAMES[:2])


@pytest.fixture
def run(cases, tiny_config, tmp_path):
    spec = RunSpec(config=tiny_config, cases=cases, channels=NAMES[:2])
    run = RunFolder(tmp_path / "run").create(spec)
    *_, last = execute(run.path)
    assert last.reason == "completed", last
    return run


def test_files_belong_together_by_number_or_name(folders, cases):
    assert [case.name for case in cases] == ["lps", "ras"]
    assert [case.image.name for case in cases] == ["lps_flair.nii.gz", "ras_0000.nii.gz"]
    assert [case.further[0].name for case in cases] == ["lps_T1.nii.gz", "ras_0001.nii.gz"]
    assert cases[0].labels == folders / "labels" / "lps.nii.gz"


def test_name_that_ends_another_is_not_taken_for_it(tmp_path):
    files = [tmp_path / f"a_{name}.nii.gz" for name in ("T1ce", "FLAIR", "T1")]
    (case,) = cases_of(files, NAMES)
    assert [path.name for path in (case.image, *case.further)] == [
        "a_FLAIR.nii.gz",
        "a_T1.nii.gz",
        "a_T1ce.nii.gz",
    ]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (("a_FLAIR", "a_T1"), "“a” has no file of the channel T1ce: neither a_0002 nor a_T1ce"),
        (("a_FLAIR", "a_T1", "a_T1ce", "b"), "says no channel in its name"),
        (("a_0000", "a_0001", "a_0002", "a_0003"), "is of channel 3, but there are 3, from 0 on"),
        (("a_0000", "a_FLAIR", "a_0001", "a_0002"), "are the same channel"),
    ],
)
def test_missing_foreign_and_double_channels_are_named(tmp_path, files, told):
    with pytest.raises(ScanError, match=told):
        cases_of([tmp_path / f"{name}.nii.gz" for name in files], NAMES)


def test_channel_named_twice_is_refused():
    assert listed_channels("FLAIR, T1") == ("FLAIR", "T1")
    with pytest.raises(ScanError, match="named twice"):
        listed_channels("T1,FLAIR,t1")


def test_channels_that_do_not_lie_on_each_other_are_named(cases):
    second = read_volume(cases[0].further[0])
    shifted = second.affine.copy()
    shifted[0, 3] += 3
    write_volume(cases[0].further[0], Volume(second.array, shifted))
    with pytest.raises(ScanError, match=r"channel T1 .*lies up to 3\.0 mm from the first channel"):
        read_channels(cases[0], NAMES[:2])
    write_volume(cases[0].further[0], Volume(second.array[:-1], second.affine))
    with pytest.raises(ScanError, match=r"channel T1 .*has the shape"):
        read_channels(cases[0], NAMES[:2])


def test_training_sees_each_channel_normalised_by_itself(cases, tiny_config, loaded):
    spec = RunSpec(config=tiny_config, cases=cases, channels=NAMES[:2])
    dataset, _ = loaded(spec)
    for scan in dataset.training:
        first, second = scan.image
        torch.testing.assert_close(first, -second, rtol=1e-4, atol=1e-4)


def test_prediction_takes_the_channels_in_the_order_of_the_run(run, cases, folders, loaded):
    predictor = load_predictor(run, "student")
    assert predictor.channels == NAMES[:2]

    def predicted(*volumes):
        work = predictor.predict(*volumes, probabilities=True)
        return drained(work, lambda: False).probabilities[2]

    volumes = read_channels(cases[1], NAMES[:2])
    answer = predicted(*volumes)
    assert not np.array_equal(answer, predicted(*reversed(volumes)))
    array = np.stack([volume.array for volume in volumes], axis=-1)
    write_volume(folders / "whole.nii.gz", Volume(array, volumes[0].affine))
    (together,) = cases_of([folders / "whole.nii.gz"], NAMES[:2])
    np.testing.assert_array_equal(answer, predicted(*read_channels(together, NAMES[:2])))
    case = together.model_copy(update={"labels": cases[1].labels})
    spec = RunSpec(config=run.spec().config, cases=(case,), channels=NAMES[:2])
    files = RunSpec(config=run.spec().config, cases=cases[1:], channels=NAMES[:2])
    np.testing.assert_array_equal(
        loaded(spec)[0].training[0].image, loaded(files)[0].training[0].image
    )
    with pytest.raises(ScanError, match=r"has 1 channel, where the network takes 2 .*FLAIR, T1"):
        predicted(volumes[0])


def test_inspection_shows_the_first_channel_and_hides_in_all(run, cases):
    predictor = load_networks(run)
    subject = load_subject(run, predictor, cases[0])
    assert subject.scan.image.shape == (2, *subject.scan.shape)
    rng = np.random.default_rng(0)
    mask = subject.seen.grid.boxed((slice(4, 9), slice(4, 9), slice(4, 9)))
    for hiding in subject.seen.hidings:
        answer = drained(subject.seen.masked(mask, hiding, rng), lambda: False)
        assert torch.isfinite(answer.probabilities).all()
        assert subject.seen.shown(mask, hiding, rng).shape == subject.scan.shape


def test_terminal_names_what_is_missing_and_trains_on_what_is_there(folders, tiny_config):
    from typer.testing import CliRunner

    from napari_medcontext.cli import app
    from napari_medcontext.core.settings import dump

    settings = folders / "settings.yaml"
    settings.write_text(dump(tiny_config))
    words = ("train", "--images", folders / "images", "--labels", folders / "labels")
    words += ("--config", settings, "--out", folders / "run")

    def called(*more):
        return CliRunner().invoke(app, [str(word) for word in (*words, *more)])

    asked = called("--channels", "FLAIR,T1,T2")
    assert "“lps” has no file of the channel T2" in str(asked.exception)
    done = called("--channels", "FLAIR,T1", "--steps", 2)
    assert done.exit_code == 0, done.output
    assert RunFolder(folders / "run").spec().channels == ("FLAIR", "T1")
    out = folders / "out"
    predict = ["predict", folders / "run", folders / "images", "--out", out]
    done = CliRunner().invoke(app, [str(word) for word in predict])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in out.glob("*.nii.gz")) == ["lps.nii.gz", "ras.nii.gz"]
