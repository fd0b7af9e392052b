"""``medcontext probe`` compares runs, goes on where it was cut, and says what is wrong."""

import shutil

import pytest
from typer.testing import CliRunner

from napari_medcontext.cli import app
from napari_medcontext.core.config import RunConfig, RunSpec
from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.jobs import execute
from napari_medcontext.core.presets import with_preset
from napari_medcontext.core.probe.plan import ProbeFolder, method_of, run_names
from napari_medcontext.core.probe.rows import ProbedRow, ProbeRow, read_probe_rows
from napari_medcontext.core.probe.summary import ALL, probe_means
from napari_medcontext.core.run import RunFolder


def called(*words):
    return CliRunner().invoke(app, ["probe", *map(str, words)])


@pytest.fixture
def held_out(study, tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
        shutil.copy(study / kind / "lps.nii.gz", tmp_path / kind)
    return "--images", tmp_path / "images", "--labels", tmp_path / "labels"


@pytest.fixture
def supervised(tmp_path, tiny_spec):
    config = tiny_spec.config.updated(
        {"objective": {"method": "supervised"}, "training": {"steps": 1, "seed": 4}}
    )
    spec = RunSpec(config=config, cases=tiny_spec.cases, class_names=tiny_spec.class_names)
    run = RunFolder(tmp_path / "plain").create(spec)
    *_, last = execute(run.path)
    assert last.reason == "completed", last
    return run


def test_runs_are_compared_and_nothing_is_done_twice(finished_run, supervised, held_out, tmp_path):
    out = tmp_path / "out"
    words = (finished_run.path, supervised.path, *held_out, "--draws", 2, "--out", out)
    first = called(*words)
    assert first.exit_code == 0, first.output
    rows = read_probe_rows(out / "probe.csv")
    assert {(row.run, row.method, row.seed) for row in rows} == {
        ("finished", "unet · medcontext", 0),
        ("plain", "unet · supervised", 4),
    }
    kinds = {(row.row.place, row.row.condition) for row in rows if row.run == "plain"}
    assert ("organ", "mean") in kinds
    assert ("organ", "token") not in kinds
    report = (out / "probe.md").read_text()
    assert "| unet · medcontext | 1 |" in report
    assert "## spleen" in report
    assert (out / "probe.png").stat().st_size > 10_000
    parts = {path: path.stat().st_mtime_ns for path in (out / "parts").iterdir()}
    assert len(parts) == 2
    (out / "probe.csv").unlink()
    again = called(*words)
    assert again.exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in (out / "parts").iterdir()} == parts
    assert str(read_probe_rows(out / "probe.csv")) == str(rows)


def test_one_organ_is_hidden_by_its_name(finished_run, held_out, tmp_path):
    out = tmp_path / "out"
    words = (finished_run.path, *held_out, "--draws", 1, "--out", out)
    assert called(*words, "--organs", "Spleen").exit_code == 0
    assert {row.row.class_id for row in read_probe_rows(out / "probe.csv")} == {5}
    wrong = called(*words, "--organs", "heart")
    assert wrong.exit_code == 1
    assert "knows no organ heart; it knows liver (2), spleen (5)" in wrong.output


def test_stopped_probe_goes_on(finished_run, held_out, tmp_path):
    from napari_medcontext.core.events import ProbeProgress
    from napari_medcontext.core.probe import ProbeSpec

    case = finished_run.spec().cases[-1]
    spec = ProbeSpec(runs=(finished_run.path,), scans=(case,), draws=1)
    folder = ProbeFolder(tmp_path / "out").create(spec)
    events = []
    for event in execute(folder.path):
        events.append(event)
        if isinstance(event, ProbeProgress):
            folder.send("stop")
    assert events[-1].reason == "stopped"
    assert not (folder.path / "probe.csv").exists()
    folder.send("run")
    *_, last = execute(folder.path)
    assert last.reason == "completed"


def test_scan_that_was_learned_from_is_pointed_out(finished_run, study, tmp_path):
    words = (finished_run.path, "--images", study / "images", "--labels", study / "labels")
    result = called(*words, "--organs", "2", "--draws", 1, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "was trained on ras, thick" in result.output


def test_results_do_not_go_into_a_run(finished_run, held_out):
    result = called(finished_run.path, *held_out, "--out", finished_run.path)
    assert isinstance(result.exception, MedContextError)
    assert "holds a run" in str(result.exception)


def test_folder_that_is_no_run_is_named(held_out, tmp_path):
    result = called(tmp_path, *held_out, "--out", tmp_path / "out")
    assert "is no run folder" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_method_is_the_preset_that_was_followed():
    config = RunConfig()
    assert method_of(config) == "unet · default"
    assert method_of(with_preset(config, "one-pass")) == "unet · one-pass"
    plain = with_preset(config, "supervised").updated({"masking": {"ratio": 0.7}})
    assert method_of(plain) == "unet · supervised"
    assert method_of(config.updated({"masking": {"ratio": 0.7}})) == "unet · medcontext"


def test_runs_of_one_name_are_told_apart(tmp_path):
    runs = [tmp_path / "a" / "run", tmp_path / "b" / "run", tmp_path / "c" / "other"]
    assert run_names(runs) == [str(runs[0]), str(runs[1]), "other"]


def test_mean_is_over_scans_then_seeds():
    def row(run, scan, organ, place, condition, dsc):
        measured = ProbeRow(scan, 1, organ, place, condition, dsc, float("nan"), 0.0, 1)
        return ProbedRow(run, "m", 0, measured)

    rows = []
    for run, visible, hidden in (("a", 0.8, 0.4), ("b", 0.6, 0.6)):
        for scan, more in (("1", 0.1), ("2", -0.1)):
            rows += [
                row(run, scan, "liver", "nowhere", "visible", visible + more),
                row(run, scan, "liver", "organ", "mean", hidden + more),
            ]
        rows += [
            row(run, "1", "spleen", "nowhere", "visible", 1.0),
            row(run, "1", "spleen", "organ", "mean", 0.0),
            row(run, "2", "spleen", "organ", "mean", float("nan")),
        ]
    means = probe_means(rows)
    liver = means["m", "liver", "organ", "mean"]
    assert (liver.dsc, liver.runs) == (pytest.approx(0.5), 2)
    assert liver.deviation == pytest.approx(0.1414, abs=1e-4)
    assert liver.ratio == pytest.approx((0.5 + 1.0) / 2)
    assert means["m", ALL, "organ", "mean"].dsc == pytest.approx(0.25)
    assert means["m", ALL, "nowhere", "visible"].dsc == pytest.approx(0.85)
