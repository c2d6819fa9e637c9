"""Every form that a landed object can have, and every defect that a record can have, each beside good neighbours."""

from __future__ import annotations

import gzip
import io
import json

import duckdb
import pyarrow as pa
import pytest
import zstandard

from carlake.landing.defects import MAX_DEPTH, MEANING, Reason, defects
from carlake.landing.records import split
from records.reading import bronze, good, outline, read

A, B, C = b'{"a":1}', b'{"b":{"c":[1,{"d":"x}{y"}]}}', '{"c":"\u00e9 \\u0000"}'.encode()
PRETTY = json.dumps({"id": 1, "list": [{"x": 1}, {"y": [2]}], "text": "}{"}, indent=2).encode()
ZERO_INDENT = b'{\n"a":\n{\n"b":1\n},\n"l":[\n{\n"x":1\n},\n{\n"y":2\n}\n]\n}'

ARRANGEMENTS = {
    "one": (A, [A]),
    "one, pretty": (PRETTY, [PRETTY]),
    "white space around": (b"\r\n \t" + PRETTY + b"\n\n \n", [PRETTY]),
    "byte order mark": (b"\xef\xbb\xbf" + A, [A]),
    "lines": (A + b"\n" + B + b"\n" + C + b"\n", [A, B, C]),
    "lines without the last line end": (A + b"\n" + B, [A, B]),
    "lines with CRLF": (A + b"\r\n" + B + b"\r\n", [A, B]),
    "lines with blank lines and spaces": (b"\n" + A + b" \n\n \t\n  " + B + b"\t\n\n", [A, B]),
    "concatenated": (A + B + C, [A, B, C]),
    "concatenated with spaces": (A + b" " + B + b"\t" + C, [A, B, C]),
    "concatenated, some on a line": (A + B + b"\n" + C + b"\n" + A + B + b"\n", [A, B, C, A, B]),
    "pretty after pretty": (PRETTY + b"\n" + PRETTY + b"\n", [PRETTY, PRETTY]),
    "pretty right after pretty": (PRETTY + PRETTY, [PRETTY, PRETTY]),
    "pretty without indentation": (ZERO_INDENT + b"\n" + ZERO_INDENT, [ZERO_INDENT, ZERO_INDENT]),
    "lines, then pretty, then lines": (b"\n".join([A, B, PRETTY, A, B, PRETTY]), [A, B, PRETTY, A, B, PRETTY]),
    "array": (b"[" + A + b"," + B + b"]", [A, B]),
    "array, pretty": (json.dumps([{"x": 1}, {"y": 2}], indent=1).encode(), [b'{\n  "x": 1\n }', b'{\n  "y": 2\n }']),
    "array, an object a line": (b"[\n" + A + b",\n" + B + b",\n" + C + b"\n]\n", [A, B, C]),
    "array, leading commas": (b"[" + A + b"\n," + B + b"\n," + C + b"]", [A, B, C]),
    "array, then lines": (b"[" + A + b"]\n" + B + b"\n" + C, [A, B, C]),
    "lines of arrays": (b"[" + A + b"," + B + b"]\n[" + C + b"]\n[]\n", [A, B, C]),
    "array with a trailing comma": (b"[" + A + b"," + B + b",]", [A, B]),
}
PACKINGS = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "gzip members": lambda data: gzip.compress(data[:5]) + gzip.compress(b"") + gzip.compress(data[5:]),
    "gzip with padding": lambda data: gzip.compress(data) + bytes(512),
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "zstd frames": lambda data: zstandard.compress(data[:5]) + zstandard.compress(b"") + zstandard.compress(data[5:]),
    "zstd after a skippable frame": lambda data: b"\x5a\x2a\x4d\x18\x03\0\0\0abc" + zstandard.compress(data),
}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_good_records_are_verbatim_in_every_arrangement_and_packing(arrangement: str, packing: str) -> None:
    data, records = ARRANGEMENTS[arrangement]
    assert outline(read(PACKINGS[packing](data))) == [(record, None) for record in records]


