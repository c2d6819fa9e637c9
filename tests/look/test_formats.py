from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carlake.errors import NotFoundError
from carlake.look.formats import FORMATS, objects, write

from .conftest import Built

ROWS = pa.table(
    {
        "name": pa.array(["a,b", 'say "hi"\nthere', "", None]),
        "n": pa.array([1, -(2**63), None, 2**63 - 1], pa.int64()),
        "x": pa.array([1.5, float("nan"), float("-inf"), None]),
        "total": pa.array(
            [Decimal("12.300"), Decimal("-0.001"), None, Decimal("123456789012345.678")], pa.decimal128(18, 3)
        ),
        "at": pa.array(
            [datetime(2025, 1, 2, 3, 4, 5, 60, UTC), None, None, datetime(2025, 1, 2, tzinfo=UTC)],
            pa.timestamp("us", "UTC"),
        ),
        "day": pa.array([date(2025, 1, 2), None, None, None]),
        "raw": pa.array([b"\xff\x00", None, b"", None]),
        "ok": pa.array([True, False, None, None]),
    }
)


def written(rows: pa.Table, kind: str, **how: object) -> str:
    stream = io.BytesIO()
    write(rows, kind, stream, **how)  # type: ignore[arg-type]
    return stream.getvalue().decode()


def test_json_is_an_array_of_objects_with_numbers_as_numbers() -> None:
    rows = json.loads(written(ROWS, "json"), parse_float=Decimal)
    assert rows[0] == {
        "name": "a,b",
        "n": 1,
        "x": Decimal("1.5"),
        "total": Decimal("12.300"),
        "at": "2025-01-02T03:04:05.000060Z",
        "day": "2025-01-02",
        "raw": "/wA=",
        "ok": True,
    }
    # Not a number is not JSON: null. A decimal keeps every digit.
    assert (rows[1]["x"], rows[2]["x"], rows[2]["raw"]) == (None, None, "")
    assert '"total":123456789012345.678' in written(ROWS, "json")
    assert rows[3]["n"] == 2**63 - 1


def test_ndjson_has_the_same_objects_one_a_line() -> None:
    lines = written(ROWS, "ndjson").splitlines()
    assert [json.loads(line) for line in lines] == json.loads(written(ROWS, "json"))


@pytest.mark.parametrize(("kind", "nothing"), [("json", "[]\n"), ("ndjson", ""), ("csv", "name,n\n")])
def test_no_rows(kind: str, nothing: str) -> None:
    assert written(ROWS.select(["name", "n"]).slice(0, 0), kind) == nothing


def test_csv_is_rfc_4180_with_lines_that_a_shell_can_cut() -> None:
    text = written(ROWS, "csv")
    assert text.startswith("name,n,x,total,at,day,raw,ok\n")
    assert text.count("\n") == 6 and "\r" not in text
    # NULL is nothing, an empty text is quoted.
    assert '\n"",,-inf,,,,"",\n' in text
    read = list(csv.DictReader(io.StringIO(text, newline="")))
    assert read[0]["at"] == "2025-01-02T03:04:05.000060Z"
    assert read[0]["total"] == "12.300"
    assert read[1]["name"] == 'say "hi"\nthere'
    assert read[1]["ok"] == "false"


def test_parquet_keeps_the_types() -> None:
    stream = io.BytesIO()
    write(ROWS, "parquet", stream)
    assert pq.read_table(io.BytesIO(stream.getvalue())).schema.equals(ROWS.schema)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_table_in_every_format(built: Built, kind: str) -> None:
    for name in built.house.declared:
        stream = io.BytesIO()
        rows = built.house.query(f"FROM {name}")
        write(rows, kind, stream)
        # Lines of JSON are rows and nothing else, and no car of this lake was forgotten.
        assert bool(stream.getvalue()) == (rows.num_rows > 0 or kind != "ndjson")


def test_equal_names_are_told_apart(built: Built) -> None:
    rows = built.house.query("SELECT 1 AS a, 2 AS a, 3 AS a_2")
    assert list(objects(rows)) == [{"a": 1, "a_3": 2, "a_2": 3}]
    assert pq.read_table(io.BytesIO(_parquet(rows))).column_names == ["a", "a_3", "a_2"]


