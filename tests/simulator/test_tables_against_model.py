"""The tables' SELECTs, run in DuckDB as they are declared, against the plain-Python model of what they mean."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from carlake.contracts.contract import ContractSet
from carlake.contracts.judge import Accepted, judge_text
from carlake.contracts.load import load
from carlake.rules.load import load_rules
from carlake.simulator.files import write
from carlake.simulator.fleet import Fleet, records
from carlake.tables.declare import declare
from carlake.tables.silver_car_telemetry import LINEAGE, parsed_columns
from carlake.tables.table import Table
from model import ALERTS, MONTHLY, SILVER, STATE, Lake, Row, accepted, model, model_of_records, rounded

TODAY = date(2025, 11, 1)
MODIFIED = datetime(2025, 10, 1, tzinfo=UTC)
Landed = tuple[bytes, datetime]

_ARROW: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int": pa.int32(),
    "long": pa.int64(),
    "double": pa.float64(),
    "timestamptz": pa.timestamp("us", "UTC"),
    "date": pa.date32(),
}
_PARSED = pa.schema([(column.name, _ARROW[column.type]) for column in parsed_columns()])


class Tables:
    """The declared tables over DuckDB: what a refresh does, without files, bookmarks and commits."""

    def __init__(self) -> None:
        self.contracts: ContractSet = load()
        self.tables = declare(self.contracts.canonical, load_rules())
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone='UTC'; SET threads=1")

    def parsed(self, landed: Sequence[Landed], source_id: str) -> pa.Table:
        """The accepted ones of the records, as silver's source."""
        rows: list[Row] = []
        for number, (text, modified_at) in enumerate(landed):
            judged = judge_text(text.decode(), self.contracts, modified_at=modified_at)
            if isinstance(judged, Accepted):
                lineage = (
                    judged.contract,
                    judged.version,
                    source_id,
                    number,
                    xxhash.xxh3_128_hexdigest(text),
                    MODIFIED,
                )
                names = (column.name for column in LINEAGE)
                rows.append({**judged.values, **dict(zip(names, lineage, strict=True))})
        return pa.Table.from_pylist(rows, schema=_PARSED)

    def select(self, table: Table, source: pa.Table, self_rows: pa.Table | None, today: date = TODAY) -> pa.Table:
        texts = {
            "source": "source_rows",
            "self": "self_rows",
            "today": f"DATE '{today}'",
            "now": "TIMESTAMPTZ '2030-01-01 00:00:00Z'",
        }
        for name, step in table.steps.items():
            texts[name] = f"({_filled(step, texts)})"
        sql = _filled(table.select, texts)
        self._connection.register("source_rows", source)
        if self_rows is not None:
            self._connection.register("self_rows", self_rows)
        result: pa.Table = self._connection.sql(sql).to_arrow_table()
        assert tuple(result.column_names) == table.column_names
        return result

    def silver(self, batches: Iterable[Sequence[Landed]]) -> pa.Table:
        """Silver after the batches, each refreshed onto what the ones before it gave."""
        table = self.tables[SILVER]
        rows = pa.schema([(column.name, _ARROW[column.type]) for column in table.columns]).empty_table()
        for number, batch in enumerate(batches):
            rows = self.select(table, self.parsed(batch, f"object {number}"), rows)
        return rows

    def lake(self, batches: Iterable[Sequence[Landed]], today: date = TODAY) -> Lake:
        """All four tables as the model gives them: without lineage and volatile columns, in key order."""
        silver = self.silver(batches)
        gold = {name: self.select(self.tables[name], silver, None, today) for name in (STATE, MONTHLY, ALERTS)}
        lineage = {column.name for column in LINEAGE}
        lake: Lake = {}
        for name, rows in {SILVER: silver, **gold}.items():
            table = self.tables[name]
            kept = [column for column in table.identity if column not in lineage]
            key = table.key
            lake[name] = sorted(
                rows.select(kept).to_pylist(),
                key=lambda row: tuple(row[column] for column in key),
            )
        return lake