EMPTY = [
    b"",
    b" ",
    b"\n\r\n\t ",
    b"\xef\xbb\xbf",
    b"\xef\xbb\xbf\n",
    b"[]",
    b" [ ] \n",
    b"[]\n[\n]",
    b"a,b,c",
    b"a;b\r\n",
]


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("data", EMPTY)
def test_an_object_without_records_gives_none(data: bytes, packing: str) -> None:
    assert read(PACKINGS[packing](data)) == []


REFUSED = {
    "text": (b"no json at all", Reason.NOT_JSON),
    "single quotes": (b"{'a':1}", Reason.NOT_JSON),
    "bare key": (b"{a:1}", Reason.NOT_JSON),
    "trailing comma": (b'{"a":1,}', Reason.NOT_JSON),
    "trailing comma in a list": (b'{"a":[1,]}', Reason.NOT_JSON),
    "missing comma": (b'{"a":1 "b":2}', Reason.NOT_JSON),
    "comment": (b'{"a":1 /* one */}', Reason.NOT_JSON),
    "trailing comment": (b'{"a":1} // one', Reason.NOT_JSON),
    "one brace too many": (b'{"a":1}}', Reason.NOT_JSON),
    "comma after the object": (b'{"a":1},', Reason.NOT_JSON),
    "leading zero": (b'{"a":01}', Reason.NOT_JSON),
    "bare fraction": (b'{"a":.5}', Reason.NOT_JSON),
    "plus sign": (b'{"a":+1}', Reason.NOT_JSON),
    "wrong literal": (b'{"a":True}', Reason.NOT_JSON),
    "control character in a string": (b'{"a":"\x01"}', Reason.NOT_JSON),
    "tab in a string": (b'{"a":"\t"}', Reason.NOT_JSON),
    "unknown escape": (b'{"a":"\\x41"}', Reason.NOT_JSON),
    "lone high surrogate": (b'{"a":"\\ud800"}', Reason.NOT_JSON),
    "lone high surrogate in text": (b'{"a":"\\ud800 and much more text"}', Reason.NOT_JSON),
    "lone low surrogate": (b'{"a":"\\udc00"}', Reason.NOT_JSON),
    "surrogate in a key": (b'{"\\ud800":1}', Reason.NOT_JSON),
    "mark inside": (b"\xef\xbb\xbf{}", Reason.NOT_JSON),
    "ends in an object": (b'{"a":1', Reason.TRUNCATED_JSON),
    "ends in a string": (b'{"a":"x', Reason.TRUNCATED_JSON),
    "ends in an escape": (b'{"a":"x\\', Reason.TRUNCATED_JSON),
    "ends behind a brace in a string": (b'{"a":"}', Reason.TRUNCATED_JSON),
    "ends in a list": (b'{"a":[1,{"b":2}', Reason.TRUNCATED_JSON),
    "ends at once": (b"{", Reason.TRUNCATED_JSON),
    "NaN": (b'{"a":NaN}', Reason.NON_FINITE_NUMBER),
    "nan": (b'{"a":[1, nan]}', Reason.NON_FINITE_NUMBER),
    "Infinity": (b'{"a":Infinity}', Reason.NON_FINITE_NUMBER),
    "-Infinity": (b'{"a":-Infinity, "b":1}', Reason.NON_FINITE_NUMBER),
    "NUL in a string": (b'{"a":"x\0y"}', Reason.NUL_BYTES),
    "NULs": (b"\0" * 50, Reason.NUL_BYTES),
    "invalid UTF-8": (b'{"a":"\xff"}', Reason.NOT_UTF8),
    "Latin-1": ('{"a":"Olá"}'.encode("latin-1"), Reason.NOT_UTF8),
    "UTF-8 of a surrogate": (b'{"a":"\xed\xa0\x80"}', Reason.NOT_UTF8),
    "overlong UTF-8": (b'{"a":"\xc0\x80"}', Reason.NOT_UTF8),
    "UTF-16 without a mark": ('{"abc":1}'.encode("utf-16-be"), Reason.UTF16),
    "number": (b"123", Reason.NOT_AN_OBJECT),
    "string": (b'"text"', Reason.NOT_AN_OBJECT),
    "literal": (b"null", Reason.NOT_AN_OBJECT),
    "array of numbers": (b"[1,2,3]", Reason.NOT_AN_OBJECT),
    "deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, Reason.NESTING_TOO_DEEP),
    "deep arrays": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", Reason.NESTING_TOO_DEEP),
    "one level too deep": (b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", Reason.NESTING_TOO_DEEP),
    "deep and not closed": (b'{"a":' * 100_000, Reason.NESTING_TOO_DEEP),
    "large": (b'{"a":"' + b"x" * 5000 + b'"}', Reason.RECORD_TOO_LARGE),
}
BEFORE_IT = {"first": [], "second": [A], "later": [A, B, C, A]}
# As the first thing in an object they are no line: the mark is dropped, the NULs make the object a binary one.
NEVER_FIRST = ("mark inside", "NULs")
PLACES = [(name, place) for name in REFUSED for place in BEFORE_IT if place != "first" or name not in NEVER_FIRST]


def refused(name: str) -> tuple[bytes, Reason, int]:
    """Content, reason and max_record_bytes."""
    content, reason = REFUSED[name]
    return content, reason, 16 << 20 if name.startswith("deep") else 4096


@pytest.mark.parametrize(("name", "place"), PLACES)
def test_a_bad_line_is_one_record_and_its_neighbours_survive(name: str, place: str) -> None:
    content, reason, limit = refused(name)
    lines = [*BEFORE_IT[place], content, B, C]
    records = read(b"\n".join(lines) + b"\n", max_record_bytes=limit)
    assert outline(records) == [(line, reason.value if line is content else None) for line in lines]


NO_ELEMENTS = ("one brace too many", "comma after the object", "text", "mark inside", "trailing comment", "NULs")
ELEMENTS = [name for name in REFUSED if name not in (*NO_ELEMENTS, "UTF-16 without a mark")]


@pytest.mark.parametrize("joint", [b",", b",\n", b"\n, "])
@pytest.mark.parametrize("name", ELEMENTS)
def test_a_bad_element_of_an_array_leaves_the_others(name: str, joint: bytes) -> None:
    content, reason, limit = refused(name)
    records = read(b"[" + joint.join([A, content, B, C]) + b"]", max_record_bytes=limit)
    if name.startswith("ends") and joint != b",\n":
        # What follows an unclosed value on its line may be part of it.
        assert good(records)[0] == A
    else:
        assert outline(records) == [(A, None), (content, reason.value), (B, None), (C, None)]
    assert content in b"".join(record.content for record in records)


@pytest.mark.parametrize("name", REFUSED)
def test_bronze_alone_gives_the_same_reason(name: str) -> None:
    content, reason, limit = refused(name)
    reasons, details = defects(*bronze(A, content, B), max_record_bytes=limit)
    assert reasons.to_pylist() == [None, reason.value, None]
    assert [detail is None for detail in details.to_pylist()] == [True, False, True]


def test_marker_rows_have_no_defect() -> None:
    raw, raw_bytes = pa.array([None, "x"], pa.string()), pa.nulls(2, pa.binary())
    assert defects(raw, raw_bytes, max_record_bytes=100)[0].to_pylist() == [None, "not_json"]
    assert defects(raw[:0], raw_bytes[:0], max_record_bytes=100)[0].to_pylist() == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_wide_text_is_one_record(encoding: str) -> None:
    data = "\n".join([A.decode(), B.decode(), PRETTY.decode()]).encode(encoding)
    assert outline(read(data)) == [(data, "utf16")]


NOISE = {
    "image": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 3,
    "random": bytes((value * 193 + 71) % 256 for value in range(4096)),
    "compressed twice": gzip.compress(gzip.compress(A)),
    "Parquet in gzip": gzip.compress(b"PAR1\x15\0\x15\x80"),
}


def test_binary_noise_is_one_record() -> None:
    assert outline(read(NOISE["image"])) == [(NOISE["image"], "not_utf8")]
    assert outline(read(NOISE["random"])) == [(NOISE["random"], "not_utf8")]
    assert outline(read(NOISE["compressed twice"])) == [(gzip.decompress(NOISE["compressed twice"]), "bad_compression")]
    assert outline(read(NOISE["Parquet in gzip"])) == [(gzip.decompress(NOISE["Parquet in gzip"]), "bad_parquet")]


def test_lines_of_text_are_each_a_record() -> None:
    lines = [b"2025-11-01 10:00:00 ERROR sensor {broken} gave [1, 2", b"[12:00] started", b"at line 3", b"", b"end {"]
    records = read(b"\n".join(lines))
    assert [record.content for record in records] == [line for line in lines if line]
    assert {record.reason for record in records} == {"not_json"}


def test_the_deepest_accepted_nesting_is_accepted_from_a_deep_stack_too() -> None:
    content = b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"

    def from_below(levels: int) -> list[tuple[bytes, str | None]]:
        return outline(read(content)) if levels == 0 else from_below(levels - 1)

    assert from_below(0) == [(content, None)]
    assert from_below(400) == [(content, None)]


def test_every_reason_has_one_meaning() -> None:
    assert set(MEANING) == set(Reason)
    assert all(text.endswith(".") and len(text) > 20 for text in MEANING.values())


NASTY = [
    b'{"u":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b',"a":"x"}',
    b'{"u":"\\u0000","\\u0000":1,"a":"b\\u0000c"}',
    b'{"u":' + b"9" * 400 + b',"a":1e999}',
    b'{"a":"1","a":"2"}',
    b'{"":1,"a":"\\ud83d\\ude00\x7f"}',
    b'{"a":-0.0e-0}',
    b'{"u":"' + b"x" * 10_000_000 + b'","a":"y"}',
]


