"""Compare: every row is accounted for, whatever names and types the other side has."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carlake.engines.duckdb.compare import ComparingSession, Pair, Repeated, Rows
from carlake.errors import NotFoundError, ReadError
from carlake.landing.listing import list_paths
from carlake.look.compare.comparison import Comparison
from carlake.look.compare.pairing import paired
from look.conftest import FIRST, NOON, SECOND, Built, event

STATE = "gold_car_current_state"
Old = Callable[..., str]


@pytest.fixture
def old(built: Built, tmp_path: Path) -> Old:
    """Writes what a query over the lake's state (`state`) and silver gives as a file of an old lake."""

    def write(sql: str = "FROM state", name: str = "old.parquet", how: str = "") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'").fetchall()
            connection.register("state", built.house.query(f"FROM {STATE}"))
            connection.register("silver", built.house.query("FROM silver_car_telemetry"))
            connection.execute(f"COPY ({sql}) TO '{path}' {how}").fetchall()
        return str(path)

    return write


def counts(found: Comparison) -> tuple[int, int, int, int]:
    rows = found.rows
    return rows.equal, rows.differing, rows.only_here, rows.only_there


def named(found: Comparison) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in found.rows.differences.to_pylist()]


def how(found: Comparison, column: str) -> str:
    return next(each.how for each in (*found.rows.keys, *found.rows.columns) if each.here == column)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.parquet", ""),
        ("a.csv", "(HEADER)"),
        ("a.csv.gz", "(HEADER, FORMAT csv, COMPRESSION gzip)"),
        ("a", "(HEADER, DELIMITER ';', FORMAT csv)"),
        ("a.json", "(FORMAT json)"),
        ("array", "(FORMAT json, ARRAY true)"),
    ],
)
def test_the_same_rows_are_equal_in_every_form(built: Built, old: Old, name: str, options: str) -> None:
    found = built.house.compare("current_state", old(name=name, how=options))
    assert found.equal and counts(found) == (2, 0, 0, 0) and named(found) == []
    assert found.ignored == ("gold_processing_timestamp",) and found.only_here == found.only_there == ()


def test_each_row_and_column_that_differs_is_named(built: Built, old: Old) -> None:
    path = old(
        """SELECT * REPLACE (CASE car_chassis WHEN 'CAR-A' THEN 'Seat' ELSE manufacturer END AS manufacturer,
           CASE car_chassis WHEN 'CAR-B' THEN NULL ELSE current_mileage_km END AS current_mileage_km)
           FROM state UNION ALL SELECT * REPLACE ('CAR-X' AS car_chassis) FROM state WHERE car_chassis = 'CAR-A'"""
    )
    found = built.house.compare(STATE, path)
    differing = {column.here: column.differing for column in found.rows.columns if column.differing}
    assert not found.equal and counts(found) == (0, 2, 0, 1)
    assert differing == {"manufacturer": 1, "current_mileage_km": 1}
    assert named(found) == [
        ("only there", "CAR-X", None, None, None),
        ("differs", "CAR-A", "manufacturer", "VW", "Seat"),
        ("differs", "CAR-B", "current_mileage_km", "501.0", None),
    ]


def test_a_repeated_key_is_counted_and_joined_with_none(built: Built, old: Old) -> None:
    """As the old lake's state, which had 101 rows for 11 cars."""
    path = old(
        "FROM state UNION ALL SELECT * REPLACE (fuel_available_liters + n AS fuel_available_liters) "
        "FROM state, range(30) AS r(n) WHERE car_chassis = 'CAR-A' UNION ALL FROM state WHERE car_chassis = 'CAR-B'".replace(
            "SELECT * REPLACE", "SELECT state.* REPLACE"
        )
    )
    found = built.house.compare(STATE, path)
    assert not found.equal and counts(found) == (0, 0, 0, 0)
    assert (found.rows.here, found.rows.there) == (2, 33)
    assert found.rows.repeated_there == Repeated(2, 33) and found.rows.repeated_here == Repeated(0, 0)
    assert found.rows.one_equal == 2
    assert named(found) == [
        ("repeated key", "CAR-A", None, "1", "31"),
        ("repeated key", "CAR-B", None, "1", "2"),
    ]


