"""CSV with a header: rows become marked JSON objects of texts."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carlake.landing.csv_rows import MARK, Header, csv_rows
from carlake.landing.defects import defects
from carlake.landing.window import Window
from records.reading import bronze, good, outline, read


def rows(data: bytes) -> list[dict[str, object]]:
    """The objects of the rows, without the mark; all rows are good."""
    records = read(data)
    assert [record.reason for record in records] == [None] * len(records)
    assert all(record.content.startswith(MARK.encode() + b",") for record in records)
    objects = [json.loads(record.content) for record in records]
    return [{name: value for name, value in row.items() if name != "$format"} for row in objects]


FILES = {
    "comma": b"car,speed\nA,1\nB,2\n",
    "semicolon": b"car;speed\nA;1\nB;2\n",
    "tab": b"car\tspeed\nA\t1\nB\t2\n",
    "CRLF": b"car,speed\r\nA,1\r\nB,2\r\n",
    "byte order mark": b"\xef\xbb\xbfcar,speed\nA,1\nB,2\n",
    "no last line end": b"car,speed\nA,1\nB,2",
    "blank lines": b"\ncar,speed\n\nA,1\n \n\nB,2\n\n",
    "all quoted": b'"car","speed"\n"A","1"\n"B","2"\n',
    "spaces in the header": b"car, speed\nA,1\nB,2\n",
}


@pytest.mark.parametrize("name", FILES)
def test_dialects(name: str) -> None:
    assert rows(FILES[name]) == [{"car": "A", "speed": "1"}, {"car": "B", "speed": "2"}]


CELLS = {
    b"": None,
    b'""': "",
    b'"a,b;c"': "a,b;c",
    b'"line\nline\r\nline"': "line\nline\r\nline",
    b'"say ""hi"""': 'say "hi"',
    b'5" pipe': '5" pipe',
    b"back\\slash %s %": "back\\slash %s %",
    b" kept ": " kept ",
    "é😀".encode(): "é😀",
    b'{"a":1}': '{"a":1}',
    b"null": "null",
    b"1e5": "1e5",
}


@pytest.mark.parametrize("cell", CELLS)
def test_cells(cell: bytes) -> None:
    data = (
        b"x;car;y\n1;A;2\n1;" + cell + b";2\n3;B;4\n"
        if b";" not in cell
        else b"x,car,y\n1,A,2\n1," + cell + b",2\n3,B,4\n"
    )
    assert rows(data)[1] == {"x": "1", "car": CELLS[cell], "y": "2"}
    assert len(rows(data)) == 3


def test_a_dotted_header_is_a_path() -> None:
    data = b"car,metrics.speed,time,metrics.tire.front,50%.x,a,a.b\nA,1,2,3,4,5,6\n"
    assert Header.of(data.split(b"\n")[0]) is None  # no name begins with a digit
    data = data.replace(b"50%", b"p%")
    nested = {"car": "A", "metrics": {"speed": "1", "tire": {"front": "3"}}, "time": "2", "p%": {"x": "4"}}
    assert rows(data) == [nested | {"a": "5", "a.b": "6"}]  # a name that others lie below cannot be both


BAD_ROWS = {
    "too few cells": b"only",
    "too many cells": b"1,2,3",
    "text behind a quoted cell": b'"1"x,2',
    "quote that never closes": b'"1,2',
    "quote that closes in a later row": b'1,"2',
    "not UTF-8": b"1,\xff",
    "NUL": b"1,\0",
    "too long": b"1," + b"x" * 5000,
}


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_kept_below_its_header_and_its_neighbours_survive(name: str, chunk: int) -> None:
    bad = BAD_ROWS[name]
    after = b'A,"x\ny"\n' + b"B,2\n" * 3
    records = read(b"car,speed\nA,1\n" + bad + b"\n" + after, max_record_bytes=4096, chunk_bytes=chunk)
    special = {"not UTF-8": "not_utf8", "NUL": "nul_bytes", "too long": "record_too_large"}
    if name == "too long":
        assert records[1].content.startswith(b'{"$format":"csv","car":"1","speed":"xxx')
    else:
        assert records[1].content == b"car,speed\n" + bad
    assert records[1].reason == special.get(name, "bad_csv_row")
    texts = [json.loads(content)["speed"] for content in good(records)]
    assert texts == ["1", "x\ny", "2", "2", "2"]
    reasons, _ = defects(*bronze(records[1].content), max_record_bytes=4096)
    assert reasons.to_pylist() == [records[1].reason]