def test_duckdb_takes_all_that_is_called_sound() -> None:
    records = read(b"\n".join(NASTY))
    assert outline(records) == [(content, None) for content in NASTY]
    table = pa.table({"raw": pa.array([record.content.decode() for record in records])})
    with duckdb.connect() as connection:
        connection.register("landed", table)
        query = """SELECT json_valid(raw), json_transform(raw, '{"a":"VARCHAR","u":"JSON"}').a FROM landed"""
        rows = connection.execute(query).fetchall()
    assert [valid for valid, _ in rows] == [True] * len(NASTY)
    assert [text for _, text in rows] == ["x", "b\0c", "1e999", "1", "\U0001f600\x7f", "-0.0", "y"]


def test_duckdb_would_stop_at_what_is_refused() -> None:
    """The guard above has a reason: one lone surrogate in the column ends DuckDB's whole query."""
    with duckdb.connect() as connection, pytest.raises(duckdb.InvalidInputException):
        connection.execute('SELECT json_transform(?, \'{"a":"VARCHAR"}\')', [r'{"a":"\ud800"}']).fetchall()


def test_batches_are_bounded_and_in_order() -> None:
    lines = [b'{"n":%d,"pad":"%s"}' % (number, b"x" * (number % 3 * 1500)) for number in range(20_000)]
    batches = list(split(io.BytesIO(b"\n".join(lines)), max_record_bytes=1 << 20))
    assert all(len(batch) <= 8192 and batch["raw"].nbytes < 9 << 20 for batch in batches)
    assert [value.encode() for batch in batches for value in batch["raw"].to_pylist()] == lines
    assert len(batches) < 10
