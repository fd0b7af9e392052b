import csv
import math

import pytest

from napari_medcontext.core.scores import (
    ClassScore,
    scores_to_text,
    summarise,
    summarise_classes,
    write_scores,
)

TABLE = [
    ClassScore(
        "a, b", 1, "liver", "found", 6 / 7, 1.0, 0.4, 0.9, 0.48, 0.64, "directed", "voxels", 2.0
    ),
    ClassScore("a, b", 2, "spleen", "missed", 0.0, math.nan, math.nan, 0.0, 0.0, 0.01),
    ClassScore("a, b", 4, "aorta", "absent", math.nan, math.nan, math.nan, math.nan, 0.0, 0.0),
]


def score(status: str, dsc: float, hd95_mm: float) -> ClassScore:
    return ClassScore("case", 1, "liver", status, dsc, hd95_mm, hd95_mm / 4, dsc, 1.0, 1.0)


def test_mean_dice_cannot_rise_by_finding_less():
    whole = [score("found", 0.9, 2.0), score("found", 0.3, 30.0)]
    less = [score("found", 0.9, 2.0), score("missed", 0.0, math.nan)]
    assert summarise(less).mean_dsc < summarise(whole).mean_dsc
    assert summarise(less).text == (
        "DSC 0.450 · NSD 0.450 over 2 · HD95 2.0 mm · ASSD 0.50 mm over 1 of 2, 1 missed"
    )


def test_summary_counts_what_is_missed_and_invented_and_leaves_out_what_is_absent():
    scores = [score("found", 0.8, 4.0)] * 2 + [score("missed", 0.0, math.nan)]
    scores += [score("invented", 0.0, math.nan), score("absent", math.nan, math.nan)]
    summary = summarise(scores)
    assert (summary.found, summary.missed, summary.invented, summary.counted) == (2, 1, 1, 4)
    assert summary.text == (
        "DSC 0.400 · NSD 0.400 over 4 · HD95 4.0 mm · ASSD 1.00 mm over 2 of 4, "
        "1 missed, 1 invented"
    )


def test_summary_says_when_nothing_can_be_measured():
    assert summarise([score("missed", 0.0, math.nan)]).text == (
        "DSC 0.000 · NSD 0.000 over 1 · distances not measurable over 0 of 1, 1 missed"
    )
    assert summarise([]).text == "nothing to compare: neither holds a class"
    assert math.isnan(summarise([]).mean_dsc)


def test_csv_has_the_fields_as_columns_and_leaves_empty_what_is_not_measurable(tmp_path):
    path = write_scores(tmp_path / "new" / "metrics.csv", TABLE)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    header = (
        "case,class_id,class_name,status,dsc,hd95_mm,assd_mm,nsd,prediction_ml,reference_ml,"
        "hd95_definition,nsd_definition,nsd_tolerance_mm,difference_ml"
    )
    assert list(rows[0]) == header.split(",")
    assert (rows[0]["hd95_definition"], rows[0]["nsd_tolerance_mm"]) == ("directed", "2")
    assert float(rows[0]["difference_ml"]) == pytest.approx(-0.16)
    assert rows[0]["case"] == "a, b"
    assert float(rows[0]["dsc"]) == pytest.approx(6 / 7, abs=1e-5)
    assert (rows[1]["dsc"], rows[1]["hd95_mm"]) == ("0", "")
    assert (rows[2]["dsc"], rows[2]["status"]) == ("", "absent")
    assert [entry.name for entry in path.parent.iterdir()] == ["metrics.csv"]


def test_clipboard_text_is_the_same_table_separated_by_tabs():
    lines = scores_to_text(TABLE).splitlines()
    assert len(lines) == 1 + 3
    assert lines[2].split("\t") == [
        *("a, b", "2", "spleen", "missed", "0", "", "", "0", "0", "0.01"),
        *("", "", "", "-0.01"),
    ]


def test_means_of_each_class_come_in_the_order_of_their_ids():
    scores = [
        ClassScore("a", 10, "aorta", "missed", 0.0, math.nan, math.nan, 0.0, 0.0, 1.0),
        ClassScore("a", 2, "liver", "found", 0.5, 4.0, 1.0, 0.5, 1.0, 1.0),
        ClassScore("b", 2, "liver", "found", 1.0, 2.0, 1.0, 0.5, 1.0, 1.0),
    ]
    means = summarise_classes(scores)
    assert list(means) == ["liver", "aorta"]
    assert (means["liver"].mean_dsc, means["liver"].mean_hd95_mm) == (0.75, 3.0)
    assert means["aorta"].text.endswith("1 missed")