def test_a_key_that_is_none_is_said_of_both_sides(built: Built, old: Old) -> None:
    found = built.house.compare("silver", old("FROM silver"), key=["manufacturer"])
    assert not found.equal and found.rows.repeated_here == found.rows.repeated_there != Repeated()
    assert found.rows.one_equal == 0


def test_columns_are_found_under_the_names_that_the_old_lake_had(built: Built, old: Old) -> None:
    path = old(
        """SELECT car_chassis AS "carChassis", event_id, {'insurance_info': {'data': {'validUntil': insurance_valid_until,
           'provider': insurance_provider}}} AS vehicle_dynamic_state, Model AS "Model", oil_status AS oil,
           current_mileage_km AS "trip_data.vehicle_telemetry_snapshot.data.currentMileage",
           oil_temp_celsius AS "oilTempCelsius" FROM silver"""
    )
    found = built.house.compare("silver", path, mapping={"oil": "oil_status"})
    called = {column.here: column.there for column in (*found.rows.keys, *found.rows.columns)}
    assert found.equal and found.only_there == ()
    assert called == {
        "car_chassis": "carChassis",
        "event_id": "event_id",
        "model": "Model",
        "insurance_provider": "vehicle_dynamic_state.insurance_info.data.provider",
        "insurance_valid_until": "vehicle_dynamic_state.insurance_info.data.validUntil",
        "current_mileage_km": "trip_data.vehicle_telemetry_snapshot.data.currentMileage",
        "oil_temp_celsius": "oilTempCelsius",
        "oil_status": "oil",
    }
    assert "color" in found.only_here


def test_types_are_reconciled_and_it_is_said(built: Built, old: Old) -> None:
    path = old(
        """SELECT car_chassis, year::VARCHAR AS year, current_mileage_km::FLOAT AS current_mileage_km,
           fuel_available_liters::DECIMAL(9,3) AS fuel_available_liters, event_timestamp::TIMESTAMP AS event_timestamp,
           telemetry_timestamp::TIMESTAMP_NS AS telemetry_timestamp,
           insurance_valid_until::TIMESTAMP AS insurance_valid_until FROM state"""
    )
    found = built.house.compare(STATE, path)
    assert found.equal
    assert how(found, "year") == "texts read as INTEGER, an empty one as null"
    assert "single precision" in how(found, "current_mileage_km")
    assert how(found, "fuel_available_liters") == "as double"
    assert how(found, "event_timestamp") == how(found, "telemetry_timestamp") == "times without a zone as UTC"
    assert how(found, "insurance_valid_until") == "days as their midnight"


@pytest.mark.parametrize(("zone", "equal"), [("UTC", False), ("America/New_York", False), ("Europe/Berlin", True)])
def test_times_without_a_zone_have_the_one_that_is_said(built: Built, old: Old, zone: str, equal: bool) -> None:
    path = old(
        "SELECT car_chassis, timezone('Europe/Berlin', event_timestamp) AS event_timestamp, "
        "strftime(timezone('Europe/Berlin', telemetry_timestamp), '%a, %d %b %Y %H:%M:%S') AS telemetry_timestamp "
        "FROM state"
    )
    found = built.house.compare(STATE, path, zone=zone)
    assert found.equal is equal
    # What is shown of the lake is in UTC, whatever the zone of the other side.
    shown = [row["here"] for row in found.rows.differences.to_pylist() if row["column"] == "event_timestamp"]
    assert all(value.endswith("+00") for value in shown) and len(shown) == (0 if equal else 2)


def test_a_text_that_is_no_number_is_a_difference_and_not_a_null(built: Built, old: Old) -> None:
    path = old("SELECT car_chassis, CASE WHEN gas_type IS NULL THEN 'unknown' ELSE '' END AS year FROM state")
    found = built.house.compare(STATE, path, columns=["year"])
    values = {row["there"] for row in found.rows.differences.to_pylist()}
    none = [row["car_chassis"] for row in built.rows(f"SELECT * FROM {STATE} WHERE year IS NULL")]
    assert none and found.rows.differing == 2 and values == {"unknown"}


def test_numbers_may_differ_by_the_tolerance_and_no_more(built: Built, old: Old) -> None:
    path = old("SELECT car_chassis, current_mileage_km + 0.4 AS current_mileage_km FROM state")
    assert built.house.compare(STATE, path, tolerance=0.41).equal
    assert built.house.compare(STATE, path, tolerance=0.39).rows.differing == 2
    gone = old("SELECT car_chassis, NULL::DOUBLE AS current_mileage_km FROM state", "gone.parquet")
    assert built.house.compare(STATE, gone, tolerance=1e12).rows.differing == 2
    assert built.house.compare(STATE, gone, ignore=["current_mileage_km"]).equal


