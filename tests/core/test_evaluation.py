import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_medcontext.core.cases import pair_by_name
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.evaluation import evaluate_volumes
from napari_medcontext.core.folder_evaluation import evaluate_folders, unpredicted
from napari_medcontext.core.io import read_volume, write_volume
from napari_medcontext.core.metrics import surface_distances
from napari_medcontext.core.scores import ClassScore, scores_to_text, summarise
from napari_medcontext.core.volume import Volume

ABDOMENS = Path(__file__).parents[3] / "shared" / "data" / "abdomen_labels"
NAMES = {1: "liver", 2: "spleen", 3: "pancreas", 4: "aorta"}


def volume(array, name: str, spacing=(1.0, 2.0, 5.0), **changes) -> Volume:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -30, 10, 200
    return Volume(np.asarray(array), affine, name, **changes)


@pytest.fixture
def reference() -> Volume:
    array = np.zeros((8, 9, 10), dtype=np.uint8)
    array[1:5, 1:5, 1:5] = 1
    array[6, 6, 6] = 2
    return volume(array, "reference", class_names=NAMES)


@pytest.fixture
def prediction(reference) -> Volume:
    array = reference.array.copy()
    array[1, 1:5, 1:5] = 0
    array[6, 6, 6] = 0
    array[0, 0, 9] = 3
    return volume(array, "prediction")


def by_name(scores: list[ClassScore]) -> dict[str, ClassScore]:
    return {score.class_name: score for score in scores}


def test_found_class_is_scored_with_spacing_and_volumes(prediction, reference):
    liver = by_name(evaluate_volumes(prediction, reference, case="a"))["liver"]
    assert (liver.case, liver.class_id, liver.status) == ("a", 1, "found")
    assert liver.dsc == pytest.approx(2 * 48 / (48 + 64))
    assert liver.hd95_mm == pytest.approx(1.0)
    assert liver.prediction_ml == pytest.approx(48 * 10 / 1000)
    assert liver.reference_ml == pytest.approx(64 * 10 / 1000)


def test_missed_and_invented_classes_have_dice_0_and_no_distance(prediction, reference):
    scores = by_name(evaluate_volumes(prediction, reference, case="a"))
    for name, status in [("spleen", "missed"), ("pancreas", "invented")]:
        assert (scores[name].status, scores[name].dsc) == (status, 0.0)
        assert math.isnan(scores[name].hd95_mm)
    assert scores["spleen"].prediction_ml == 0.0
    assert scores["pancreas"].reference_ml == 0.0


def test_class_that_is_nowhere_is_absent_and_not_measurable(prediction, reference):
    aorta = by_name(evaluate_volumes(prediction, reference, case="a"))["aorta"]
    assert aorta.status == "absent"
    assert math.isnan(aorta.dsc)
    assert math.isnan(aorta.hd95_mm)


def test_background_is_no_class(prediction, reference):
    names = {0: "background", **NAMES}
    scores = evaluate_volumes(prediction, reference, case="a", class_names=names)
    assert [score.class_id for score in scores] == [1, 2, 3, 4]


def test_classes_can_be_chosen_and_unnamed_ones_go_by_their_id(prediction, reference):
    scores = evaluate_volumes(prediction, reference, case="a", class_names={}, classes=[3, 7])
    assert [(s.class_name, s.status) for s in scores] == [
        ("class 3", "invented"),
        ("class 7", "absent"),
    ]


@pytest.mark.parametrize("orientation", ["LPS", "SAR", "PIL"])
def test_prediction_stored_along_other_axes_scores_the_same(prediction, reference, orientation):
    turned = prediction.reoriented(orientation)
    assert (
        by_name(evaluate_volumes(turned, reference, case="a"))["liver"]
        == by_name(evaluate_volumes(prediction, reference, case="a"))["liver"]
    )


def test_shifted_grid_is_refused_by_how_far_it_lies(prediction, reference):
    affine = reference.affine.copy()
    affine[2, 3] += 2.5
    shifted = Volume(prediction.array, affine, "prediction")
    with pytest.raises(ScanError, match=r"“prediction” and the reference “reference”.*2\.5 mm"):
        evaluate_volumes(shifted, reference, case="a")


