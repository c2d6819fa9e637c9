"""DuckDB's extraction against the reference judge: the same rows and the same refusals, whatever is landed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from carlake.contracts.contract import ContractSet, value_at
from carlake.contracts.load import load
from carlake.engines.duckdb.extract import Extraction
from carlake.engines.duckdb.parse import create_accepted, create_quarantined, escaped, parse
from contracts.shapes import SHAPES, as_csv, changed, fresh, leaves, text

ALIEN = r"""
contract: alien
version: 3
recognised_by:
  - [unit\.id]
  - [At.when, At.where]
fields:
  car_chassis: unit\.id
  event_timestamp: {path: At.when, format: "%d/%m/%Y %H:%M:%S", zone: Europe/Rome}
  processing_timestamp: {path: at.sent, format: "%Y%m%d%H%M%S", zone: "+02:00"}
  event_id: {paths: [id, ID], required: false}
  model: {paths: [it's/a~"model", Model]}
  insurance_valid_until: {path: until, format: "%d.%m.%Y"}
  last_service_date: {path: serviced, zone: America/New_York}
  rental_start_date: {path: rented, zone: UTC}
  trip_start_timestamp: {path: started, format: "%I:%M %p %b %d %Y", zone: UTC}
  trip_end_timestamp: {path: ended, format: "%Y-%m-%dT%H:%M:%S.%f%z"}
columns:
  - {name: doors, type: int, doc: number of doors, path: doors}
  - {name: pulses, type: long, doc: pulses counted, path: At.pulses, minimum: -5}
  - {name: tilt, type: double, doc: angle, unit: deg, path: At.tilt, maximum: 90, required: true}
  - {name: note, type: string, doc: a note, path: trip_data.note, personal: true}
"""
ALIEN_RECORD: dict[str, Any] = {
    "unit.id": "7UNIT",
    "At": {"when": "01/07/2025 10:00:00", "where": "x", "pulses": 9007199254740991, "tilt": 12.5},
    "at": {"sent": "20250701120000"},
    "id": "a-1",
    'it\'s/a~"model"': "Ka",
    "until": "31.12.2026",
    "serviced": "2025-01-02",
    "rented": "2025-01-02 10:00:00",
    "started": "09:30 pm Jun 30 2025",
    "doors": 5,
}
FIXED = datetime(2025, 12, 1, 10, 0, 0, 5, tzinfo=UTC)
# Its %f and %z are read by the judge alone.
JUDGED = {**ALIEN_RECORD, "ended": "2025-07-01T09:00:00.123456+0200"}
ALL = {**SHAPES, "alien": ALIEN_RECORD}


@pytest.fixture(scope="module")
def contracts(tmp_path_factory: pytest.TempPathFactory) -> ContractSet:
    file = tmp_path_factory.mktemp("contracts") / "alien.yaml"
    file.write_text(ALIEN)
    return load([file])


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def bronze(raws: Sequence[str | bytes | None], reasons: Sequence[str | None] | None = None) -> pa.Table:
    count = len(raws)
    time = pa.timestamp("us", tz="UTC")
    return pa.table(
        {
            "source_id": pa.array([f"object{n % 3}" for n in range(count)]),
            "source_row": pa.array(range(count), pa.int64()),
            # One in five objects says no modification time.
            "source_modified_at": pa.array([None if n % 5 == 4 else FIXED - timedelta(n) for n in range(count)], time),
            "record_hash": pa.array([f"{n:032x}" for n in range(count)]),
            "event_id": pa.array([f"hint{n}" for n in range(count)]),
            "car_chassis": pa.nulls(count, pa.string()),
            "raw": pa.array([raw if isinstance(raw, str) else None for raw in raws], pa.string()),
            "raw_bytes": pa.array([raw if isinstance(raw, bytes) else None for raw in raws], pa.binary()),
            "ingested_at": pa.array([FIXED] * count, time),
            "reason": pa.array(reasons or [None] * count, pa.string()),
            "detail": pa.array([r and "a detail" for r in reasons or [None] * count], pa.string()),
        }
    )


def parsed(
    con: duckdb.DuckDBPyConnection, contracts: ContractSet, records: pa.Table, few: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    create_accepted(con, "accepted", contracts, temporary=True)
    create_quarantined(con, "quarantined", temporary=True)
    con.register("records", records)
    try:
        parse(con, "records", contracts, "accepted", "quarantined", few=few)
        return tuple(
            con.sql(f"FROM {t} ORDER BY source_row").to_arrow_table().to_pylist() for t in ("accepted", "quarantined")
        )  # type: ignore[return-value]
    finally:
        con.unregister("records")
        con.execute("DROP TABLE accepted; DROP TABLE quarantined")


def doubtful(
    con: duckdb.DuckDBPyConnection, contracts: ContractSet, raws: list[str], *, safe: bool = False
) -> list[str]:
    """The records that the SQL of the contract they have does not take for clean."""
    con.register("records", bronze(raws))
    record = json.loads(raws[0])
    contract = contracts.recognise(record)
    assert contract is not None
    place = contracts.contracts.index(contract)
    extraction = Extraction(contract, "$format" in record, contracts.contracts[:place])
    query = extraction.select(contracts.parsed_columns, "records", safe=safe)
    rows = con.sql(f"SELECT source_row FROM ({query}) WHERE contract IS NULL").fetchall()
    con.unregister("records")
    return [raws[row] for (row,) in rows]


# -- hypothesis: valid records, changed in every way ------------------------------------------------------------------

NUMBERS = (
    "0 -0 -0.0 0.0 1e2 1E+2 2024 2024.0 2024.5 -5 -60 -60.0001 250 250.00001 1e999 -1e999 1e-999 5e-324 "
    "1.7976931348623157e308 9223372036854775807 9223372036854775808 1e18 1e19 -9223372036854775808 "
    "-9223372036854775809 18446744073709551615 9007199254740993 2147483647 2147483648 0.1 100 "
    "100.0000000000000001 123456789.123456789 2100 1886 20250701120000"
).split()
NUMBERS.extend(["9" * 400, "0." + "3" * 400])
# One to a bar, since blanks matter.
TIMES = (
    "2025-11-04T01:00:00Z|2025-11-04T01:00:00+00:00|2025-11-04 01:00:00.5Z|"
    "2025-11-04T01:00:00.123456789-03:30|2025-11-04T01:00Z|2025-11-04T01:00:00+02|"
    "2025-11-04T01:00:00+0200|2025-11-04T24:00:00Z|2025-11-04T 1:00:00Z| 025-11-04T01:00:00Z|"
    "2025-11-04T01:00:60Z|2025-02-29T00:00:00Z|2024-02-29T00:00:00Z|0000-01-01T00:00:00Z|"
    "0001-01-01T00:00:00Z|0999-01-01T00:00:00Z|1000-01-01T00:00:00Z|9999-12-31T23:59:59Z|"
    "0001-01-01T00:00:00+01:00|9999-12-31T23:59:59-01:00|2025-11-04|2025-11-04T01:00:00|"
    "2025/11/04T01:00:00Z|2025-11-04T01:00:00+15:59|2025-11-04T01:00:00+99:00|2025-11-04T01:00:00+05:75|"
    "2025-11-04T01:00:00z|2025-11-04T01:00:00 Z|infinity|epoch|now|2025-11-04T01:00:00 Europe/Rome|"
    "2025-W45-2|20251104T010000Z|2025-1-04|2025-11- 4|0999-12-31|2025-11-04T01:00:00.Z|"
    "+2025-11-04T01:00:00Z|2025-11-04T01:00:00Z\n| 2025-11-04T01:00:00Z |1969-12-31T23:59:59.999999Z|"
    "2025-12-1 |2025-12-1\t| 2025-12-1|2025-1-1  |2025-1-04T01:00:00Z | 2025-1-04T01:00:00Z|2025-11-04T01:00:0Z\t"
).split("|")
LOCAL_TIMES = (
    "Wed, 29 Oct 2025 11:00:00|Mon, 29 Oct 2025 11:00:00|Wed, 29 oct 2025 11:00:00|"
    "Wed, 9 Oct 2025 1:00:00|Wed,  9 Oct 2025 11:00:00|Wed, 31 Feb 2025 11:00:00|"
    "Wed, 29 Oct 2025 24:00:00|Wed, 29 Oct 0001 11:00:00|01/07/2025 10:00:00|26/10/2025 02:30:00|"
    "30/03/2025 02:30:00|01/07/1960 10:00:00|01/07/2050 10:00:00|00/07/2025 10:00:00|01/00/2025 10:00:00|"
    "20250701120000|31.12.2026|1.2.2026|31.02.2026|31.12.0026|12:30 am Jun 30 2025|00:30 pm Jun 30 2025|"
    "13:30 pm Jun 30 2025|12:00 PM Jun 30 2025|2025-07-01T09:00:00.5Z"
).split("|")
STRINGS = [
    "",
    " ",
    "x",
    "12.5",
    "12",
    "-1e5",
    "true",
    "false",
    "null",
    "{",
    "{}",
    "[1]",
    '"',
    "'",
    "a\\b",
    "é😀",
    "NaN",
    "inf",
    "1_0",
]
ODD = ["true", "false", "null", "{}", "[]", '{"a":1}', "[1,2]", r'"\u0000"', r'"\ud83d\ude00"', r'"\/"', *NUMBERS]
ODD += map(json.dumps, [*STRINGS, *TIMES, *LOCAL_TIMES, *NUMBERS])
LITERALS = st.one_of(
    st.sampled_from(ODD),
    st.just(r'"\ud800"'),
    st.text(max_size=8).map(json.dumps),
    st.floats(allow_nan=False, allow_infinity=False).map(json.dumps),
    st.datetimes(timezones=st.sampled_from([UTC])).map(lambda t: json.dumps(t.isoformat())),
    st.datetimes(timezones=st.sampled_from([UTC])).map(lambda t: json.dumps(t.strftime("%d/%m/%Y %H:%M:%S"))),
)
BLOCKS = [
    "trip_data",
    "trip_data.trip_summary",
    "trip_data.trip_summary.data",
    "vehicle_static_info",
    "metrics",
    "carInsurance",
]
BLOCKS += [
    "metrics.trip",
    "At",
    "at",
    "vehicle_dynamic_state",
    "current_rental_agreement",
    "$format",
    "telemetryTimestamp",
    "ID",
    "Model",
]


@st.composite
def landed(draw: st.DrawFn, shape: str, csv: bool) -> str:
    """A valid record with up to three of its values (or others) replaced, removed or doubled."""
    record = json.loads(json.dumps(ALL[shape]))
    if csv:
        record = as_csv(record)
    literals: dict[str, str] = {}
    for number in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from([*sorted(leaves(record)), *BLOCKS]))
        path = path if path in record else path.split(".")  # type: ignore[assignment]
        keys = [path] if isinstance(path, str) else list(path)
        at = record
        for key in keys[:-1]:
            at = at.get(key) if isinstance(at.get(key), dict) else at.setdefault(key, {})
            if not isinstance(at, dict):
                break
        else:
            if draw(st.integers(0, 5)) == 0:
                at.pop(keys[-1], None)
            else:
                mark = f"@{number}@"
                literals[json.dumps(mark)] = draw(LITERALS)
                at[keys[-1]] = mark
    raw = text(record)
    for mark, literal in literals.items():
        raw = raw.replace(mark, literal)
    doubled = draw(
        st.sampled_from(
            ["", "", "", '"carChassis":"other"', '"year":5', '"trip_data":null', '"trip_data":{"trip_summary":1}']
        )
    )
    if doubled:
        raw = "{" + doubled + "," + raw[1:] if draw(st.booleans()) else raw[:-1] + "," + doubled + "}"
    return raw


FEEDS = st.tuples(st.sampled_from(sorted(ALL)), st.booleans()).flatmap(
    lambda feed: st.lists(landed(*feed), min_size=1, max_size=12)
)


def assert_alike(con: duckdb.DuckDBPyConnection, contracts: ContractSet, raws: list[str]) -> None:
    """The extraction gives the rows and refusals of the judge, to the byte: repr tells 0.0 from -0.0, and 1 from 1.0."""
    records = bronze(raws)
    fast, reference = parsed(con, contracts, records, few=0), parsed(con, contracts, records, few=10**9)
    assert len(reference[0]) + len(reference[1]) == len(raws)
    for ours, theirs in zip(fast, reference, strict=True):
        assert [repr(row) for row in ours] == [repr(row) for row in theirs]


@settings(max_examples=20)
@given(FEEDS)
@example([text(record) for record in ALL.values()] + [text(as_csv(record)) for record in ALL.values()])
@example([text(JUDGED), text(as_csv(JUDGED))])
@example([text(fresh("nested")), '{"a":"\\ud800"}', "[1]", "5", "null", "{}", '"x"'])
def test_the_extraction_and_the_judge_agree(
    con: duckdb.DuckDBPyConnection, contracts: ContractSet, raws: list[str]
) -> None:
    assert_alike(con, contracts, raws)


@pytest.mark.parametrize("csv", [False, True])
@pytest.mark.parametrize("shape", ALL)
def test_every_odd_value_in_every_kind_of_field_is_judged_alike(
    con: duckdb.DuckDBPyConnection, contracts: ContractSet, shape: str, csv: bool
) -> None:
    record = as_csv(ALL[shape]) if csv else ALL[shape]
    contract = contracts.recognise(record)
    assert contract is not None
    # One field of each kind: what silver declares of it, whether it is required, and how its times are written.
    kinds = {
        (c.type, c.minimum, c.maximum, field.required, field.format, field.zone, path)
        if shape == "alien"
        else (c.type, c.minimum, c.maximum, field.required, len(path) > 2): path
        for field in contract.fields
        for c in (field.column,)
        for path in field.paths
        if value_at(record, path) is not None
    }
    raws = []
    for path in [*kinds.values(), *contract.blocks]:
        marked = json.loads(json.dumps(record))
        at = marked
        for key in path[:-1]:
            at = at.setdefault(key, {})
        at[path[-1]] = "@@"
        raws += [text(marked).replace('"@@"', literal) for literal in ODD]
    assert_alike(con, contracts, raws)


# -- no ordinary feed is left to the judge ----------------------------------------------------------------------------


@pytest.mark.parametrize("csv", [False, True])
@pytest.mark.parametrize("shape", ALL)
def test_clean_records_of_each_shape_stay_with_duckdb(
    con: duckdb.DuckDBPyConnection, contracts: ContractSet, shape: str, csv: bool
) -> None:
    record = json.loads(json.dumps(ALL[shape]))
    assert doubtful(con, contracts, [text(as_csv(record) if csv else record)]) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("trip_data", None),
        ("trip_data", ...),
        ("trip_data.trip_summary", None),
        ("current_rental_agreement", ...),
        ("vehicle_dynamic_state.insurance_info.data", None),
        ("processing_timestamp", ...),
        ("event_primary_timestamp", "2025-11-04T01:00:00+00:00"),
        ("event_primary_timestamp", "2025-11-04T01:00:00.123456Z"),
        ("event_primary_timestamp", "2025-11-04 01:00:00.123-05:00"),
        ("event_id", "453498226"),
        ("carChassis", "12345E7"),
        ("vehicle_static_info.data.Model", "500"),
        ("vehicle_static_info.data.Model", 'Citroën "C3" \\ {x}'),
        ("vehicle_static_info.data.Model", "true"),
        ("unheard_of", {"a": [1, 2]}),
        ("trip_data.trip_summary.data.tripMileage", 0),
        ("vehicle_dynamic_state.insurance_info.data.validUntil", "2027-07-04T00:00:00Z"),
    ],
)
def test_ordinary_variety_stays_with_duckdb(
    con: duckdb.DuckDBPyConnection, contracts: ContractSet, path: str, value: Any
) -> None:
    raw = text(changed("nested", path, value))
    assert doubtful(con, contracts, [raw]) == []
    assert len(parsed(con, contracts, bronze([raw]), few=0)[0]) == 1


def test_a_chunk_of_all_shapes(con: duckdb.DuckDBPyConnection, contracts: ContractSet) -> None:
    raws = [text({**(as_csv(record) if n % 2 else record), "extra": n}) for n in range(60) for record in ALL.values()]
    accepted, quarantined = parsed(con, contracts, bronze(raws), few=0)
    assert (len(accepted), len(quarantined)) == (len(raws), 0)
    assert {row["contract"] for row in accepted} == {"car_event", "car_metrics", "car_snapshot", "alien"}
    assert [row["source_row"] for row in accepted] == list(range(len(raws)))
    alien = accepted[4]
    assert (alien["contract_version"], alien["doors"], alien["tilt"], alien["model"]) == (3, 5, 12.5, "Ka")
    assert alien["event_timestamp"] == datetime(2025, 7, 1, 8, tzinfo=UTC)


def test_one_malformed_record_costs_its_neighbours_nothing(
    con: duckdb.DuckDBPyConnection, contracts: ContractSet
) -> None:
    raws = [text(fresh("nested"))] * 300
    raws[150] = '{"vehicle_static_info": {}, "a": "\\ud800"}'
    raws[151] = text(fresh("nested"))[:-1] + ',"deep":' + "[" * 5000 + "]" * 5000 + "}"
    accepted, quarantined = parsed(con, contracts, bronze(raws), few=200)
    assert len(accepted) == 299
    assert [(row["source_row"], row["reason"]) for row in quarantined] == [(150, "missing_field")]

    assert doubtful(con, contracts, [raws[0], raws[150], raws[151]], safe=True) == [raws[150]]


def test_a_record_of_two_shapes_belongs_to_the_first_contract(
    con: duckdb.DuckDBPyConnection, contracts: ContractSet
) -> None:
    both = [
        text({**fresh("metrics"), **more})
        for more in (
            {"trip_data": {}},
            {"trip_data": 5},
            {"event_id": "e", "event_primary_timestamp": "x"},
            {"id": "u"},
        )
    ]
    raws = [text(fresh("metrics"))] * 40 + both
    assert_alike(con, contracts, raws)
    _, quarantined = parsed(con, contracts, bronze(raws), few=0)
    assert [(row["source_row"], row["contract"]) for row in quarantined] == [(n, "car_event") for n in (40, 41, 42)]


@pytest.mark.parametrize("shape", ["bare", "nested"])
def test_only_a_marked_record_is_cast_from_text(
    con: duckdb.DuckDBPyConnection, contracts: ContractSet, shape: str
) -> None:
    marked = as_csv(fresh(shape))
    bare = {key: value for key, value in marked.items() if key != "$format"}
    late = {**bare, "$format": "csv"}  # the mark counts only where the splitter puts it
    assert_alike(con, contracts, [text(marked)] * 40 + [text(bare), text(late), text(fresh(shape))])
    _, quarantined = parsed(con, contracts, bronze([text(marked)] * 40 + [text(bare), text(late)]), few=0)
    assert [(row["source_row"], row["reason"]) for row in quarantined] == [(40, "bad_type"), (41, "bad_type")]


def test_what_the_splitter_refused_goes_to_quarantine_as_it_is(
    con: duckdb.DuckDBPyConnection, contracts: ContractSet
) -> None:
    raws = [text(fresh("nested")), "{", b'{"a":"\xff\\x"}', None]
    reasons = [None, "truncated_json", "not_utf8", None]
    for few in (0, 200):
        accepted, quarantined = parsed(con, contracts, bronze(raws, reasons), few)
        assert [row["source_row"] for row in accepted] == [0]
        assert [(row["reason"], row["detail"], row["raw"], row["event_id"]) for row in quarantined] == [
            ("truncated_json", "a detail", "{", "hint1"),
            ("not_utf8", "a detail", '{"a":"\\xff\\\\x"}', "hint2"),
        ]


def test_escaped_bytes_lose_nothing() -> None:
    data = bytes(range(256)) + b"\\xff" + "é".encode()
    assert escaped(data).encode().replace(b"\\\\", b"\0\0").count(b"\\x") == 128
    assert escaped(b"\\xff") != escaped(b"\xff")