def test_a_release_of_the_same_table(built: Built) -> None:
    first = built.house.runs().to_pylist()[-1]["run_id"]
    assert built.house.compare("silver", "silver@last").equal
    found = built.house.compare("silver", f"silver@{first}")
    assert not found.equal and found.rows.only_there == 0 and found.rows.only_here > 0
    assert counts(built.house.compare("silver@last", "silver", as_of_run=first)) == counts(found)


def test_another_table_of_the_catalog(small: Callable[..., Any], tmp_path: Path) -> None:
    with small("lake", FIRST, SECOND) as house:
        rows = house.query(f"SELECT car_chassis AS carchassis, current_mileage_km FROM {STATE}")
        house.catalog.create_namespace("old_lake")
        other = house.catalog.create_table("old_lake.car_state", rows.schema)
        other.append(rows)
        before = other.current_snapshot()
        assert house.compare(STATE, "old_lake.car_state").equal
        other.delete("carchassis = 'CAR-A'")
        assert counts(house.compare(STATE, "old_lake.car_state")) == (0, 0, 1, 0)
        assert house.compare(STATE, f"old_lake.car_state@{before.snapshot_id}").equal
        with pytest.raises(NotFoundError, match="has no snapshot 5"):
            house.compare(STATE, "old_lake.car_state@5")
        with pytest.raises(NotFoundError, match=r"There is no table old_lake\.cars in the catalog"):
            house.compare(STATE, "old_lake.cars")
        with pytest.raises(NotFoundError, match="does not know the key"):
            house.compare("old_lake.car_state", STATE)
        assert counts(house.compare("old_lake.car_state", STATE, key=["carchassis"])) == (0, 0, 0, 1)


def test_partition_folders_give_columns_unless_the_files_have_them(built: Built, old: Old, tmp_path: Path) -> None:
    old(
        "SELECT car_chassis, event_timestamp, year, year AS y FROM state WHERE year IS NOT NULL",
        "parts",
        "(FORMAT parquet, PARTITION_BY (y))",
    )
    (tmp_path / "parts" / "_SUCCESS").write_text("")
    found = built.house.compare(STATE, str(tmp_path / "parts"), mapping={"y": "model"}, columns=["y", "year"])
    here = built.rows(f"SELECT count(*) AS n FROM {STATE} WHERE year IS NOT NULL")[0]["n"]
    assert {column.here: column.differing for column in found.rows.columns} == {"model": here, "year": 0}
    old("SELECT car_chassis, year FROM state", "odd/year=1900/a.parquet")
    assert built.house.compare(STATE, str(tmp_path / "odd")).equal


def test_files_that_cannot_be_compared_are_named(built: Built, old: Old, tmp_path: Path) -> None:
    def refused(kind: type[Exception], what: str, name: str = "d") -> None:
        with pytest.raises(kind, match=what):
            built.house.compare(STATE, str(tmp_path / name))

    old(name="d/part.parquet")
    (tmp_path / "d" / "_delta_log").mkdir()
    (tmp_path / "d" / "_delta_log" / "0.json").write_text("{}")
    refused(ReadError, "is a Delta table: its files hold rows of older versions")
    old(name="i/data/part.parquet")
    (tmp_path / "i" / "metadata").mkdir()
    (tmp_path / "i" / "metadata" / "v1.metadata.json").write_text("{}")
    refused(ReadError, "is an Iceberg table", "i")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and nothing else")
    refused(ReadError, r"bad\.parquet cannot be read", "bad.parquet")
    (tmp_path / "bad.csv.metadata").write_bytes(b"\x0a\x00\x01text")
    refused(ReadError, "is neither Parquet nor JSON nor CSV", "bad.csv.metadata")
    (tmp_path / "cut.json.gz").write_bytes(gzip.compress(b'{"car_chassis": "CAR-A"}\n' * 9999)[:60])
    refused(ReadError, r"cut\.json\.gz", "cut.json.gz")
    (tmp_path / "empty.json").write_text("")
    refused(NotFoundError, "no file with content", "empty.json")
    refused(NotFoundError, "There is no file or folder", "missing/x")
    with pytest.raises(NotFoundError, match="is neither a file nor a table"):
        built.house.compare(STATE, "curent_stat")


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"key": ["chassis"]}, r"--key: there is no column 'chassis'"),
        ({"key": ["oil"]}, r"--key: column oil is only there, and not here\.\n.*--mapping THERE=HERE"),
        ({"columns": ["color"]}, r"--columns: there is no column 'color'"),
        ({"mapping": {"oil": "colour"}}, r"--mapping: there is no column 'colour' here"),
        ({"mapping": {"water": "model"}}, r"--mapping: there is no column 'water' there"),
        ({"ignore": ["car_chassis"]}, r"--ignore: car_chassis is in the key"),
        ({"zone": "Mars"}, r"no time zone 'Mars'"),
    ],
)
def test_what_is_not_there_is_named(built: Built, old: Old, options: dict[str, Any], what: str) -> None:
    path = old("SELECT car_chassis, 1 AS oil FROM state")
    with pytest.raises(NotFoundError, match=what):
        built.house.compare(STATE, path, **options)