def test_other_size_is_refused_with_both_sizes(prediction, reference):
    smaller = volume(prediction.array[1:], "prediction")
    with pytest.raises(ScanError, match=r"7×9×10 voxels of 1×2×5 mm against 8×9×10"):
        evaluate_volumes(smaller, reference, case="a")


def test_floating_point_class_ids_are_taken_and_fractions_refused(prediction, reference):
    as_float = volume(prediction.array.astype(np.float32), "prediction")
    expected = scores_to_text(evaluate_volumes(prediction, reference, case="a"))
    assert scores_to_text(evaluate_volumes(as_float, reference, case="a")) == expected
    fractions = volume(prediction.array * 0.5, "prediction")
    with pytest.raises(ScanError, match=r"“prediction”.*whole"):
        evaluate_volumes(fractions, reference, case="a")


TUMOUR = {"WT": (1, 2, 3, 4), "TC": (1, 3, 4), "ET": (4,)}


@pytest.fixture
def tumour() -> Volume:
    """Class ids as a reference holds them: a shell of 2, in it 1 and 3, and one voxel of 4."""
    array = np.zeros((9, 9, 9), dtype=np.float32)
    array[1:8, 1:8, 1:8] = 2
    array[3:6, 3:6, 3:6] = 1
    array[3:6, 3:6, 5] = 3
    array[4, 4, 4] = 4
    return volume(array, "reference")


def in_numbers(tumour: Volume) -> np.ndarray:
    """Return the tumour as a faultless prediction of its regions is written."""
    return np.select(
        [tumour.array == 4, np.isin(tumour.array, (1, 3)), tumour.array == 2], [3, 2, 1]
    )


def test_regions_are_unions_of_class_ids_in_a_reference_and_of_numbers_in_a_prediction(tumour):
    scores = evaluate_volumes(
        volume(in_numbers(tumour), "prediction"), tumour, case="a", regions=TUMOUR
    )
    assert [(s.class_id, s.class_name, s.dsc) for s in scores] == [
        (1, "WT", 1.0),
        (2, "TC", 1.0),
        (3, "ET", 1.0),
    ]
    assert [round(s.reference_ml * 100) for s in scores] == [7**3, 3**3, 1]


def test_missed_inner_region_costs_the_outer_ones_nothing(tumour):
    array = np.minimum(in_numbers(tumour), 2)
    scores = by_name(
        evaluate_volumes(volume(array, "prediction"), tumour, case="a", regions=TUMOUR)
    )
    assert (scores["WT"].dsc, scores["TC"].dsc) == (1.0, 1.0)
    assert (scores["ET"].status, scores["ET"].dsc) == ("missed", 0.0)


def test_prediction_in_class_ids_is_refused_where_regions_are_scored(tumour):
    with pytest.raises(ScanError, match=r"“reference” holds the id 4, .* 3 regions .* 1 to 3"):
        evaluate_volumes(tumour, tumour, case="a", regions=TUMOUR)


def test_chosen_classes_are_chosen_regions(tumour):
    array = volume(in_numbers(tumour), "prediction")
    (score,) = evaluate_volumes(array, tumour, case="a", regions=TUMOUR, classes=[2])
    assert score.class_name == "TC"


def test_unknown_voxels_are_dropped_from_both_sides(prediction, reference):
    liver = by_name(evaluate_volumes(prediction, reference, case="a"))["liver"]
    assert liver.dsc < 1
    array = np.array(reference.array)
    array[1] = 9
    partly = volume(array, "reference", class_names={**NAMES, 9: "unknown"})
    changed = np.array(prediction.array)
    changed[1] = 1
    scores = by_name(
        evaluate_volumes(volume(changed, "prediction"), partly, case="a", ignore_label=9)
    )
    assert scores["liver"].dsc == 1
    assert scores["liver"].prediction_ml == pytest.approx(48 * 10 / 1000)
    assert "unknown" not in scores


