"""Parquet: rows become JSON objects, whatever the types."""

from __future__ import annotations

import datetime as dt
import decimal
import errno
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carlake.landing.records import split
from records.reading import good, outline, read

UTC = dt.UTC
WHEN = dt.datetime(2025, 11, 3, 10, 0, 0, 250_000, tzinfo=UTC)


def file(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


VALUES: dict[str, tuple[pa.Array, list[str]]] = {
    "text": (pa.array(['é\n"', None, ""]), ['"é\\n\\""', "null", '""']),
    "large text": (pa.array(["x"], pa.large_string()), ['"x"']),
    "dictionary": (pa.array(["x", None, "x"]).dictionary_encode(), ['"x"', "null", '"x"']),
    "int": (pa.array([1, None, -(2**63)]), ["1", "null", "-9223372036854775808"]),
    "uint64": (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
    "bool": (pa.array([True, False]), ["true", "false"]),
    "double": (pa.array([1.5, -0.0, 1e300]), ["1.5", "-0.0", "1e300"]),
    "decimal": (pa.array([decimal.Decimal("12.50"), decimal.Decimal("-0.01")]), ["12.50", "-0.01"]),
    "date": (pa.array([dt.date(2026, 1, 10), dt.date(1, 1, 1)]), ['"2026-01-10"', '"0001-01-01"']),
    "time": (pa.array([dt.time(10, 30, 0, 500_000)]), ['"10:30:00.5"']),
    "instant": (pa.array([WHEN], pa.timestamp("us", "UTC")), ['"2025-11-03T10:00:00.25Z"']),
    "instant in a zone": (pa.array([WHEN], pa.timestamp("ms", "America/Sao_Paulo")), ['"2025-11-03T10:00:00.25Z"']),
    "whole seconds": (pa.array([WHEN.replace(microsecond=0)], pa.timestamp("us", "UTC")), ['"2025-11-03T10:00:00Z"']),
    "nanoseconds": (pa.array([1], pa.timestamp("ns", "UTC")), ['"1970-01-01T00:00:00.000000001Z"']),
    "without a zone": (pa.array([WHEN.replace(tzinfo=None)], pa.timestamp("us")), ['"2025-11-03T10:00:00.25"']),
    "binary": (pa.array([b"\x00\xff"]), ['"AP8="']),
    "duration": (pa.array([dt.timedelta(seconds=2)], pa.duration("ms")), ["2000"]),
    "null": (pa.nulls(2), ["null", "null"]),
    "list": (pa.array([[1, None], [], None]), ["[1,null]", "[]", "null"]),
    "list of instants": (
        pa.array([[WHEN, None]], pa.list_(pa.timestamp("us", "UTC"))),
        ['["2025-11-03T10:00:00.25Z",null]'],
    ),
    "struct": (
        pa.array(
            [{"a": {"when": WHEN}, "b": 1}, None],
            pa.struct({"a": pa.struct({"when": pa.timestamp("us", "UTC")}), "b": pa.int32()}),
        ),
        ['{"a":{"when":"2025-11-03T10:00:00.25Z"},"b":1}', "null"],
    ),
    "map": (pa.array([[("k", 1.0)], []], pa.map_(pa.string(), pa.float64())), ['{"k":1.0}', "{}"]),
    "map of dates": (pa.array([[(1, dt.date(2025, 1, 2))]], pa.map_(pa.int32(), pa.date32())), ['[[1,"2025-01-02"]]']),
}


@pytest.mark.parametrize("name", VALUES)
def test_values(name: str) -> None:
    column, texts = VALUES[name]
    records = read(file(pa.table({"v": column, "n": pa.array(range(len(column)))})))
    expected = [f'{{"v":{text},"n":{number}}}'.encode() for number, text in enumerate(texts)]
    assert outline(records) == [(content, None) for content in expected]


@pytest.mark.parametrize(("value", "text"), [("nan", "NaN"), ("inf", "Infinity"), ("-inf", "-Infinity")])
def test_a_number_that_is_none_is_refused_and_not_null(value: str, text: str) -> None:
    table = pa.table({"v": [1.0, float(value), 2.0], "s": [{"d": [float(value)]}, {"d": []}, {"d": [3.5]}]})
    records = read(file(table))
    assert [record.reason for record in records] == ["non_finite_number", "non_finite_number", None]
    assert records[0].content == b'{"v":1.0,"s":{"d":[' + text.encode() + b"]}}"
    assert records[1].content == b'{"v":' + text.encode() + b',"s":{"d":[]}}'


def test_text_that_is_not_utf8_spoils_its_row_only() -> None:
    raw = pa.array([b"ok", b'b\xff"d', None], pa.binary())
    column = pa.StringArray.from_buffers(3, raw.buffers()[1], raw.buffers()[2], raw.buffers()[0], raw.null_count)
    records = read(file(pa.table({"v": column, "t": pa.array([WHEN] * 3)})))
    when = b'"2025-11-03T10:00:00.25'
    assert [record.reason for record in records] == [None, "not_utf8", None]
    assert records[1].content.startswith(b'{"v":"b\xff\\"d","t":' + when)
    assert records[0].content.startswith(b'{"v":"ok","t":' + when)


def test_row_groups_and_many_rows_keep_their_order() -> None:
    table = pa.table({"n": range(20_000), "pad": ["x" * 50] * 20_000})
    records = read(file(table, row_group_size=3000))
    assert [json.loads(content)["n"] for content in good(records)] == list(range(20_000))


def test_a_dotted_column_name_is_a_path_as_in_a_csv_header() -> None:
    table = pa.table(
        {"id": ["e"], "a.b.c": [1.5], "a.b.d": [None], "x": [{"y": 1}], "x.z": [2], "a.e": ["t"], ".f": [3]}
    )
    record = b'{"id":"e","a":{"b":{"c":1.5,"d":null},"e":"t"},"x":{"y":1},"x.z":2,".f":3}'
    assert good(read(file(table))) == [record]


def test_an_empty_file_has_no_records() -> None:
    assert read(file(pa.table({"v": pa.array([], pa.string())}))) == []


@pytest.mark.parametrize("damaged", [(1,), (0, 2)])
def test_damage_costs_other_row_groups_nothing(damaged: tuple[int, ...]) -> None:
    data = bytearray(file(pa.table({"n": range(9000)}), row_group_size=3000, compression="zstd", use_dictionary=False))
    for group in damaged:
        place = pq.ParquetFile(io.BytesIO(bytes(data))).metadata.row_group(group).column(0).data_page_offset
        data[place : place + 200] = b"\xff" * 200
    records = read(bytes(data))
    left = [n for group in range(3) if group not in damaged for n in range(3000 * group, 3000 * (group + 1))]
    assert good(records) == [b'{"n":%d}' % number for number in left]
    assert outline(records[len(left) :]) == [(bytes(data), "bad_parquet")]


def test_a_disk_that_fails_is_no_damage_of_the_file() -> None:
    class Failing(io.BytesIO):
        """Gives back the footer; of the rows it reads the first group as damaged, and no more."""

        reads = 0

        def read(self, size: int | None = -1, /) -> bytes:
            content = super().read(size)
            if self.tell() > len(self.getvalue()) - 1000 or content[:4] == b"PAR1":
                return content
            self.reads += 1
            if self.reads > 1:
                raise OSError(errno.EIO, "Input/output error")
            return bytes(len(content))

    data = file(pa.table({"n": range(9000)}), row_group_size=3000, compression="zstd", use_dictionary=False)
    with pytest.raises(OSError, match="Input/output error"):
        list(split(Failing(data), max_record_bytes=1 << 20))


def test_int96_past_what_nanoseconds_hold() -> None:
    """As Spark and Hive have written timestamps."""
    texts = ["9999-12-31T00:00:00", "0001-01-01T00:00:00", "2025-11-03T10:00:00.25"]
    table = pa.table({"v": pa.array(texts).cast(pa.timestamp("us"))})
    data = file(table, use_deprecated_int96_timestamps=True)
    assert good(read(data)) == [b'{"v":"%s"}' % text.encode() for text in texts]


BROKEN = {
    "only the magic": b"PAR1",
    "cut": file(pa.table({"n": range(100)}))[:-3],
    "no footer": b"PAR1" + bytes(100) + b"PAR1",
    "footer of noise": b"PAR1" + b"\xff" * 100 + b"\x20\0\0\0PAR1",
    "two columns of one name": file(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cannot_be_read_is_one_record(name: str) -> None:
    assert outline(read(BROKEN[name])) == [(BROKEN[name], "bad_parquet")]


def test_a_long_file_that_cannot_be_read_is_cut() -> None:
    data = b"PAR1" + b"\xff" * 5000
    (record,) = read(data, max_record_bytes=100)
    assert (record.content, record.reason) == (data[:100], "bad_parquet")
    assert record.detail is not None and record.detail.endswith(
        "only the first 100 bytes are kept, 4904 bytes were cut"
    )
