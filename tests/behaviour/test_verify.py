"""Verify: a lake is damaged in many ways, behind its back, and each is named."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from carlake.lakehouse import Lakehouse
from carlake.refresh.plan import BOOKMARK
from lakes import (
    ALERTS,
    BRONZE,
    MONTHLY,
    QUARANTINE,
    SILVER,
    STATE,
    bookmark,
    heads,
    iceberg,
    nested,
    put,
    rows_of,
)

TABLES = (SILVER, QUARANTINE, STATE, MONTHLY, ALERTS)


def test_a_whole_lake_has_no_problem_and_is_not_changed_by_the_look(house: Lakehouse) -> None:
    before = heads(house)
    verified = house.verify()
    assert verified.ok and verified.behind == () and verified.pending == 0
    assert verified.files == 3
    assert verified.records == verified.accepted + verified.quarantined + verified.duplicates
    assert (verified.accepted, verified.quarantined) == (60, 6) and verified.duplicates > 10
    assert heads(house) == before


def forged(house: Lakehouse, name: str) -> dict[str, str]:
    """The bookmark of a table's newest snapshot, so that a damage does not show by the lack of one."""
    mark = bookmark(house, name)
    assert mark is not None
    return {BOOKMARK: mark.to_text()}


def without(house: Lakehouse, name: str, row: int = 0) -> str:
    """Take one row out of a table; gives its key as verify names it."""
    rows = _sorted(house, name)
    gone = rows.slice(row, 1).to_pylist()[0]
    iceberg(house, name).overwrite(
        pa.concat_tables([rows.slice(0, row), rows.slice(row + 1)]), snapshot_properties=forged(house, name)
    )
    return _key(house, name, gone)


def edited(house: Lakehouse, name: str, column: str, value: Any) -> str:
    """Change a value of the first row that has another one; gives the row's key as verify names it."""
    rows = _sorted(house, name).to_pylist()
    row = next(row for row in rows if row[column] != value)
    row[column] = value
    schema = iceberg(house, name).scan().to_arrow().schema
    iceberg(house, name).overwrite(pa.Table.from_pylist(rows, schema=schema), snapshot_properties=forged(house, name))
    return _key(house, name, row)


def doubled(house: Lakehouse, name: str) -> str:
    """Add a row once more; gives its key as verify names it."""
    row = _sorted(house, name).slice(0, 1)
    iceberg(house, name).append(row, snapshot_properties=forged(house, name))
    return _key(house, name, row.to_pylist()[0])


def _sorted(house: Lakehouse, name: str) -> pa.Table:
    return iceberg(house, name).scan().to_arrow().sort_by([(key, "ascending") for key in house.declared[name].key])


def _key(house: Lakehouse, name: str, row: dict[str, Any]) -> str:
    return " / ".join(str(row[key]) for key in house.declared[name].key)


def test_rows_that_are_missing(house: Lakehouse) -> None:
    keys = {name: without(house, name) for name in TABLES}
    named(house, {(name, "missing rows"): key for name, key in keys.items()})


def test_rows_that_are_there_twice(house: Lakehouse) -> None:
    keys = {name: doubled(house, name) for name in TABLES}
    kinds = ("unfounded rows", "key more than once")
    named(house, {(name, kind): key for name, key in keys.items() for kind in kinds})


def test_values_that_were_edited(house: Lakehouse) -> None:
    keys = {
        SILVER: edited(house, SILVER, "current_mileage_km", 1.0),
        QUARANTINE: edited(house, QUARANTINE, "reason", "unknown_shape"),
        STATE: edited(house, STATE, "insurance_days_expired", 1),
        MONTHLY: edited(house, MONTHLY, "trip_count", 99),
        ALERTS: edited(house, ALERTS, "threshold", 3.0),
    }
    kinds = ("missing rows", "unfounded rows")
    named(house, {(name, kind): key for name, key in keys.items() for kind in kinds})


def test_a_time_of_computing_that_differs_is_no_damage(house: Lakehouse) -> None:
    edited(house, STATE, "gold_processing_timestamp", datetime(2020, 1, 1, tzinfo=UTC))
    assert house.verify().ok


def test_bronze_rows_that_are_missing_or_changed(house: Lakehouse) -> None:
    gone = without(house, BRONZE, row=1).split(" / ")[0]
    source_id, row = edited(house, BRONZE, "raw", '{"carChassis": "X"}').split(" / ")
    named(house, {(BRONZE, "rows of an object"): gone, (BRONZE, "changed record"): f"{source_id} row {row}"})


def test_an_object_that_is_in_the_archive_and_not_in_bronze(house: Lakehouse) -> None:
    gone = rows_of(house, BRONZE)[0]["source_id"]
    iceberg(house, BRONZE).delete(f"source_id = '{gone}'", snapshot_properties=forged(house, BRONZE))
    named(house, {(BRONZE, "archived object missing"): gone})
    put(house.lake.archive / "2025-11-01" / ("ab" * 32) / "lost.json", nested("A", "e", "2025-10-01T00:00:00Z"))
    assert any("lost.json" in key for each in house.verify().problems for key in each.keys)


def test_data_files_that_are_gone(house: Lakehouse) -> None:
    paths = {name: data_file(house, name) for name in (BRONZE, *TABLES)}
    for path in paths.values():
        path.unlink()
    named(house, {(name, "unreadable"): path.name for name, path in paths.items()})


def test_a_data_file_that_was_damaged(house: Lakehouse) -> None:
    path = data_file(house, SILVER)
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    path.write_bytes(content)
    # What is made from it cannot be checked then.
    named(house, {(name, "unreadable"): path.name for name in (SILVER, STATE, MONTHLY, ALERTS)})
    found = house.verify().problems
    assert {problem.what for problem in found} == {f"1 data file of {SILVER} is damaged"}
    assert all(len(problem.keys) == 1 for problem in found)


def test_metadata_that_is_gone(house: Lakehouse) -> None:
    path = Path(iceberg(house, ALERTS).metadata_location.removeprefix("file://"))
    path.unlink()
    named(house, {(ALERTS, "unreadable"): path.name})


def data_file(house: Lakehouse, name: str) -> Path:
    """A data file of a table's newest snapshot."""
    path: str = iceberg(house, name).inspect.data_files()["file_path"][0].as_py()
    return Path(path.removeprefix("file://"))


@pytest.mark.parametrize("name", [BRONZE, SILVER, ALERTS])
def test_a_table_that_was_dropped(house: Lakehouse, name: str) -> None:
    house.catalog.drop_table(f"carlake.{name}")
    archived = {(BRONZE, "archived object missing"): ""} if name == BRONZE else {}
    named(house, {(name, "missing table"): ""} | archived)


def test_a_snapshot_of_another_program(house: Lakehouse) -> None:
    iceberg(house, STATE).append(iceberg(house, STATE).scan().to_arrow().slice(0, 0))
    named(house, {(STATE, "foreign writer"): "carries no bookmark"})


def test_objects_that_wait_are_pending_and_no_problem(house: Lakehouse) -> None:
    put(house.lake.landing / "new.json", nested("A", "e", "2025-10-01T00:00:00Z"))
    verified = house.verify()
    assert verified.ok and verified.pending == 1


def named(house: Lakehouse, wanted: dict[tuple[str, str], str]) -> None:
    """Verify names exactly these problems, by table and kind, each with this text in its words or keys."""
    problems = {(each.table, each.kind): each for each in house.verify().problems}
    assert set(problems) == set(wanted)
    for place, text in wanted.items():
        assert any(text in part for part in (problems[place].what, *problems[place].keys)), problems[place]