def _parquet(rows: pa.Table) -> bytes:
    stream = io.BytesIO()
    write(rows, "parquet", stream)
    return stream.getvalue()


def test_every_type_a_query_can_give_is_json(built: Built) -> None:
    rows = built.house.query(
        "SELECT 170141183460469231731687303715884105727 AS huge, [1, NULL] AS list, {'a': DATE '2025-01-01'} AS struct, "
        "MAP {'k': 1.5} AS map, INTERVAL 1 MONTH AS interval, TIME '01:02:03' AS clock, 'a'::ENUM ('a') AS enum, "
        "uuid() AS id, TIMESTAMP '2025-01-01 00:00:00' AS naive, TIMESTAMP_NS '2025-01-01 00:00:00.123456789' AS nano, "
        "TIMESTAMPTZ 'infinity' AS never, DATE '10000-01-01' AS far, TIMESTAMPTZ '2025-01-01 00:00:00+03' AS zoned"
    )
    row = json.loads(written(rows, "json"))[0]
    assert row["huge"] == 2**127 - 1
    assert (row["list"], row["struct"]) == ([1, None], {"a": "2025-01-01"})
    assert (row["clock"], row["enum"]) == ("01:02:03", "a")
    assert (row["naive"], row["zoned"]) == ("2025-01-01T00:00:00", "2024-12-31T21:00:00Z")
    assert row["far"] == "10000-01-01"
    for kind in ("csv", "table"):
        assert "2024-12-31T21:00:00Z" in written(rows, kind)


# -- for people --------------------------------------------------------------------------------------------------------


def test_a_table_is_aligned_and_shows_null() -> None:
    rows = pa.table({"car": ["A", "日本", None], "km": [1.5, 1000.25, None], "note": ["x", "", "z"]})
    assert written(rows, "table").splitlines() == [
        "car        km  note",
        "────  ───────  ────",
        "A         1.5  x",
        "日本  1000.25",
        "NULL     NULL  z",
    ]


def test_an_empty_result_still_shows_its_header() -> None:
    assert written(ROWS.slice(0, 0).select(["name", "n"]), "table", width=5).splitlines() == ["name  n", "────  ─"]


def test_a_table_that_is_too_wide_is_turned_sideways() -> None:
    rows = pa.table({"name": ["x" * 30], "number": [7]})
    assert "── 1 " not in written(rows, "table", width=38)
    lines = written(rows, "table", width=37).splitlines()
    assert lines[0].startswith("── 1 ──")
    assert lines[1:] == ["name    " + "x" * 29, "        x", "number  7"]
    assert all(len(line) <= 37 for line in lines)


def test_landed_text_does_not_steer_the_terminal() -> None:
    text = written(pa.table({"raw": ["\x1b[31mred\x07\n\u202e"]}), "table")
    assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text
    assert "\\x1b[31mred\\x07\\n\\u202e" in text


def test_styles_are_only_for_terminals() -> None:
    rows = pa.table({"a": [None, 1]})
    assert "\x1b[1m" in written(rows, "table", styled=True)
    assert "\x1b[2mNULL\x1b[0m" in written(rows, "table", styled=True)
    assert "\x1b" not in written(rows, "table")


def test_the_width_is_columns_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pa.table({"name": ["x" * 90]})
    monkeypatch.delenv("COLUMNS", raising=False)
    assert "── 1 " not in written(rows, "table")
    monkeypatch.setenv("COLUMNS", "60")
    assert "── 1 " in written(rows, "table")


def test_a_plan_is_shown_as_it_is_drawn(built: Built) -> None:
    lines = written(built.house.query("EXPLAIN SELECT 1"), "table", width=20).splitlines()
    assert len(lines) > 2 and "── 1 " not in lines[0]


def test_times_and_clock_in_text() -> None:
    rows = pa.table({"t": pa.array([time(1, 2, 3)]), "naive": pa.array([datetime(2025, 1, 2)], pa.timestamp("us"))})  # noqa: DTZ001
    assert written(rows, "csv").splitlines()[1] == "01:02:03,2025-01-02T00:00:00"


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(NotFoundError, match="'jsonn'") as error:
        write(ROWS, "jsonn", io.BytesIO())
    assert "json?" in error.value.advice and "parquet" in error.value.advice
