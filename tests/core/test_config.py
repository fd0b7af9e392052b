import json

import pytest
import yaml
from pydantic import ValidationError

from napari_medcontext.core.config import Case, RunConfig, RunSpec
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.settings import dump, load, load_settings_file, validated

SECTIONS = RunConfig.model_fields


@pytest.fixture
def spec(tmp_path):
    config = RunConfig().updated(
        {"training": {"steps": 7, "learning_rate": 2e-4}, "data": {"spacing": (1, 1, 2.5)}}
    )
    case = Case(name="häpar", image=tmp_path / "a.nii.gz", labels=tmp_path / "b.nii.gz")
    return RunSpec(config=config, cases=(case,), class_names={2: "Leber", 5: "“Milz”"})


def test_yaml_gives_back_what_was_written(spec, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(dump(spec), encoding="utf-8")
    assert load(RunSpec, file) == spec


def test_json_gives_back_what_was_written(spec, tmp_path):
    file = tmp_path / "run.json"
    file.write_text(spec.model_dump_json(), encoding="utf-8")
    assert load(RunSpec, file) == spec


def test_file_keeps_the_documented_order():
    assert list(yaml.safe_load(dump(RunConfig()))) == list(SECTIONS)


def test_settings_left_out_of_a_file_keep_their_defaults(tmp_path):
    file = tmp_path / "few.yaml"
    file.write_text("training: {steps: 3}\n")
    config = load(RunConfig, file)
    assert config.training.steps == 3
    assert config.masking == RunConfig().masking


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("masking", "ratio", 0.0),
        ("masking", "ratio", 1.0),
        ("masking", "block_size", 0),
        ("masking", "axis", "w"),
        ("objective", "consistency_weight", -0.1),
        ("objective", "momentum", 1.0),
        ("objective", "method", "magic"),
        ("training", "steps", 0),
        ("training", "learning_rate", 0.0),
        ("training", "seed", -1),
        ("data", "spacing", (1.0, 0.0, 1.0)),
        ("data", "patch_size", (64, 64)),
        ("device", "device", "abacus"),
    ],
)
def test_bad_value_is_named_with_what_was_given(section, name, value):
    with pytest.raises(SettingsError) as error:
        RunConfig().updated({section: {name: value}})
    text = str(error.value)
    assert f"{section}.{name}" in text
    assert "must be" in text or "is missing" in text


def test_window_must_rise():
    with pytest.raises(SettingsError, match="lower limit must lie below"):
        RunConfig().updated({"data": {"window": (250, -175)}})


def test_all_bad_values_are_named_at_once_with_their_source():
    values = {"training": {"steps": 0}, "masking": {"ratio": 2}}
    with pytest.raises(SettingsError) as error:
        validated(RunConfig, values, "my.yaml")
    assert all(part in str(error.value) for part in ("my.yaml", "training.steps", "masking.ratio"))


@pytest.mark.parametrize(
    ("values", "wrong", "known"),
    [
        ({"training": {"stepps": 3}}, "training.stepps", ["steps", "batch_size", "seed"]),
        ({"trainig": {"steps": 3}}, "trainig", list(SECTIONS)),
    ],
)
def test_unknown_name_is_refused_with_the_known_ones(values, wrong, known):
    with pytest.raises(SettingsError) as error:
        validated(RunConfig, values, "my.yaml")
    assert f"{wrong} is no setting" in str(error.value)
    assert all(name in str(error.value) for name in known)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a: [1, 2", "neither YAML nor JSON"),
        ("- 1\n- 2\n", "must hold settings"),
        ("", "must hold"),
    ],
)
def test_file_that_holds_no_settings_is_explained(tmp_path, content, told):
    file = tmp_path / "broken.yaml"
    file.write_text(content)
    with pytest.raises(SettingsError, match=told) as error:
        load_settings_file(file)
    assert str(file) in str(error.value)


def test_missing_and_binary_files_are_explained(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings_file(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(SettingsError, match="neither YAML nor JSON"):
        load_settings_file(tmp_path / "binary.yaml")


def test_settings_are_frozen_and_updating_leaves_the_first_alone():
    config = RunConfig()
    changed = config.updated({"training": {"steps": 1}})
    assert (config.training.steps, changed.training.steps) == (600, 1)
    with pytest.raises(ValidationError, match="frozen"):
        config.training.steps = 2


def test_every_setting_explains_itself_and_fits_json():
    for section in SECTIONS.values():
        for field in section.annotation.model_fields.values():
            assert field.description.endswith((".", ")"))
    json.dumps(RunConfig.model_json_schema())


def test_cases_are_found_by_role(spec):
    assert spec.with_role("training") == spec.cases
    assert spec.with_role("validation") == ()


def test_run_of_an_older_version_loads_with_the_settings_that_it_had(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(
        "config:\n"
        "  objective: {method: medcontext, consistency_weight: 0.5, momentum: 0.996,\n"
        "    momentum_schedule: run_length}\n"
        "  masking: {ratio: 0.4, block_size: 16, axis: auto}\n"
        "cases: []\n"
        "class_names: {2: liver}\n"
    )
    spec = load(RunSpec, file)
    assert spec.config == RunConfig()
    assert (spec.regions, spec.config.data.ignore_label) == ({}, None)
    assert spec.config.objective.has_teacher


@pytest.mark.parametrize(
    ("section", "name", "value", "told"),
    [
        ("data", "spacing", 3, "data.spacing must be a list of values, as [1, 1, 1], not 3"),
        ("training", "steps", "many", "training.steps must be a whole number, not 'many'"),
        ("training", "steps", 0, "training.steps must be 1 or more, not 0"),
        ("training", "learning_rate", -1, "training.learning_rate must be above 0, not -1"),
        ("masking", "scheme", "rows", "masking.scheme must be 'tube', 'blocks' or 'structure'"),
    ],
)
def test_wrong_value_is_told_in_plain_words(section, name, value, told):
    with pytest.raises(SettingsError) as error:
        RunConfig().updated({section: {name: value}})
    assert told in str(error.value)