def test_a_name_that_could_mean_two_columns_pairs_with_none() -> None:
    found = paired(
        ["car_id", "a_b", "km", "x"], ["CarID", "aB", "A_b", "mileage", "miles", "X"], {}, {"mileage": ["km"]}
    )
    assert found.pairs == {"car_id": Pair("car_id", "CarID"), "km": Pair("km", "mileage"), "x": Pair("x", "X")} | {
        "a_b": Pair("a_b", "A_b")
    }
    unclear = paired(["a_b", "ab"], ["A-B"], {}, {})
    assert not unclear.pairs and unclear.only_here == ("a_b", "ab")
    either = paired(["front", "rear"], ["tire"], {}, {"tire": ["front", "rear"]})
    assert not either.pairs and either.only_there == ("tire",)
    twice = paired(["km"], ["mileage", "miles"], {}, {"mileage": ["km"], "miles": ["km"]})
    assert not twice.pairs and twice.only_there == ("mileage", "miles")


def test_the_differences_that_are_named_are_few_and_all_are_counted(built: Built, old: Old) -> None:
    found = built.house.compare(STATE, old("SELECT car_chassis, 'x' AS model FROM state"), limit=1)
    assert found.rows.differing == 2 and len(named(found)) == 1
    assert named(built.house.compare(STATE, old("SELECT car_chassis, 'x' AS model FROM state"), limit=0)) == []


def _files(folder: Path, here: pa.Table, there: pa.Table | str) -> Rows:
    """Two files compared by their column k, in the column v."""
    pq.write_table(here, folder / "here")
    if isinstance(there, str):
        (folder / "there").write_text(there)
    else:
        pq.write_table(there, folder / "there")
    with ComparingSession(256 << 20, folder / "scratch", 1) as session:
        for side in ("here", "there"):
            session.read_objects(side, list_paths([folder / side]).objects, side)  # type: ignore[arg-type]
        return session.compare([Pair("k", "k")], [Pair("v", "v")])


def test_a_null_is_a_key_and_a_value_like_any_other(tmp_path: Path) -> None:
    here = pa.table({"k": ["a", None, "c"], "v": [1, 2, None]})
    assert _files(tmp_path, here, here).equal == 3
    found = _files(tmp_path, here, pa.table({"k": [None, "a", "c"], "v": [3, None, None]}))
    assert (found.equal, found.differing, found.only_here, found.only_there) == (1, 2, 0, 0)
    twice = _files(tmp_path, here, pa.table({"k": [None, None, "a", "c"], "v": [2, 3, 1, None]}))
    assert (twice.equal, twice.repeated_there, twice.one_equal) == (2, Repeated(1, 2), 1)


def test_in_a_csv_a_quoted_empty_text_is_a_text_and_an_empty_cell_is_null(tmp_path: Path) -> None:
    here = pa.table({"k": ["a", "b"], "v": ["", None]})
    assert _files(tmp_path, here, 'k,v\na,""\nb,\n').equal == 2
    assert _files(tmp_path, here, 'k,v\na,\nb,""\n').differing == 2