@pytest.fixture(scope="module")
def tables() -> Tables:
    return Tables()


def test_a_simulated_fleet(tables: Tables) -> None:
    fleet = Fleet(events=1500, cars=12, flat=0.25, snapshot=0.15, duplicates=0.1, corrections=0.1, stale=0.1, bad=0.05)
    landed = [
        (
            record.text.encode() if isinstance(record.text, str) else record.text,
            MODIFIED + timedelta(minutes=index // 40),
        )
        for index, record in enumerate(records(fleet))
    ]
    texts = [each for each in landed if not _is_broken(each[0])]
    expected = model_of_records(texts, TODAY)
    assert len(expected[SILVER]) == 1500
    assert len(expected[STATE]) == 12
    assert len(expected[MONTHLY]) >= 36
    assert len({row["alert_type"] for row in expected[ALERTS]}) >= 4
    for batches in ([texts], _split(texts, 7), _split(texts[::-1], 3)):
        assert tables.lake(batches) == expected


def test_files_on_disk_are_read_as_the_model_reads_them(tables: Tables, tmp_path: Path) -> None:
    fleet = Fleet(events=200, cars=4, flat=0.4, snapshot=0.1, corrections=0.1, bad=0)
    simulated = write(fleet, tmp_path, files=6)
    objects = [(path.read_bytes(), datetime.fromtimestamp(path.stat().st_mtime, UTC)) for path in simulated.paths]
    batches = [[(line, when) for line in content.splitlines()] for content, when in objects]
    found, expected = tables.lake(batches), model(objects, TODAY)
    assert found == expected
    assert len(expected[SILVER]) == simulated.events


def _filled(sql: str, texts: dict[str, str]) -> str:
    for name, text in texts.items():
        sql = sql.replace("{" + name + "}", text)
    return sql


def _is_broken(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return True
    return False


def _split(texts: Sequence[Landed], parts: int) -> list[Sequence[Landed]]:
    return [texts[part::parts] for part in range(parts)]


# Few cars, ids and times, so that versions meet; values on both sides of every threshold; nulls everywhere.
_TIMES = st.sampled_from(
    [
        "2025-09-30T23:59:59Z",
        "2025-10-01T00:00:00Z",
        "2025-10-01T01:30:00+02:00",
        "2025-10-31T23:59:59.999999Z",
        "2025-11-01T00:00:00-03:00",
        "2025-12-31T23:00:00-05:00",
    ]
)
_MAYBE: dict[str, list[Any]] = {
    "trip_data.trip_summary.data.tripMileage": [0, 0.0005, 1.0005, 2.6755, 100, 513.7705, 1e-7],
    "trip_data.trip_summary.data.tripFuelLiters": [0, 0.0004, 7.5, 8.0045],
    "trip_data.trip_summary.data.tripTimeMinutes": [0, 1, 90],
    "trip_data.trip_summary.data.tripMaxSpeedKm": [110, 110.5, 111],
    "trip_data.vehicle_telemetry_snapshot.data.currentMileage": [99999.96, 100000, 100000.04, 100001],
    "trip_data.vehicle_telemetry_snapshot.data.fuelAvailableLiters": [0, 4.99, 5, 9.95, 10, 40],
    "trip_data.vehicle_telemetry_snapshot.data.engineTempCelsius": [-60, 100, 100.05, 250],
    "trip_data.vehicle_telemetry_snapshot.data.oilTempCelsius": [110, 110.25],
    "trip_data.vehicle_telemetry_snapshot.extraction_timestamp": ["2025-10-01T00:00:01Z", "2025-11-01T00:00:01Z"],
    "vehicle_static_info.data.fuelCapacityLiters": [0, 50],
    "vehicle_static_info.data.Manufacturer": ["Kestrel", "Ñandú"],
    "vehicle_static_info.data.Model": ["Merlin", "Pampa"],
    "vehicle_static_info.data.year": [2020, 2021.0],
    "vehicle_dynamic_state.insurance_info.data.provider": ["Northlight", "Lantern"],
    "vehicle_dynamic_state.insurance_info.data.validUntil": [
        "2025-10-31",
        "2025-11-01",
        "2026-01-30",
        "2026-01-31",
    ],
    "vehicle_dynamic_state.maintenance_info.data.oil_life_percentage": [0, 19.99, 20, 49.9, 50, 100],
}


@st.composite
def _nested(draw: st.DrawFn) -> str:
    record: dict[str, Any] = {
        "event_id": draw(st.sampled_from(["e1", "e2", "é3"])),
        "carChassis": draw(st.sampled_from(["A", "B"])),
        "event_primary_timestamp": draw(_TIMES),
        "processing_timestamp": draw(st.sampled_from(["2025-10-02T00:00:00Z", "2025-10-03T00:00:00Z", None])),
        "trip_data": {},
    }
    for path, values in _MAYBE.items():
        value = draw(st.sampled_from([None, None, *values]))
        if value is None and draw(st.booleans()):
            continue
        *blocks, field = path.split(".")
        inner = record
        for block in blocks:
            inner = inner.setdefault(block, {})
        inner[field] = value
    return json.dumps(record, ensure_ascii=False)


@st.composite
def _flat(draw: st.DrawFn) -> str:
    metrics = {
        "currentMileageKm": draw(st.sampled_from([None, 100000, 100001])),
        "fuelAvailableLiters": draw(st.sampled_from([None, 3, 20.5])),
        "engineTempCelsius": draw(st.sampled_from([None, 101])),
    }
    record: dict[str, Any] = {"carChassis": draw(st.sampled_from(["A", "B"])), "telemetryTimestamp": draw(_TIMES)}
    record["model"] = draw(st.sampled_from([None, "Flat"]))
    return json.dumps(record | metrics if draw(st.booleans()) else {**record, "metrics": metrics})


@st.composite
def _oldest(draw: st.DrawFn) -> str:
    trip = {"tripMileage": draw(st.sampled_from([None, 5.5])), "tripStartTimestamp": "Tue, 30 Sep 2025 23:00:00"}
    metrics = {
        "metricTimestamp": draw(st.sampled_from(["Tue, 30 Sep 2025 23:59:59", "Wed, 29 Oct 2025 11:00:00"])),
        "fuelAvailableLiters": draw(st.sampled_from([None, 9])),
        "trip": draw(st.sampled_from([None, trip])),
    }
    insurance = {"number": "P-1", "provider": "Old", "validUntil": draw(st.sampled_from([None, "2025-10-30"]))}
    record = {"carChassis": "A", "ModelYear": 2019, "metrics": metrics}
    return json.dumps(record | {"carInsurance": draw(st.sampled_from([None, insurance]))})


_LANDED = st.tuples(
    st.one_of(_nested(), _nested(), _flat(), _oldest()).map(str.encode),
    st.sampled_from([MODIFIED + timedelta(hours=hour) for hour in range(3)]),
)


@settings(max_examples=30)
@given(
    landed=st.lists(_LANDED, min_size=1, max_size=14),
    parts=st.integers(1, 3),
    today=st.sampled_from([TODAY, date(2025, 10, 31), date(2026, 3, 1)]),
)
def test_any_records_in_any_split(tables: Tables, landed: list[Landed], parts: int, today: date) -> None:
    expected = model_of_records(landed, today)
    assert tables.lake(_split(landed, parts), today) == expected
    assert model_of_records(reversed(landed), today) == expected, "the model itself knows no order"


def test_a_newer_version_wins_in_any_order_and_an_equal_one_by_its_hash(tables: Tables) -> None:
    def event(processed: str, temperature: int) -> Landed:
        telemetry = {"data": {"engineTempCelsius": temperature}}
        record = {
            "event_id": "e",
            "carChassis": "A",
            "event_primary_timestamp": "2025-10-01T00:00:00Z",
            "processing_timestamp": processed,
            "trip_data": {"vehicle_telemetry_snapshot": telemetry},
        }
        return json.dumps(record).encode(), MODIFIED

    older, newer, other = (
        event("2025-10-02T00:00:00Z", 50),
        event("2025-10-03T00:00:00Z", 60),
        event("2025-10-03T00:00:00Z", 70),
    )
    greater = max(newer, other, key=lambda each: xxhash.xxh3_128_hexdigest(each[0]))
    wanted = json.loads(greater[0])["trip_data"]["vehicle_telemetry_snapshot"]["data"]["engineTempCelsius"]
    for order in itertools.permutations((older, newer, other)):
        for batches in ([order], [[each] for each in order]):
            assert [row["engine_temp_celsius"] for row in tables.lake(batches)[SILVER]] == [wanted]


def test_months_sum_what_each_trip_is_in_thousandths(tables: Tables) -> None:
    def trip(number: int) -> Landed:
        trip = {"data": {"tripMileage": 0.0005, "tripFuelLiters": 0.1}}
        time = {"event_primary_timestamp": f"2025-10-01T00:00:{number:02d}Z"}
        return json.dumps(
            {"event_id": f"e{number}", "carChassis": "A", **time, "trip_data": {"trip_summary": trip}}
        ).encode(), MODIFIED

    (month,) = tables.lake([[trip(number) for number in range(30)]])[MONTHLY]
    assert (month["total_km_driven"], month["total_fuel_liters"]) == (Decimal("0.030"), Decimal("3.000"))
    assert (month["avg_fuel_efficiency_kmpl"], month["trip_count"]) == (0.03 / 3, 30)


def test_the_time_of_a_record_without_version_is_its_object_as_first_landed() -> None:
    def flat(fuel: int) -> bytes:
        record = {
            "carChassis": "A",
            "telemetryTimestamp": "2025-10-01T00:00:00Z",
            "metrics": {"fuelAvailableLiters": fuel},
        }
        return json.dumps(record).encode()

    def fuel(objects: list[Landed]) -> list[float]:
        return [row["fuel_available_liters"] for row in model(objects, TODAY)[SILVER]]

    first, second, third = (MODIFIED + timedelta(hours=hour) for hour in range(3))
    assert fuel([(flat(1), first), (flat(2), second)]) == [2.0], "a second upload corrects"
    assert fuel([(flat(2), second), (flat(1), first)]) == [2.0], "whatever the order"
    assert fuel([(flat(1), first), (flat(2), second), (flat(1), third)]) == [2.0], "known content adds nothing"


def test_the_judge_and_the_model_read_the_same_values(tables: Tables) -> None:
    fleet = Fleet(events=600, cars=5, flat=0.3, snapshot=0.3, bad=0.5)
    refused = 0
    for record in records(fleet):
        text = record.text.encode() if isinstance(record.text, str) else record.text
        row = accepted(text, MODIFIED)
        if _is_broken(text) or b"\0" in text:
            assert row is None
            continue
        judged = judge_text(text.decode(), tables.contracts, modified_at=MODIFIED)
        refused += row is None
        assert (row is None) == (not isinstance(judged, Accepted)) == bool(record.reason)
        if row is not None and isinstance(judged, Accepted):
            landed = {column.name for column in parsed_columns()}
            assert judged.values == {
                name: row[name] for name in row if name in landed - {"record_hash"} and row[name] is not None
            }
    assert refused > 200


@pytest.mark.parametrize("places", [1, 3])
def test_the_model_rounds_as_the_cast_does(places: int) -> None:
    values = [number / 10 ** (places + 1) for number in range(5, 400_000, 97)] + [
        0.0,
        1e-9,
        14.200000000000001,
        99999.96,
    ]
    with duckdb.connect() as connection:
        connection.register("doubles", pa.table({"value": pa.array(values, pa.float64())}))
        cast = connection.execute(
            f"SELECT CAST(CAST(value AS VARCHAR) AS DECIMAL(18,{places})) FROM doubles"
        ).fetchall()
    assert [row[0] for row in cast] == [rounded(value, places) for value in values]
