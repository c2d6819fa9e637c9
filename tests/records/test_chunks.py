"""Whatever the bytes and however they come in: no exception, nothing lost, the same records."""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Iterable

import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from carlake.landing.csv_rows import Header, csv_rows
from carlake.landing.found import Found
from carlake.landing.json_values import JsonValues
from carlake.landing.window import Window
from records.reading import LIMIT, outline, read

PIECES = [
    b'{"a":1}',
    b'{"a":{"b":[1,2,{"c":"x}{y"}]}}',
    b'{\n "a": 1,\n "l": [\n  {\n   "x": 1\n  }\n ]\n}',
    b'[{"e":1},{"e":2}]',
    b'{"t":"\xc3\xa9"}',
    b"\n",
    b"\r\n",
    b" ",
    b",",
    *(bytes([byte]) for byte in b'{}[]":;\\\0'),
    b'{"a":NaN}',
    b'{"a":',
    b'{"z":"',
    b'{"b":"\xff"}',
    b'{"s":"\\ud800"}',
    b'{"a":{},}',
    b'\n{"n":2}',
    b"NaN",
    b"xyz",
    b"123",
    b"null",
    b"\xef\xbb\xbf",
    b"a,b\n",
    b"a;b\n",
    b"1,2\n",
    b"1,2,3\n",
    b'"q\nq",3\n',
]
MIXED = st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join)
CHUNKS = st.sampled_from([1, 2, 3, 5, 16, 64])


@settings(max_examples=400)
@given(MIXED | st.binary(max_size=60), CHUNKS)
@example(b'[{"a":{\n "a":1\n},}1', 1)  # the decoder's "trailing comma" is not its "trailing characters"
def test_the_records_do_not_depend_on_the_chunks(data: bytes, chunk: int) -> None:
    assert read(data, chunk_bytes=chunk) == read(data)


def pieces(found: Iterable[Found]) -> list[tuple[bytes, bool]]:
    """Each record, and whether it was called sound."""
    return [(record, one.sound) for one in found for record in one.records]


@settings(max_examples=1000)
@given(MIXED | st.binary(max_size=60), CHUNKS)
@example(b'[12 , {"a":1}]', 1)
@example(b'[\n 1,\n{"a":1}]', 2)
@example(b'{"a":NaN,"b":"x y"}\n{"b":1}', 13)
def test_json_records_do_not_depend_on_where_the_window_ends(data: bytes, chunk: int) -> None:
    """`split` looks at the first 64 KiB at once, so small windows are only had below it."""
    whole = pieces(JsonValues(Window(io.BytesIO(data), 1 << 20), 1 << 26))
    assert pieces(JsonValues(Window(io.BytesIO(data), chunk), 1 << 26)) == whole


@settings(max_examples=300)
@given(MIXED, CHUNKS, st.sampled_from(["", "truncated"]))
def test_csv_rows_do_not_depend_on_where_the_window_ends(data: bytes, chunk: int, flaw: str) -> None:
    header = Header.of(b"a,b")
    assert header is not None
    whole = pieces(csv_rows(Window(io.BytesIO(data), 1 << 20), header, hard_cap=1 << 26, flaw=flaw))
    assert pieces(csv_rows(Window(io.BytesIO(data), chunk), header, hard_cap=1 << 26, flaw=flaw)) == whole


def is_csv(data: bytes) -> bool:
    text = data.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    return bool(text) and Header.of_file(text) is not None


@settings(max_examples=400)
@given(MIXED.filter(lambda data: not is_csv(data)))
def test_no_text_is_lost(data: bytes) -> None:
    """All but white space, and the brackets and commas that hold arrays together, is in some record, in order."""

    def text(content: bytes) -> bytes:
        return re.sub(rb"[\s\[\],]", b"", content)

    kept = b"".join(record.content for record in read(data))
    assert text(kept) == text(data.removeprefix(b"\xef\xbb\xbf"))


@settings(max_examples=200)
@given(st.lists(st.sampled_from(PIECES[:5]), min_size=1, max_size=8), st.data())
def test_good_records_are_found_whatever_holds_them_together(records: list[bytes], data: st.DataObject) -> None:
    blank = st.text(" \t\r\n", max_size=3).map(str.encode)
    spaced = b"".join(record + data.draw(blank) for record in records)
    expected = [one for record in records for one in ([b'{"e":1}', b'{"e":2}'] if record[:1] == b"[" else [record])]
    assert outline(read(spaced, chunk_bytes=data.draw(CHUNKS))) == [(record, None) for record in expected]


@settings(max_examples=150)
@given(MIXED | st.binary(max_size=60), st.sampled_from(["gzip", "zstd"]), st.data())
def test_damaged_streams_never_raise(content: bytes, packing: str, data: st.DataObject) -> None:
    packed = gzip.compress(content, mtime=0) if packing == "gzip" else zstandard.compress(content)
    assert read(packed) == read(content) or content[:2] == b"\x1f\x8b" or content[:4] == b"PAR1"
    cut = data.draw(st.integers(2 if packing == "gzip" else 4, len(packed) - 1))
    assert read(packed[:cut])[-1].reason == "bad_compression"
    damaged = bytearray(packed)
    damaged[data.draw(st.integers(4, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    read(bytes(damaged))


@settings(max_examples=100)
@given(MIXED | st.binary(max_size=60), st.integers(1, 40))
def test_a_low_limit_only_adds_refusals(data: bytes, limit: int) -> None:
    records, free = read(data, max_record_bytes=limit), read(data, max_record_bytes=LIMIT)
    assert [record.content for record in records] == [record.content for record in free]
    for record, other in zip(records, free, strict=True):
        large = len(record.content) > limit and other.reason not in ("bad_compression", "bad_parquet")
        assert record.reason == ("record_too_large" if large else other.reason)