def test_texts_of_json_stay_texts(tmp_path: Path) -> None:
    here = pa.table({"k": ["a", "b"], "v": ["2025-11-03", "2025-11-03 08:00:00"]})
    found = _files(tmp_path, here, '{"k": "a", "v": "2025-11-03"}\n{"k": "b", "v": "2025-11-03T08:00:00"}\n')
    assert (found.equal, found.differing) == (1, 1) and found.columns[0].there_type == "VARCHAR"
    days = _files(tmp_path, here.slice(0, 1), '{"k": "a", "v": "2025-11-03"}')
    assert days.equal == 1 and (days.columns[0].there_type, days.columns[0].how) == ("VARCHAR", "")


@pytest.mark.parametrize(
    ("here", "there", "equal"),
    [
        (pa.array([1, 2**40]), pa.array(["1", " 1099511627776 "]), 2),
        (pa.array([True, False]), pa.array([1, 0]), 2),
        (pa.array(["true", "x"]), pa.array([True, False]), 1),
        (pa.array([1.5, float("nan")]), pa.array(["1.50", "NaN"]), 2),
        (pa.array([[1, 2], [3]]), pa.array(["[1, 2]", "[4"]), 1),
        (pa.array([[1, 2], [3]]), pa.array([[1, 2], [4]], pa.list_(pa.int16())), 1),
        (pa.array([None, None], pa.null()), pa.array([None, 1]), 1),
        (pa.array([1, 3]), pa.array([Decimal("1.000"), Decimal("3.001")]), 1),
        (pa.array([Decimal("1.0"), Decimal("3.0")]), pa.array([Decimal("1.000"), Decimal("3.001")]), 1),
        (pa.array([date(2025, 11, 3), None]), pa.array(["Mon, 03 Nov 2025 00:00:00", ""]), 2),
        (pa.array([NOON, NOON]), pa.array(["2026-01-10T13:00:00+01:00", "2026-01-10T13:00:00"]), 1),
        (pa.array([NOON.replace(tzinfo=None)] * 2), pa.array(["2026-01-10T13:00:00+01:00", "2026-01-10T13:00:00"]), 1),
    ],
    ids=str,
)
def test_values_of_two_types(tmp_path: Path, here: pa.Array, there: pa.Array, equal: int) -> None:
    found = _files(tmp_path, pa.table({"k": ["a", "b"], "v": here}), pa.table({"k": ["a", "b"], "v": there}))
    assert (found.equal, found.differing) == (equal, 2 - equal)


def test_a_key_of_two_types(tmp_path: Path) -> None:
    here = pa.table({"k": pa.array([1, 2, None]), "v": [1, 2, 3]})
    found = _files(tmp_path, here, "k,v\n01,1\ntwo,2\n,3\n")
    assert (found.equal, found.only_here, found.only_there) == (2, 1, 1)
    assert found.differences.column(1).to_pylist() == ["2", "two"]


def test_more_rows_than_memory_holds(tmp_path: Path) -> None:
    rows = 400_000
    for name, first in (("here", 0), ("there", 3)):
        keys = pa.array([f"{number:032d}" for number in range(first, rows + first)])
        pq.write_table(pa.table({"k": keys, "v": pa.array([number % 7 for number in range(rows)])}), tmp_path / name)
    with ComparingSession(48 << 20, tmp_path / "scratch", 1) as session:
        for side in ("here", "there"):
            session.read_objects(side, list_paths([tmp_path / side]).objects, side)  # type: ignore[arg-type]
        found = session.compare([Pair("k", "k")], [Pair("v", "v")], limit=2)
    assert (found.equal, found.differing, found.only_here, found.only_there) == (0, rows - 3, 3, 3)
    assert found.differences.num_rows == 6 and list((tmp_path / "scratch").iterdir()) == []


def test_records_are_found_again_by_a_second_lake(built: Built, small: Callable[..., Any], tmp_path: Path) -> None:
    """What is compared may be another lake's export, of other runs: lineage is left out by who asks."""
    with small("lake", FIRST, event("e9")) as house:
        path = tmp_path / "silver.parquet"
        pq.write_table(
            house.query("SELECT * EXCLUDE (source_id, source_row, ingested_at) FROM silver_car_telemetry"), path
        )
    found = built.house.compare("silver", str(path), columns=["model", "manufacturer"])
    assert found.rows.only_there == 1 and found.rows.differing == 0 and found.rows.equal == 1
