import csv

import pytest

from napari_medcontext.core.log_table import LogTable

COLUMNS = ("step", "class_name", "dsc")


@pytest.fixture
def table(tmp_path):
    return LogTable(tmp_path / "log.csv", COLUMNS)


def rows(table):
    with table.path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def steps(table):
    return [int(row["step"]) for row in rows(table)]


def test_rows_follow_one_header_whoever_adds_them(table):
    table.append([{"step": 1, "dsc": 0.5}])
    LogTable(table.path, COLUMNS).append([{"step": 2, "class_name": "a, b"}, {"step": 3}])
    assert table.path.read_text(encoding="utf-8").splitlines()[0] == "step,class_name,dsc"
    assert rows(table) == [
        {"step": "1", "class_name": "", "dsc": "0.5"},
        {"step": "2", "class_name": "a, b", "dsc": ""},
        {"step": "3", "class_name": "", "dsc": ""},
    ]


def test_no_rows_of_later_steps_nor_half_a_row_are_kept(table):
    table.append([{"step": step, "dsc": 0.1} for step in (1, 2, 3, 3, 10)])
    with table.path.open("a") as file:
        file.write("2,a")
    table.truncate(3)
    assert steps(table) == [1, 2, 3, 3]


def test_table_that_does_not_exist_is_not_made_by_cutting_it(table):
    table.truncate(3)
    assert not table.path.exists()


def test_empty_file_left_by_a_kill_gets_its_header(table):
    table.path.touch()
    table.truncate(3)
    table.append([{"step": 4}])
    assert steps(table) == [4]


def test_rows_that_could_not_be_written_follow_with_the_next(table):
    table.append([{"step": 1}])
    moved = table.path.rename(table.path.with_name("moved"))
    table.path.mkdir()
    table.append([{"step": 2}])
    table.append([{"step": 3}])
    table.path.rmdir()
    moved.rename(table.path)
    table.append([{"step": 4}])
    table.append([{"step": 5}])
    assert steps(table) == [1, 2, 3, 4, 5]
