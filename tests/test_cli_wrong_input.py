"""What goes wrong in a terminal is told by file, and leaves nothing that is in the way."""

import gzip
import json
import os
import shutil
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from safetensors.numpy import save_file

from napari_medcontext.cli import EXIT_FAILED, EXIT_USAGE, main
from napari_medcontext.core.io import list_scans, read_volume, write_volume
from napari_medcontext.core.prediction_plan import LEDGER
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.settings import dump

CASE = "ras"


@pytest.fixture
def medcontext(monkeypatch, capsys):
    """Return the function that calls the command and gives its exit code and standard error."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["medcontext", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, capsys.readouterr().err

    return call


@pytest.fixture
def scans(study, tmp_path):
    """A study of its own for each test to spoil."""
    return shutil.copytree(study, tmp_path / "study")


@pytest.fixture
def train(medcontext, scans, tmp_path, tiny_config):
    """Return the function that trains on the study for one step, always into the same folder."""
    config = tiny_config.updated({"training": {"steps": 1}})
    (tmp_path / "settings.yaml").write_text(dump(config), encoding="utf-8")
    words = ("--images", scans / "images", "--labels", scans / "labels")
    ending = ("--out", tmp_path / "run", "--config", tmp_path / "settings.yaml")
    return lambda: medcontext("train", *words, *ending)


def told(text, *parts):
    """Say whether a message has all parts, wherever the terminal broke its lines."""
    assert "Traceback" not in text
    plain = "".join(text.split())
    missing = [part for part in parts if "".join(part.split()) not in plain]
    assert not missing, f"{missing} not in {text}"
    return True


def rewrite(kind, change):
    """Return what replaces the voxels of one file of the study."""

    def spoil(scans):
        path = scans / kind / f"{CASE}.nii.gz"
        array = read_volume(path).array
        nib.save(nib.Nifti1Image(change(array), read_volume(path).affine), path)

    return spoil


def with_voxel(value):
    def change(array):
        changed = array.astype(np.float32)
        changed[1, 2, 3] = value
        return changed

    return change


def move_labels(scans):
    path = scans / "labels" / f"{CASE}.nii.gz"
    labels = read_volume(path)
    affine = labels.affine.copy()
    affine[0, 3] += 7
    nib.save(nib.Nifti1Image(labels.array, affine), path)


def in_colour(array):
    colours = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    return np.zeros(array.shape, colours)


def cut(kind):
    """Return what cuts a file short inside its voxels, its header still whole."""

    def spoil(scans):
        path = scans / kind / f"{CASE}.nii.gz"
        content = gzip.decompress(path.read_bytes())
        path.write_bytes(gzip.compress(content)[:-40])

    return spoil


def no_nifti(scans):
    (scans / "images" / f"{CASE}.nii.gz").write_text("a letter, not a scan")


IMAGE, LABELS = f"images/{CASE}.nii.gz", f"labels/{CASE}.nii.gz"
SPOILT = {
    "shapes differ": (rewrite("labels", lambda a: a[:-1]), ("ras", "shape", "(23, 24, 20)")),
    "affines differ": (move_labels, ("ras", "7.0 mm", "affines differ", "Resample")),
    "empty labels": (rewrite("labels", np.zeros_like), ("ras", "are empty", "Paint")),
    "one class everywhere": (rewrite("labels", np.ones_like), ("ras", "one class only")),
    "2D": (rewrite("images", lambda a: a[..., 0]), (IMAGE, "2 dimensions", "must have 3")),
    "4D": (rewrite("images", lambda a: np.stack([a, a], -1)), (IMAGE, "4 dimensions", "Split")),
    "4D labels": (rewrite("labels", lambda a: np.stack([a, a], -1)), (LABELS, "4 dimensions")),
    "colour": (rewrite("images", in_colour), (IMAGE, "colours", "grey")),
    "NaN": (rewrite("images", with_voxel(np.nan)), ("ras", "1 voxels that are NaN", "Replace")),
    "infinite": (rewrite("images", with_voxel(np.inf)), ("ras", "infinite", "Replace")),
    "parts of a class": (rewrite("labels", with_voxel(1.5)), ("ras", "not a whole number", "1.5")),
    "negative id": (rewrite("labels", with_voxel(-2)), ("ras", "negative", "-2")),
    "cut image": (cut("images"), (IMAGE, "cut short", "Copy or export it again")),
    "cut labels": (cut("labels"), (LABELS, "cut short", "Copy or export it again")),
    "no NIfTI": (no_nifti, (IMAGE, "not a NIfTI file", "Choose")),
}


@pytest.mark.parametrize("spoil", SPOILT)
def test_study_that_cannot_be_trained_on_is_refused_and_its_folder_takes_the_mended_one(
    spoil, train, scans, study, tmp_path
):
    change, parts = SPOILT[spoil]
    change(scans)
    code, text = train()
    assert code == EXIT_FAILED
    assert told(text, *parts)
    run = RunFolder(tmp_path / "run")
    assert not (run.path / "states").exists()
    assert not (run.path / "log.csv").exists()
    assert not run.is_alive()
    shutil.copytree(study, scans, dirs_exist_ok=True)
    code, text = train()
    assert code == 0, text
    assert run.last_step() == 1


def test_one_class_and_whole_numbers_stored_as_floats_are_trained_on(train, scans, tmp_path):
    for path in (scans / "labels").iterdir():
        labels = read_volume(path)
        write_volume(path, labels.with_array((labels.array == 2).astype(np.float32) * 3))
    code, text = train()
    assert code == 0, text
    assert RunFolder(tmp_path / "run").last_step() == 1


def test_scan_without_labels_is_named_before_anything_is_written(train, scans, tmp_path):
    (scans / "labels" / "lps.nii.gz").unlink()
    code, text = train()
    assert code == EXIT_USAGE
    assert told(text, "lps.nii.gz", "Add the labels")
    assert not (tmp_path / "run").exists()


def test_folder_without_scans_is_named(medcontext, scans, tmp_path):
    (tmp_path / "none").mkdir()
    words = ("--images", tmp_path / "none", "--labels", scans / "labels")
    code, text = medcontext("train", *words, "--out", tmp_path / "run")
    assert code == EXIT_USAGE
    assert told(text, str(tmp_path / "none"), "holds no scan")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["train", "predict", "evaluate"])
@pytest.mark.parametrize(
    "folder",
    [
        "file/below",
        pytest.param(
            "/proc/below", marks=pytest.mark.skipif(not os.path.isdir("/proc"), reason="no /proc")
        ),
    ],
)
def test_output_that_cannot_be_written_is_named_and_nothing_is_made(
    command, folder, medcontext, finished_run, scans, tmp_path
):
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / folder
    labels = scans / "labels"
    words = {
        "train": ("--images", scans / "images", "--labels", labels, "--out", out),
        "predict": (finished_run.path, scans / "images" / "ras.nii.gz", "--out", out),
        "evaluate": ("--predictions", labels, "--labels", labels, "--out", out / "scores.csv"),
    }
    before = sorted(tmp_path.rglob("*"))
    code, text = medcontext(command, *words[command])
    assert code in (EXIT_FAILED, EXIT_USAGE)
    assert told(text, str(out), "cannot be written", "Choose a folder that you may write to")
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == "in the way"


def remove(path):
    path.unlink()


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def swap_for_a_foreign_one(path):
    save_file({"weight": np.zeros(3, np.float32)}, path)


def swap_for_another_networks(path):
    facts = {"napari_medcontext": "0", "class_ids": "[0, 2, 5]"}
    save_file({"mask_token": np.zeros(1, np.float32)}, path, metadata=facts)


DAMAGES = {
    "missing": (remove, "is missing"),
    "cut": (halve, "is cut short or damaged"),
    "foreign": (swap_for_a_foreign_one, "was not written by napari-medcontext"),
    "of another network": (swap_for_another_networks, "not fit the network"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("weights", ["student", "teacher"])
def test_damaged_weights_are_named_by_predict_which_writes_nothing(
    damage, weights, medcontext, finished_run, scans, tmp_path
):
    spoil, problem = DAMAGES[damage]
    spoil(finished_run.best_state() / f"{weights}.safetensors")
    out = tmp_path / "out"
    code, text = medcontext(
        "predict", finished_run.path, scans / "images", "--out", out, "--weights", weights
    )
    assert code == EXIT_FAILED
    assert told(text, str(finished_run.best_state()), problem)
    assert not out.exists()


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("weights", ["student", "teacher"])
def test_damaged_weights_are_named_by_resume_which_leaves_the_run_as_it_is(
    damage, weights, medcontext, finished_run
):
    spec = finished_run.spec()
    longer = spec.config.updated({"training": {"steps": 6}})
    finished_run.save_spec(spec.model_copy(update={"config": longer}))
    spoil, problem = DAMAGES[damage]
    state = finished_run.newest_state()
    spoil(state / f"{weights}.safetensors")
    kept = [finished_run.spec_path, finished_run.path / "log.csv", *sorted(state.iterdir())]
    before = {path: path.read_bytes() for path in kept}
    code, text = medcontext("train", "--resume", finished_run.path)
    assert code == EXIT_FAILED
    assert told(text, str(state), problem)
    assert {path: path.read_bytes() for path in kept} == before
    assert finished_run.newest_state() == state


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("steps: [", ("neither YAML nor JSON",)),
        ("config: {training: {steps: -1}}", ("steps", "-1")),
    ],
)
def test_damaged_settings_of_a_run_are_named(content, parts, medcontext, finished_run, scans):
    finished_run.spec_path.write_text(content)
    calls = (
        ("predict", finished_run.path, scans / "images", "--out", scans / "out"),
        ("train", "--resume", finished_run.path),
    )
    for words in calls:
        code, text = medcontext(*words)
        assert code == EXIT_USAGE
        assert told(text, str(finished_run.spec_path), *parts)
    assert not (scans / "out").exists()


def test_scan_that_cannot_be_predicted_leaves_no_file_behind(
    medcontext, finished_run, scans, tmp_path
):
    image = scans / "images" / "ras.nii.gz"
    rewrite("images", with_voxel(np.nan))(scans)
    code, text = medcontext("predict", finished_run.path, image, "--out", tmp_path / "out")
    assert code == EXIT_FAILED
    assert told(text, "“ras”", "NaN")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [LEDGER]


def test_run_that_has_learned_something_is_never_replaced(train, tmp_path):
    assert train()[0] == 0
    code, text = train()
    assert code == EXIT_USAGE
    assert told(text, str(tmp_path / "run"), "holds a run already", "Resume it")


def test_brackets_in_a_path_stay_in_the_message(medcontext, tmp_path):
    folder = tmp_path / "scans [left]"
    code, text = medcontext("train", "--resume", folder)
    assert code == EXIT_USAGE
    assert str(folder) in text


def test_shell_sees_one_message_its_code_and_no_traceback(scans, tmp_path):
    no_nifti(scans)
    words = ["train", "--images", scans / "images", "--labels", scans / "labels"]
    done = subprocess.run(
        [sys.executable, "-m", "napari_medcontext", *map(str, words), "--out", tmp_path / "run"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == EXIT_FAILED
    assert told(done.stderr, IMAGE, "not a NIfTI file")
    assert "Traceback" not in done.stdout


def test_prediction_replaces_no_file_unless_told_to(medcontext, finished_run, scans):
    image, drawn = scans / "images" / "ras.nii.gz", scans / "labels" / "ras.nii.gz"
    before = drawn.read_bytes()
    words = ("predict", finished_run.path, image, "--out", scans / "labels")
    code, text = medcontext(*words)
    assert code == EXIT_USAGE
    assert told(text, str(drawn), "would be overwritten", "--overwrite")
    assert drawn.read_bytes() == before
    code, text = medcontext(*words, "--overwrite")
    assert code == 0, text
    assert drawn.read_bytes() != before


def test_run_is_not_made_among_other_files(medcontext, scans):
    words = ("--images", scans / "images", "--labels", scans / "labels", "--out", scans / "images")
    before = sorted(path.name for path in (scans / "images").iterdir())
    code, text = medcontext("train", *words)
    assert code != 0
    assert told(text, str(scans / "images"), "holds other files", "empty folder")
    assert sorted(path.name for path in (scans / "images").iterdir()) == before


def test_scans_in_the_place_of_labels_are_told(medcontext, scans, tmp_path):
    both = ("--images", scans / "images", "--labels", scans / "images", "--out", tmp_path / "run")
    code, text = medcontext("train", *both)
    assert code != 0
    assert told(text, str(scans / "images"), "for the scans and for the labels")
    grey = tmp_path / "grey"
    for path in list_scans(scans / "labels"):
        labels = read_volume(path)
        values = np.random.default_rng(0).integers(0, 250, labels.shape).astype(np.uint8)
        write_volume(grey / path.name, labels.with_array(values, class_names={}))
    words = ("--predictions", grey, "--labels", scans / "labels", "--out", tmp_path / "scores.csv")
    code, text = medcontext("evaluate", *words)
    assert code != 0
    assert told(text, "Is it a scan rather than labels?")


def test_prediction_never_replaces_a_scan(medcontext, finished_run, scans):
    image = scans / "images" / "ras.nii.gz"
    before = image.read_bytes()
    words = ("predict", finished_run.path, image, "--out", scans / "images", "--overwrite")
    code, text = medcontext(*words)
    assert code == EXIT_FAILED
    assert told(text, "would overwrite the scan", str(image))
    assert image.read_bytes() == before


def test_reference_without_a_prediction_is_named_after_the_table_is_written(
    medcontext, scans, tmp_path
):
    predictions = shutil.copytree(scans / "labels", tmp_path / "predicted [left]")
    (predictions / "lps.nii.gz").unlink()
    table = tmp_path / "scores.csv"
    code, text = medcontext(
        "evaluate", "--predictions", predictions, "--labels", scans / "labels", "--out", table
    )
    assert code == EXIT_FAILED
    assert told(text, str(predictions), "no prediction for lps")
    assert table.read_text().count("\nras,") == 2


@pytest.mark.parametrize(
    ("option", "value"), [("--steps", 9), ("--patch-size", "32 16 16"), ("--validation", "lps")]
)
def test_options_that_resume_would_ignore_are_named(option, value, medcontext, finished_run):
    words = str(value).split()
    code, text = medcontext("train", "--resume", finished_run.path, option, *words)
    assert code == EXIT_USAGE
    assert told(text, "ignores", option, "Leave that out")


def test_scans_named_twice_are_refused(medcontext, scans, tmp_path):
    words = ("--dataset", scans / "dataset.json", "--images", scans / "images")
    code, text = medcontext("train", *words, "--out", tmp_path / "run")
    assert code == EXIT_USAGE
    assert told(text, "once", "--dataset", "--images")


def test_two_scans_of_one_name_are_refused(medcontext, scans, tmp_path):
    entry = {"image": "images/ras.nii.gz", "label": "labels/ras.nii.gz"}
    (scans / "dataset.json").write_text(json.dumps({"training": [entry, entry], "labels": {}}))
    code, text = medcontext("train", "--dataset", scans / "dataset.json", "--out", tmp_path / "run")
    assert code == EXIT_USAGE
    assert told(text, "Several scans are called ras")
    assert not (tmp_path / "run").exists()


def test_run_in_use_is_refused_and_hears_no_command(medcontext, finished_run):
    finished_run.send("pause")
    with finished_run.claimed():
        code, text = medcontext("train", "--resume", finished_run.path)
        assert code == EXIT_USAGE
        assert told(text, str(finished_run.path), "is in use")
        assert finished_run.command() == "pause"
