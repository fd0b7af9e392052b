"""Presets of public data sets say what is published, and what they say can be trained with."""

from pathlib import Path

import numpy as np
import pytest

from napari_medcontext.core.config import Case, RunConfig, RunSpec
from napari_medcontext.core.data_presets import (
    data_presets,
    find_data_preset,
    load_split,
    parted,
)
from napari_medcontext.core.errors import ScanError, SettingsError
from napari_medcontext.core.networks import check_patch_size
from napari_medcontext.core.preflight import check_cases


def named(*names):
    return tuple(Case(name=name, image=Path(f"{name}.nii.gz")) for name in names)


@pytest.mark.parametrize("name", data_presets())
def test_preset_can_be_trained_with(name):
    preset = find_data_preset(name)
    config = RunConfig().updated(preset.changes)
    check_patch_size("unet", config.data.patch_size)
    RunSpec(config=config, class_names=preset.classes, regions=preset.regions)
    assert {k for members in preset.regions.values() for k in members} <= set(preset.classes)
    if preset.split is not None:
        load_split(preset.split)


def test_all_data_sets_of_the_paper_and_all_tasks_of_the_decathlon_are_there():
    tasks = {f"msd-{number:02}" for number in range(1, 11)}
    assert {"btcv-8", "btcv-13", "acdc", "brats-2017", "brats-2021", *tasks} == set(data_presets())


def test_eight_organs_are_a_part_of_thirteen_with_the_ids_they_have_there():
    eight, thirteen = find_data_preset("btcv-8"), find_data_preset("btcv-13")
    assert (len(eight.classes), len(thirteen.classes)) == (8, 13)
    assert eight.classes.items() < thirteen.classes.items()
    assert eight.data["classes"] == list(eight.classes)


def test_tumour_regions_are_nested_whole_core_and_enhancing():
    for name, enhancing in (("brats-2017", 4), ("brats-2021", 4), ("msd-01", 3)):
        regions = find_data_preset(name).regions
        assert list(regions) == ["WT", "TC", "ET"]
        assert regions["ET"] == (enhancing,)
        assert set(regions["TC"]) == set(regions["WT"]) - {2 if enhancing == 4 else 1}


def test_split_of_synapse_is_18_and_12_of_30():
    split = load_split("btcv")
    assert (len(split.training), len(split.test)) == (18, 12)
    assert len({*split.training, *split.test}) == 30


@pytest.mark.parametrize("form", ["img{}", "case{}", "{}", "label_{}_v2"])
def test_scans_are_found_by_their_numbers_however_they_are_called(form):
    cases = named(*(form.format(number) for number in ("0005", "0001", "9999", "10005")))
    parts = parted(cases, load_split("btcv"))
    assert [case.name for case in parts.training] == [form.format("0005")]
    assert [case.name for case in parts.test] == [form.format("0001")]
    assert [case.name for case in parts.others] == [form.format("9999"), form.format("10005")]
    assert parts.missing[:2] == ("0006", "0007")
    assert len(parts.missing) == 28


def test_study_of_other_scans_is_refused_by_their_names():
    with pytest.raises(ScanError, match=r"0005, .*there are liver_1"):
        parted(named("liver_1"), load_split("btcv"))


def test_unknown_preset_is_refused_with_those_that_there_are():
    with pytest.raises(SettingsError, match="btcv-13"):
        find_data_preset("btcv")


def test_classes_that_are_not_to_be_learned_count_as_background(tiny_config, cases, loaded):
    config = tiny_config.updated({"data": {"classes": (2, 9)}})
    spec = RunSpec(config=config, cases=cases(ras="training", lps="validation"))
    dataset, events = loaded(spec)
    assert dataset.classes.ids == (0, 2)
    assert set(np.unique(dataset.training[0].labels)) == {0, 1}
    assert not [event for event in events if "no training" in getattr(event, "message", "")]


def test_run_that_would_learn_nothing_is_refused(tiny_config, cases, loaded):
    config = tiny_config.updated({"data": {"classes": (9,)}})
    with pytest.raises(ScanError, match=r"one of the classes \[9\]"):
        loaded(RunSpec(config=config, cases=cases(ras="training")))


def test_region_of_a_class_that_is_left_out_is_refused(tiny_config):
    config = tiny_config.updated({"data": {"classes": (2,)}})
    with pytest.raises(ValueError, match="leaves out"):
        RunSpec(config=config, regions={"all": (2, 5)})


def test_check_is_silent_about_classes_that_count_as_background(tiny_config, cases):
    chosen = cases(ras="training", lps="training")

    def foreign(config):
        work = check_cases(chosen, config, {2: "liver"})
        while True:
            try:
                next(work)
            except StopIteration as end:
                return [found for found in end.value.findings if found.kind == "unnamed classes"]

    assert foreign(tiny_config)
    assert not foreign(tiny_config.updated({"data": {"classes": (2,)}}))
