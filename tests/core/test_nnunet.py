"""Studies in nnU-Net's form are read as they are, or refused with what to do."""

import json
import shutil

import pytest

from napari_medcontext.core.cases import dataset_channels, decathlon_cases, decathlon_part
from napari_medcontext.core.errors import ScanError
from napari_medcontext.study import study_files

LABELS = {"background": 0, "liver": 2, "spleen": 5, "ignore": 7}


@pytest.fixture
def raw(study, tmp_path):
    """``Dataset001_Organs`` with two training cases and a test case."""
    folder = tmp_path / "Dataset001_Organs"
    for part, names in (("Tr", ("ras", "lps")), ("Ts", ("thick",))):
        for kind, end in (("images", "_0000"), ("labels", "")):
            (folder / f"{kind}{part}").mkdir(parents=True)
            for name in names:
                file = folder / f"{kind}{part}" / f"{name}{end}.nii.gz"
                shutil.copy(study / kind / f"{name}.nii.gz", file)
    write(folder, {"0": "CT"}, LABELS)
    return folder


def write(folder, channels, labels):
    described = {"channel_names": channels, "labels": labels, "numTraining": 2}
    described["file_ending"] = ".nii.gz"
    (folder / "dataset.json").write_text(json.dumps(described))


def test_cases_their_labels_and_the_classes_names_are_found(raw):
    cases, names = decathlon_cases(raw / "dataset.json", ignore_label=7)
    assert [case.name for case in cases] == ["lps", "ras"]
    assert cases[0].image == raw / "imagesTr" / "lps_0000.nii.gz"
    assert cases[0].labels == raw / "labelsTr" / "lps.nii.gz"
    assert names == {2: "liver", 5: "spleen"}
    (test,) = decathlon_part(raw / "dataset.json", "test")
    assert (test.name, test.labels) == ("thick", raw / "labelsTs" / "thick.nii.gz")
    assert decathlon_part(raw / "dataset.json", "unlabeled") == ()


def test_study_opens_in_pairs_with_its_names(raw):
    files = study_files(raw)
    assert [file.path.name for file in files[:2]] == ["lps_0000.nii.gz", "lps.nii.gz"]
    assert [file.kind for file in files] == ["image", "labels"] * 3
    assert files[1].class_names == {number: name for name, number in LABELS.items()}


def test_id_that_means_unknown_must_be_known_to_the_training(raw):
    for other in (None, 5):
        with pytest.raises(ScanError, match=r"the id 7 means “ignore”.*--ignore-label 7"):
            decathlon_cases(raw / "dataset.json", other)


def test_several_channels_belong_together_and_a_missing_one_is_named(raw):
    write(raw, {"1": "T1", "0": "FLAIR"}, {"background": 0, "liver": 2})
    with pytest.raises(ScanError, match="“lps” has no file of the channel T1: neither lps_0001"):
        decathlon_cases(raw / "dataset.json")
    for name in ("lps", "ras"):
        folder = raw / "imagesTr"
        shutil.copy(folder / f"{name}_0000.nii.gz", folder / f"{name}_0001.nii.gz")
    cases, _ = decathlon_cases(raw / "dataset.json")
    assert dataset_channels(raw / "dataset.json") == ("FLAIR", "T1")
    assert [(case.name, case.image.name) for case in cases] == [
        ("lps", "lps_0000.nii.gz"),
        ("ras", "ras_0000.nii.gz"),
    ]
    assert [path.name for path in cases[1].further] == ["ras_0001.nii.gz"]


def test_regions_come_back_as_options(raw):
    write(raw, {"0": "CT"}, {"background": 0, "both": [2, 5], "spleen": [5]})
    with pytest.raises(ScanError, match=r'--region "both=2,5" --region "spleen=5"'):
        decathlon_cases(raw / "dataset.json")


def test_file_without_a_channel_is_named(raw):
    write(raw, {"0": "CT"}, {"background": 0, "liver": 2})
    (raw / "imagesTr" / "ras_0000.nii.gz").rename(raw / "imagesTr" / "ras.nii.gz")
    with pytest.raises(ScanError, match=r"ras\.nii\.gz says no channel"):
        decathlon_cases(raw / "dataset.json")


def test_file_that_is_no_table_is_refused(raw):
    (raw / "dataset.json").write_text("[1, 2]")
    with pytest.raises(ScanError, match="does not describe a study"):
        decathlon_cases(raw / "dataset.json")
