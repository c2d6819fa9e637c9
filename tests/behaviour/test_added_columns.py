"""Bronze and ops_runs of an older version, which had fewer columns: the newer one goes on with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from carlake.lakehouse import Lakehouse
from carlake.tables.table import Column, Table
from lakes import BRONZE, MODIFIED, OPS_RUNS, bookmark, expected, heads, held, iceberg, lakehouse, nested, put, step

FIRST, SECOND = (nested("CAR-1", f"e{n}", f"2025-10-0{n}T08:00:00Z") for n in (1, 2))


def older(table: Table, column: str) -> Table:
    """The table as a version declared it that did not know a column."""
    return replace(table, columns=tuple(each for each in table.columns if each.name != column))


def newer(table: Table) -> Table:
    return replace(table, columns=(*table.columns, Column("added_later", "string", "what a later version writes")))


@pytest.fixture
def house(small_folder: Path) -> Iterator[Lakehouse]:
    """A lake whose ops_runs an older version made; bronze is of this one."""
    with lakehouse(small_folder / "lake") as house:
        house.declared[OPS_RUNS] = older(house.declared[OPS_RUNS], "error")
        put(house.lake.landing / "1.json", FIRST)
        run = house.run()
        iceberg_ops = house.context().load(OPS_RUNS)
        assert "error" not in {field.name for field in iceberg_ops.schema().fields}
        assert run.status == "succeeded"
        house._unwritten.clear()
    with lakehouse(small_folder / "lake") as house:
        yield house


def test_runs_are_written_down_in_a_table_of_an_older_version(house: Lakehouse) -> None:
    put(house.lake.landing / "2.json", SECOND)
    run = house.run()
    rows = house.runs(run.run_id).to_pylist()
    assert len(rows) == len(run.steps) and all(row["error"] is None for row in rows)
    assert {field.name for field in iceberg(house, OPS_RUNS).schema().fields} == set(
        house.declared[OPS_RUNS].column_names
    )


def test_bronze_takes_a_column_that_came_with_a_later_version(house: Lakehouse) -> None:
    house.declared[BRONZE] = replace(
        newer(house.declared[BRONZE]), select="SELECT *, CAST(NULL AS VARCHAR) AS added_later FROM {source}"
    )
    before = bookmark(house, BRONZE)
    plan = dict(house.plan(adopt=True).refreshes)
    assert plan[BRONZE] is not None and plan[BRONZE].changed == ("columns", "select")
    report = house.rebuild()
    made = step(report, BRONZE)
    assert (made.status, made.why, made.rows_out, made.rows_removed) == ("succeeded", "definition", 0, 0)
    after = bookmark(house, BRONZE)
    assert before is not None and after is not None and after.definition == house.declared[BRONZE].definition
    assert "added_later" in {field.name for field in iceberg(house, BRONZE).schema().fields}
    assert house.rebuild().idle and house.table(BRONZE).changed == ()
    assert house.run().status == "succeeded" and house.verify().ok
    assert held(house) == expected([(FIRST, MODIFIED)])


def test_a_column_that_another_program_dropped_is_not_taken_for_a_new_one(house: Lakehouse) -> None:
    with iceberg(house, BRONZE).update_schema(allow_incompatible_changes=True) as update:
        update.delete_column("raw")
    head = heads(house)[BRONZE]
    put(house.lake.landing / "2.json", SECOND)
    assert "has no column raw any more" in step(house.run(), BRONZE).error
    assert "raw" not in {field.name for field in iceberg(house, BRONZE).schema().fields}
    assert heads(house)[BRONZE] == head and (house.lake.landing / "2.json").exists()
