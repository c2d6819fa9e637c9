"""The failures of the system that carlake takes the place of, each made again: it cannot happen, or is refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from carlake.engines.schemas import iceberg_schema
from carlake.errors import SchemaError
from carlake.lakehouse import Lakehouse
from carlake.refresh.refresh import publish
from carlake.settings import Settings
from carlake.tables.declare import GOLD
from lakes import (
    ALERTS,
    MODIFIED,
    SILVER,
    STATE,
    bookmark,
    expected,
    flat,
    heads,
    held,
    iceberg,
    lakehouse,
    nested,
    oldest,
    put,
    rows_of,
    step,
)


@pytest.fixture
def house(small_folder: Path) -> Iterator[Lakehouse]:
    with lakehouse(small_folder / "lake") as house:
        yield house


def files_of(house: Lakehouse) -> set[Path]:
    return set(house.lake.warehouse.rglob("*.parquet"))


def test_a_hundred_records_for_eleven_cars_are_eleven_rows(house: Lakehouse) -> None:
    """The old current-state table had one row for each record: 101 for 11 cars."""
    records = [
        nested(
            f"CAR-{n % 11:02}", f"e{n}", f"2025-10-{1 + n % 28:02}T{n % 24:02}:00:00Z", current_mileage_km=1000.0 + n
        )
        for n in range(101)
    ]
    for n, record in enumerate(records):
        put(house.lake.landing / f"{n}.json", record)
    report = house.run()
    assert report.records == 101 and step(report, SILVER).rows_out == 101
    rows = rows_of(house, STATE)
    assert [row["car_chassis"] for row in rows] == [f"CAR-{n:02}" for n in range(11)]
    assert held(house) == expected([(record, MODIFIED) for record in records])


def test_old_files_decide_no_schema(small_folder: Path) -> None:
    """A crawler took the schema from 2,116 files of an old shape that were left in the bucket."""
    new = [nested("CAR-1", f"e{n}", f"2025-10-{n:02}T08:00:00Z", manufacturer="Seat") for n in range(1, 6)]
    old = [oldest(f"OLD-{n}", "Wed, 29 Oct 2025 11:00:00", current_mileage_km=5.0 + n) for n in range(60)]
    schemas = []
    for name, first, then in (("old first", old, new), ("new only", new, [])):
        with lakehouse(small_folder / name) as house:
            for n, record in enumerate(first):
                put(house.lake.landing / f"{n:03}.json", record)
            house.run()
            put(house.lake.landing / "then.json", *then)
            house.run()
            schemas.append({table: iceberg(house, table).schema().as_struct() for table in (SILVER, *GOLD)})
            assert all(schemas[-1][t] == iceberg_schema(house.declared[t]).as_struct() for t in schemas[-1])
            assert held(house) == expected([(record, MODIFIED) for record in [*first, *then]])
    assert schemas[0] == schemas[1]


def test_gold_has_its_own_columns_and_none_of_silvers(house: Lakehouse) -> None:
    """A gold table was made from silver's frame, with all its columns, and every later write failed for 30 hours."""
    put(house.lake.landing / "1.json", nested("CAR-1", "e1", "2025-10-01T08:00:00Z"))
    house.run()
    for name in GOLD:
        assert [field.name for field in iceberg(house, name).schema().fields] == list(house.declared[name].column_names)
    silver = set(house.declared[SILVER].column_names)
    for name in GOLD:
        assert silver - {field.name for field in iceberg(house, name).schema().fields}
    # Silver's rows, offered to a gold table, are refused before a file is written.
    before, there = heads(house), files_of(house)
    with house.engine.session():
        rows = house.engine.scan(SILVER, heads(house)[SILVER])
        with pytest.raises(SchemaError, match=f"{STATE} do not have its declared columns") as refused:
            house.engine.stage(house.declared[STATE], heads(house)[STATE], None, rows, {})
    assert "declared manufacturer VARCHAR, got" in str(refused.value)
    assert heads(house) == before and files_of(house) == there


