"""`carlake compare`: what people see, what programs get, and how it ends."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

STATE = "gold_car_current_state"


@pytest.fixture
def other(carlake: Callable, lake: Path, tmp_path: Path) -> Path:
    """The lake's state as another has it: one car is missing, one has other fuel, one is there twice."""
    path = tmp_path / "old.parquet"
    assert carlake("query", f"FROM {STATE} ORDER BY car_chassis", "-o", path, "--lake", lake).code == 0
    rows = pq.read_table(path).rename_columns({"car_chassis": "carChassis"}).to_pylist()
    rows[1]["fuel_available_liters"] = -1.0
    pq.write_table(pa.Table.from_pylist([*rows[1:], rows[2]], schema=pa.Table.from_pylist(rows).schema), path)
    return path


def test_people_see_what_differs_and_how_it_was_compared(carlake: Callable, lake: Path, other: Path) -> None:
    said = carlake("compare", "current_state", other, "--lake", lake)
    shown = {tuple(line.split()) for line in said.out.splitlines()}
    assert said.code == 1 and said.out.startswith("Different ")
    assert {("equal", "2"), ("different", "1"), ("only", "here", "1"), ("only", "there", "0")} <= shown
    assert ("repeated", "there", "1", "key", "in", "2", "rows") in shown and "For 1 of these keys" in said.out
    assert ("car_chassis", "carChassis", "there") in shown
    assert "left out     gold_processing_timestamp" in said.out
    same = carlake("compare", "current_state", f"{STATE}@last", "--lake", lake)
    assert same.code == 0 and same.out.startswith("Equal ")


def test_programs_get_one_document(carlake: Callable, lake: Path, other: Path) -> None:
    said = carlake("compare", "current_state", other, "--lake", lake, "--json", "--columns", "fuel_available_liters")
    found = said.json
    assert said.code == 1 and found["equal"] is False and (found["rows_equal"], found["rows_differing"]) == (2, 1)
    assert found["there"] == {"name": str(other), "rows": 5, "repeated": {"keys": 1, "rows": 2}, "only": 0}
    assert found["here"]["only"] == 1 and found["columns"][0]["differing"] == 1
    assert [row["kind"] for row in found["differences"]] == ["only here", "differs", "repeated key"]


def test_the_differences_as_rows(carlake: Callable, lake: Path, other: Path, tmp_path: Path) -> None:
    said = carlake("compare", "current_state", other, "--lake", lake, "--format", "csv")
    rows = list(csv.DictReader(said.out.splitlines()))
    assert said.code == 1 and [row["kind"] for row in rows] == ["only here", "differs", "repeated key"]
    assert rows[1]["column"] == "fuel_available_liters" and rows[1]["there"] == "-1.0"
    file = tmp_path / "differences.parquet"
    said = carlake("compare", "current_state", other, "--lake", lake, "--output", file)
    assert said.code == 1 and said.out.startswith("Different ") and pq.read_table(file).num_rows == 3


def test_a_file_and_a_pipe_get_all_differences_and_the_screen_the_first(
    carlake: Callable, lake: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old.csv"
    sql = "SELECT event_id, car_chassis, '-1' AS manufacturer, model FROM silver_car_telemetry"
    assert carlake("query", sql, "-o", old, "--lake", lake).code == 0
    rows = len(old.read_text().splitlines()) - 1
    assert rows > 10
    file = tmp_path / "differences.ndjson"
    said = carlake("compare", "silver", old, "--lake", lake, "-o", file)
    assert said.code == 1 and len(file.read_text().splitlines()) == rows
    assert f"10 of {rows}; " in said.out
    assert sum(line.endswith("  -1") for line in said.out.splitlines()) == 10
    said = carlake("compare", "silver", old, "--lake", lake, "--format", "csv")
    assert len(said.out.splitlines()) == rows + 1 and "\r" not in said.out
    few = carlake("compare", "silver", old, "--lake", lake, "--format", "csv", "--limit", 2)
    assert len(few.out.splitlines()) == 3
    assert len(carlake("compare", "silver", old, "--lake", lake, "--json").json["differences"]) == 10


def test_what_cannot_be_compared_ends_with_3(carlake: Callable, lake: Path, other: Path, tmp_path: Path) -> None:
    assert carlake("compare", "silver", other, "--lake", tmp_path / "no-lake").code == 3
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(other.read_bytes()[:60])
    assert carlake("compare", "silver", cut, "--lake", lake).code == 3
    there = tmp_path / "no" / "such" / "folder.csv"
    assert carlake("compare", "current_state", other, "--lake", lake, "-o", there).code == 3
    script = tmp_path / "mk.py"
    script.write_text("import os\nprint(1, 2)\n")
    said = carlake("compare", "silver", script, "--lake", lake)
    assert said.code == 3 and "mk.py: no known format; Parquet, JSON/NDJSON, CSV (also .gz, .zst)." in said.err


def test_a_key_that_is_no_column_does_not_name_sixty(carlake: Callable, lake: Path) -> None:
    said = carlake("compare", "silver", "silver@last", "--lake", lake, "--key", "wheels")
    assert said.code == 2 and " more." in said.err and len(said.err) < 500


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--mapping", "a"), "write it as THERE=HERE"),
        (("--mapping", "a=b,c=b"), "a column is mapped twice"),
        (("--key", "wheels"), "there is no column 'wheels'"),
        (("--tolerance", "-1"), "--tolerance"),
        (("--format", "xml"), "There is no format 'xml'"),
    ],
)
def test_wrong_usage_ends_with_2(
    carlake: Callable, lake: Path, other: Path, options: tuple[str, ...], what: str
) -> None:
    said = carlake("compare", "current_state", other, "--lake", lake, *options)
    assert said.code == 2 and what in said.err


def test_what_is_not_there_ends_with_2(carlake: Callable, lake: Path) -> None:
    assert carlake("compare", "cars", "silver", "--lake", lake).code == 2
    assert carlake("compare", "silver", "no/such/folder", "--lake", lake).code == 2
    assert carlake("compare", "silver", "silver@20000101", "--lake", lake).code == 2
