import csv
import shutil
import threading
import time

import pytest
import torch
from safetensors.torch import save_file

from napari_medcontext.core.config import RunConfig, RunSpec
from napari_medcontext.core.errors import MedContextError, RunError
from napari_medcontext.core.log_table import LOG_COLUMNS
from napari_medcontext.core.run import RunFolder

FACTS = {"napari_medcontext": "0", "spacing": "[1, 1, 1]"}
REST = {"optimizer": {"a": 1}, "best_mean_dsc": 0.5}


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "run").create(RunSpec())


def save(run, step, value=1.0, rest=REST, facts=FACTS):
    weights = {name: {"w": torch.full((2, 3), value)} for name in ("student", "teacher")}
    return run.save_state(step, weights, facts, rest)


def names(run):
    return sorted(path.name for path in (run.path / "states").iterdir())


def test_settings_come_back(run):
    assert run.spec() == RunSpec()


def test_folder_of_another_run_is_never_overwritten(run):
    with pytest.raises(RunError, match="holds a run already"):
        RunFolder(run.path).create(RunSpec())


def test_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"no run\.yaml"):
        RunFolder(tmp_path).spec()


def test_folder_that_cannot_be_made_is_explained(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MedContextError, match="cannot be written"):
        RunFolder(tmp_path / "file" / "run").create(RunSpec())


def test_new_run_has_no_state(run):
    assert run.newest_state() is None
    assert run.last_step() == 0
    assert run.load_state() is None
    with pytest.raises(RunError, match="no weights yet"):
        run.load_weights("student")


def test_state_comes_back_and_replaces_the_last(run):
    save(run, 3)
    save(run, 12, 2.0)
    assert names(run) == ["step-000012"]
    step, weights, rest = run.load_state()
    assert (step, rest) == (12, REST)
    assert weights["teacher"]["w"].tolist() == [[2.0] * 3] * 2


def test_best_weights_are_preferred_and_do_not_count_as_a_state(run):
    save(run, 3, 1.0)
    save(run, 2, 5.0, rest=None)
    assert names(run) == ["best-000002", "step-000003"]
    assert run.last_step() == 3
    weights, facts, path = run.load_weights("student")
    assert weights["student"]["w"][0, 0] == 5.0
    assert facts == FACTS
    assert path == run.best_state()


def test_newest_state_survives_a_write_that_was_cut(run):
    save(run, 3)
    cut = run.path / "states" / ".writing-step-000009"
    cut.mkdir()
    (cut / "student.safetensors").write_bytes(b"half")
    assert run.last_step() == 3
    assert run.load_state()[0] == 3
    save(run, 9)
    assert names(run) == ["step-000009"]


def test_state_that_cannot_be_written_leaves_the_last_one(run):
    save(run, 3)
    (run.path / "states" / ".writing-step-000004").write_text("a file in the way")
    with pytest.raises(RunError, match="the last good state is kept"):
        save(run, 4)
    assert run.load_state()[0] == 3


def test_missing_weight_file_is_explained(run):
    (save(run, 3) / "student.safetensors").unlink()
    for read in (run.load_state, lambda: run.load_weights("student")):
        with pytest.raises(RunError, match="is missing") as error:
            read()
        assert "student.safetensors" in str(error.value)


@pytest.mark.parametrize("length", [0, 4, 60, -1])
def test_truncated_weight_file_is_explained(run, length):
    file = save(run, 3) / "student.safetensors"
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(RunError, match="cut short or damaged") as error:
        run.load_weights("student")
    assert str(file) in str(error.value)


def test_foreign_weight_file_is_refused(run):
    file = save(run, 3) / "student.safetensors"
    save_file({"w": torch.zeros(1)}, file)
    with pytest.raises(RunError, match="not written by napari-medcontext"):
        run.load_weights("student")


@pytest.mark.parametrize("content", [None, b"", b"no archive"])
def test_damaged_optimizer_file_is_explained(run, content):
    file = save(run, 3) / "optimizer.pt"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RunError, match=r"optimizer\.pt cannot be read"):
        run.load_state()


class Malice:
    def __reduce__(self):
        return (print, ("run by the file",))


def test_optimizer_file_cannot_run_code(run, capsys):
    torch.save({"optimizer": Malice()}, save(run, 3) / "optimizer.pt")
    with pytest.raises(RunError, match="cannot be read"):
        run.load_state()
    assert "run by the file" not in capsys.readouterr().out


def test_logs_are_cut_to_the_resumed_step(run):
    for step in range(1, 6):
        run.append_log({"step": step, "dice_ce": step / 2})
        rows = [{"step": step, "class_id": k, "class_name": "a, b", "dsc": 0.5} for k in (2, 5)]
        run.append_validation(rows)
    with (run.path / "log.csv").open("a") as file:
        file.write("2,0.1")
    run.truncate_logs(3)
    with (run.path / "log.csv").open(newline="") as file:
        reader = csv.DictReader(file)
        assert [int(row["step"]) for row in reader] == [1, 2, 3]
        assert tuple(reader.fieldnames) == LOG_COLUMNS
    with (run.path / "validation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["step"]), row["class_name"]) for row in rows][-1] == (3, "a, b")
    assert len(rows) == 6


def test_state_saved_again_takes_the_place_of_the_first(run):
    save(run, 3)
    save(run, 3, 2.0)
    assert names(run) == ["step-000003"]
    assert run.load_state()[1]["student"]["w"][0, 0] == 2.0


def test_best_weights_of_steps_to_be_done_again_are_forgotten(run):
    save(run, 3)
    shutil.copytree(save(run, 2, rest=None), run.path / "states" / "best-000007")
    run.drop_best_after(4)
    assert names(run) == ["best-000002", "step-000003"]


def test_student_and_teacher_are_of_one_state_while_a_training_saves(run):
    save(run, 1)
    done = threading.Event()

    def keep_saving():
        for step in range(2, 150):
            save(run, step, float(step))
            time.sleep(0.003)
        done.set()

    training = threading.Thread(target=keep_saving)
    training.start()
    reads = 0
    while not done.is_set():
        weights, _, path = run.load_weights("student", "teacher")
        values = {float(tensors["w"][0, 0]) for tensors in weights.values()}
        assert values == {float(path.name.removeprefix("step-"))}
        reads += 1
    training.join()
    assert reads > 1


@pytest.mark.parametrize(
    ("objective", "names"),
    [
        ({}, {"student", "teacher"}),
        ({"consistency_weight": 0.0}, {"student"}),
        ({"consistency_weight": 0.0, "keep_teacher": True}, {"student", "teacher"}),
        ({"method": "supervised"}, {"student"}),
    ],
)
def test_state_to_go_on_from_has_a_teacher_where_the_run_has_one(tmp_path, objective, names):
    config = RunConfig().updated({"objective": objective})
    run = RunFolder(tmp_path / "run").create(RunSpec(config=config))
    run.save_state(2, {name: {"w": torch.zeros(2)} for name in names}, FACTS, REST)
    step, weights, _ = run.load_state()
    assert (step, set(weights)) == (2, names)