def test_three_columns_for_fourteen_are_refused_before_a_file_is_written(house: Lakehouse) -> None:
    """A frame of 3 columns was written to a table of 15, and the table was broken by it."""
    put(house.lake.landing / "1.json", nested("CAR-1", "e1", "2025-10-01T08:00:00Z"))
    house.run()
    there = files_of(house)
    context = house.context()
    with house.engine.session():
        few = house.engine.view("SELECT 'CAR-9' AS car_chassis, 'Seat' AS manufacturer, 'Ibiza' AS model")
        with pytest.raises(SchemaError, match="declared year INTEGER, got nothing"):
            publish(context, house.engine.stage(house.declared[STATE], heads(house)[STATE], None, few, {}))
    assert files_of(house) == there and [row["car_chassis"] for row in rows_of(house, STATE)] == ["CAR-1"]


def test_every_table_lies_in_the_lakes_own_warehouse(house: Lakehouse) -> None:
    """A job without a warehouse path wrote nowhere, or to the root of a bucket."""
    put(house.lake.landing / "1.json", nested("CAR-1", "e1", "2025-10-01T08:00:00Z"), '{"unknown": 1}')
    house.run()
    house.write_down_runs()
    for name in heads(house):
        location = iceberg(house, name).location()
        assert Path(unquote(urlsplit(location).path)) == house.lake.warehouse / "carlake" / name
    assert Settings().warehouse == house.settings.warehouse == "", "left empty, it is the lake's own"


def test_tables_are_found_with_and_without_a_prefix(house: Lakehouse) -> None:
    """Queries failed for want of the catalog's prefix."""
    put(house.lake.landing / "1.json", nested("CAR-1", "e1", "2025-10-01T08:00:00Z"))
    house.run()
    for name in (STATE, f"carlake.{STATE}"):
        assert house.query(f"SELECT count(*) AS cars FROM {name}").to_pylist() == [{"cars": 1}]


def test_settings_are_whole_before_anything_runs(small_folder: Path) -> None:
    """Settings of Spark were changed in a session that had begun, where they are static."""
    settings = Settings(threads=1)
    with pytest.raises(ValueError, match="frozen"):
        settings.threads = 2  # type: ignore[misc]
    with Lakehouse.create(small_folder / "lake", settings) as house:
        assert house.engine.rows("SELECT current_setting('threads')") == [(1,)]


def test_a_changed_select_is_never_run_under_the_old_bookmark(house: Lakehouse) -> None:
    """A cached copy of a script went on after the script was mended: here, rows say which SQL they were made by."""
    put(house.lake.landing / "1.json", nested("CAR-1", "e1", "2025-10-01T08:00:00Z", trip_max_speed_kmh=118.0))
    house.run()
    made_by = bookmark(house, ALERTS)
    assert made_by is not None and made_by.definition == house.declared[ALERTS].definition
    table = house.declared[ALERTS]
    house.declared[ALERTS] = replace(table, select=table.select.replace("is ' || direction", "was ' || direction"))
    assert house.declared[ALERTS].definition != table.definition
    put(house.lake.landing / "2.json", nested("CAR-1", "e2", "2025-10-02T08:00:00Z", trip_max_speed_kmh=119.0))
    context = house.context()
    from carlake.refresh.refresh import refresh_table

    left = refresh_table(context, house.declared[ALERTS])
    assert left.status == "left" and "select" in left.error and "carlake rebuild" in left.error
    assert refresh_table(context, house.declared[ALERTS], adopt=True).status == "succeeded"
    assert [row["alert_message"] for row in rows_of(house, ALERTS)] == [
        "Highest speed of the trip 118.0 km/h was above 110.0 km/h"
    ]


def test_flat_events_beside_nested_ones_need_no_schema_change(house: Lakehouse) -> None:
    """Each new shape used to begin a round of crawler, schema and job. Here its contract is there, or one file is."""
    records = [
        nested("CAR-1", "e1", "2025-10-01T08:00:00Z", current_mileage_km=10.0),
        flat("CAR-1", "2025-10-02T08:00:00Z", current_mileage_km=20.0),
        oldest("CAR-1", "Fri, 03 Oct 2025 08:00:00", current_mileage_km=30.0),
    ]
    before = iceberg_schema(house.declared[SILVER]).as_struct()
    for n, record in enumerate(records):
        put(house.lake.landing / f"{n}.json", record)
        assert house.run().status == "succeeded"
        assert iceberg(house, SILVER).schema().as_struct() == before
    assert held(house) == expected([(record, MODIFIED) for record in records])