def test_folders_are_paired_by_name_whatever_the_compression(tmp_path, prediction, reference):
    predictions, labels = tmp_path / "predictions", tmp_path / "labels"
    for name in ("case_2.nii.gz", "case_1.nii"):
        write_volume(labels / name, reference)
    write_volume(predictions / "case_1.nii.gz", prediction)
    write_volume(predictions / "case_2.nii.gz", reference)
    write_volume(predictions / "extra.nii", reference)
    cases = list(evaluate_folders(predictions, labels))
    assert [case.scores[0].case for case in cases] == ["case_1", "case_2"]
    assert by_name(cases[0].scores)["spleen"].status == "missed"
    assert summarise(cases[1].scores).mean_dsc == 1.0
    pairs, left_over = pair_by_name(sorted(predictions.iterdir()), sorted(labels.iterdir()))
    assert len(pairs) == 2
    assert left_over == [predictions / "extra.nii"]
    assert unpredicted(predictions, labels) == []
    (predictions / "case_1.nii.gz").unlink()
    assert unpredicted(predictions, labels) == ["case_1"]


def test_names_given_for_folders_stand_in_the_scores(tmp_path, reference):
    write_volume(tmp_path / "case.nii.gz", reference)
    (case,) = evaluate_folders(tmp_path, tmp_path, class_names={1: "heart"})
    assert [score.class_name for score in case.scores] == ["heart", "class 2"]


def test_pair_that_cannot_be_compared_is_told_and_the_next_one_follows(tmp_path, reference):
    predictions, labels = tmp_path / "predictions", tmp_path / "labels"
    for name in ("a.nii.gz", "b.nii.gz", "c.nii.gz"):
        write_volume(labels / name, reference)
        write_volume(predictions / name, reference)
    write_volume(predictions / "a.nii.gz", volume(reference.array[1:], "cut"))
    (predictions / "b.nii.gz").write_bytes(b"no scan")
    cut, broken, good = evaluate_folders(predictions, labels)
    assert [case.case for case in (cut, broken, good)] == ["a", "b", "c"]
    assert "lie on different grids" in cut.problem
    assert "b.nii.gz" in broken.problem
    assert not cut.scores
    assert not broken.scores
    assert not good.problem
    assert summarise(good.scores).mean_dsc == 1


def test_folders_without_a_common_name_are_refused_at_once(tmp_path, reference):
    write_volume(tmp_path / "predictions" / "a.nii", reference)
    write_volume(tmp_path / "labels" / "b.nii", reference)
    with pytest.raises(ScanError, match=r"No file in .*predictions has the name"):
        evaluate_folders(tmp_path / "predictions", tmp_path / "labels")


def test_two_files_of_one_name_are_refused():
    with pytest.raises(ScanError, match=r"a\.nii and a\.nii\.gz have the same name"):
        pair_by_name([Path("a.nii"), Path("a.nii.gz")], [])


def test_evaluation_imports_neither_torch_nor_a_window():
    code = (
        "import sys, napari_medcontext.core.evaluation;"
        "print({'torch', 'monai', 'qtpy', 'napari'} & sys.modules.keys())"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "set()"


@pytest.mark.realdata
@pytest.mark.skipif(not ABDOMENS.is_dir(), reason="the real volumes are not here")
def test_right_kidney_of_a_real_abdomen_lies_6_mm_off():
    prediction, reference = (read_volume(ABDOMENS / f"case_01_{side}.nii.gz") for side in "ab")
    (kidney,) = evaluate_volumes(prediction, reference, case="case_01", classes=[2])
    assert kidney.status == "found"
    assert kidney.hd95_mm == pytest.approx(6.00, abs=0.01)
    masks = prediction.array == 2, reference.array == 2
    there, back = (np.percentile(d, 95) for d in surface_distances(*masks, reference.spacing))
    assert there == pytest.approx(6.00, abs=0.01)
    assert there > back
    assert kidney.dsc == pytest.approx(2 * (masks[0] & masks[1]).sum() / (138967 + 131994))