def test_the_detail_of_a_bad_row_says_what_does_not_fit() -> None:
    records = read(b'car,speed\nA,1\n1,2,3\n"x,2\n')
    assert records[1].detail == "3 cells where the header has 2"
    assert records[2].detail == "a quoted cell is not closed, or text follows its closing quote"


def test_the_last_row_of_a_truncated_stream_is_not_taken_for_whole() -> None:
    data = b"car,speed\n" + b"".join(b"car%d,%d\n" % (number, number * 7919 % 1000) for number in range(3000))
    packed = gzip.compress(data)
    *rows_read, last, stream = read(packed[: len(packed) // 2])
    lines = data.splitlines()
    assert len(rows_read) > 100
    assert [json.loads(record.content)["car"] for record in rows_read] == [
        line.split(b",")[0].decode() for line in lines[1 : len(rows_read) + 1]
    ]
    assert last.reason == "bad_csv_row"
    assert lines[len(rows_read) + 1].startswith(last.content.split(b"\n")[1])
    assert (stream.content, stream.reason) == (packed[: len(packed) // 2], "bad_compression")


def test_a_last_row_that_is_cut_within_its_last_cell_is_not_taken_for_whole() -> None:
    header = Header.of(b"car,speed")
    assert header is not None
    data = b"A,100\nB,1"
    whole = list(csv_rows(Window(io.BytesIO(data), 100), header, hard_cap=1000, flaw=""))
    assert [record for found in whole for record in found.records][1] == b'{"$format":"csv","car":"B","speed":"1"}'
    cut = list(csv_rows(Window(io.BytesIO(data), 100), header, hard_cap=1000, flaw="truncated"))
    assert [(found.records, found.sound) for found in cut][1] == ([b"car,speed\nB,1"], False)
    reasons, details = defects(*bronze(b"car,speed\nB,1"), max_record_bytes=1000)
    assert (reasons.to_pylist(), details.to_pylist()) == (["bad_csv_row"], ["the object ends within the row"])


NO_CSV = [
    b"just text",
    b"one\ntwo\nthree",
    b"car\nA\nB",
    b"a,a\n1,2",
    b"1,2\n3,4",
    b"a,,b\n1,2,3",
    b"Dear Sir, Madam",
    b"Hello, world\nthis is text\nand more",
    b'name, text\n{"a": 1, "b": 2}\n',
]


@pytest.mark.parametrize("data", NO_CSV)
def test_other_text_is_not_csv(data: bytes) -> None:
    records = read(data)
    assert [record.content for record in records] == data.splitlines()
    assert not any(record.content.startswith(MARK.encode()) for record in records)


def test_a_row_beyond_the_cap_is_cut() -> None:
    header = Header.of(b"car,speed")
    assert header is not None
    data = b"A,1\nB," + b"x" * 10_000 + b"\nC,3"
    for chunk in (10, 300, 1 << 20):
        found = list(csv_rows(Window(io.BytesIO(data), chunk), header, hard_cap=1000, flaw=""))
        contents = [(record, one.note) for one in found for record in one.records]
        assert contents[0][0] == b'{"$format":"csv","car":"A","speed":"1"}'
        assert contents[-1][0] == b'{"$format":"csv","car":"C","speed":"3"}'
        assert len(contents) == 3
        if chunk < 10_000:
            assert contents[1] == (
                b"car,speed\n" + (b"B," + b"x" * 998),
                "only the first 1000 bytes are kept, 9002 bytes were cut",
            )


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


@given(
    st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=6),
    st.sampled_from(",;\t"),
    st.sampled_from([1, 5, 1 << 20]),
)
def test_what_a_csv_writer_writes_is_read_back(table: list[tuple[str, str, str]], delimiter: str, chunk: int) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerow(["car", "time", "speed"])
    writer.writerows(table)
    records = read(file.getvalue().encode(), chunk_bytes=chunk)
    assert [tuple(json.loads(record.content).values())[1:] for record in records] == table
    assert outline(records) == outline(read(file.getvalue().encode()))
