"""Broken text between records: where it ends, and what is whole behind it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from carlake.landing import json_text
from carlake.landing.found import whole_characters
from carlake.landing.json_values import JsonValues
from carlake.landing.window import Window
from records.reading import outline, read

GOOD = {"id": 1, "block": {"data": [{"x": 1}, {"x": 2}], "note": 'a "quoted" } { ] ['}, "end": None}
PRETTY = json.dumps(GOOD, indent=2).encode()
LINE = json.dumps(GOOD).encode()
BROKEN, CUT = "not_json", "truncated_json"


@pytest.mark.parametrize("cut", range(2, len(PRETTY) - 1, 3))
def test_a_pretty_record_that_is_cut_anywhere_leaves_its_neighbours(cut: int) -> None:
    for joint in (b"\n", b"\n\n"):
        records = read(joint.join([PRETTY, PRETTY[:cut].rstrip(), PRETTY, PRETTY]))
        assert [record.content for record in records if record.reason is None] == [PRETTY] * 3
        assert [record.content for record in records if record.reason] == [PRETTY[:cut].rstrip()]


@pytest.mark.parametrize("cut", range(1, len(LINE) - 1, 3))
@pytest.mark.parametrize("array", [False, True])
def test_a_line_that_is_cut_anywhere_leaves_its_neighbours(cut: int, array: bool) -> None:
    lines = [LINE, LINE[:cut].rstrip(b" ,"), LINE, LINE]
    data = b"[\n" + b",\n".join(lines) + b"\n]\n" if array else b"\n".join(lines)
    records = read(data)
    assert [record.content for record in records] == lines
    assert [record.reason is None for record in records] == [True, False, True, True]


@pytest.mark.parametrize("cut", range(1, len(PRETTY) - 1, 3))
def test_an_object_that_is_cut_anywhere_ends_in_a_truncated_record(cut: int) -> None:
    for start in (b"", b"[", LINE + b"\n", PRETTY + b"\n", b"[" + LINE + b",\n"):
        *before, last = read(start + PRETTY[:cut])
        assert (last.content, last.reason) == (PRETTY[:cut].rstrip(), CUT)
        assert all(record.reason is None for record in before)


TEXTS = {
    "NaN in an inner object": (
        b'{"a":{"b":NaN},"l":[{"x":1},{"x":2}]}{"c":1}',
        [(b'{"a":{"b":NaN},"l":[{"x":1},{"x":2}]}', "non_finite_number"), (b'{"c":1}', None)],
    ),
    "missing brace, then a record on the same line": (
        b'{"a":{"b":1}{"c":1}\n{"d":1}',
        [(b'{"a":{"b":1}', CUT), (b'{"c":1}', None), (b'{"d":1}', None)],
    ),
    "missing comma before an inner object": (
        b'{"l":[{"a":1} {"b":2}]}\n{"c":1}',
        [(b'{"l":[{"a":1} {"b":2}]}', BROKEN), (b'{"c":1}', None)],
    ),
    "missing comma in a list of an element": (
        b'[{"l":[{"a":1} {"b":2},{"c":3}]},{"d":1}]',
        [(b'{"l":[{"a":1} {"b":2},{"c":3}]}', BROKEN), (b'{"d":1}', None)],
    ),
    "an inner object as far from the margin, but not first on its line": (
        b'[\n  {"l":[\n1,{"x":1},\n',
        [(b'{"l":[\n1,{"x":1},', CUT)],
    ),
    "missing bracket in a list": (
        b'[{"a":[1,2},{"b":3}]',
        [(b'{"a":[1,2}', BROKEN), (b'{"b":3}', None)],
    ),
    "inner objects at the same depth as the record": (
        b'{"a":NaN,"l":[\n{"x":1},\n{"x":2}\n]}\n{"b":1}',
        [(b'{"a":NaN,"l":[\n{"x":1},\n{"x":2}\n]}', "non_finite_number"), (b'{"b":1}', None)],
    ),
    "inner objects at the same depth as the element": (
        b'[\n{"a":NaN,"l":[\n{"x":1},\n{"x":2}\n]},\n{"b":1}\n]',
        [(b'{"a":NaN,"l":[\n{"x":1},\n{"x":2}\n]}', "non_finite_number"), (b'{"b":1}', None)],
    ),
    "an element that ends in an inner list": (
        b'[\n{"a":[\n{"b":1},\n{"c":1}\n]',
        [(b'{"a":[', CUT), (b'{"b":1}', None), (b'{"c":1}', None)],
    ),
    "two broken lines": (
        b'{"a":NaN}\n{"b":nil}\n{"c":1\n{"d":1\n{"e":1}',
        [
            (b'{"a":NaN}', "non_finite_number"),
            (b'{"b":nil}', BROKEN),
            (b'{"c":1', CUT),
            (b'{"d":1', CUT),
            (b'{"e":1}', None),
        ],
    ),
    "cut where a value is due, then a broken line": (
        b'{"a":1,"b":\n{"a":NaN}\n{"b":[\n{"c":\n{"d":1}\n{"e":1}',
        [
            (b'{"a":1,"b":', CUT),
            (b'{"a":NaN}', "non_finite_number"),
            (b'{"b":[', CUT),
            (b'{"c":', CUT),
            (b'{"d":1}', None),
            (b'{"e":1}', None),
        ],
    ),
    "cut in the middle, then lines that are no objects": (
        b'{"a":{"b":"2025-0\n"offline"\nnot json\n7\n{"c":1}\n{"d":\n"offline"',
        [
            (b'{"a":{"b":"2025-0', CUT),
            (b'"offline"', "not_an_object"),
            (b"not json", "not_json"),
            (b"7", "not_an_object"),
            (b'{"c":1}', None),
            (b'{"d":', CUT),
            (b'"offline"', "not_an_object"),
        ],
    ),
    "a broken object where a value is due, in a pretty record without indentation": (
        b'{\n"b":\n{"a":NaN}\n}\n{"c":1}',
        [(b'{\n"b":\n{"a":NaN}\n}', "non_finite_number"), (b'{"c":1}', None)],
    ),
    "unclosed string": (
        b'{"a":"x}\n{"b":1}\n{"c":1}',
        [(b'{"a":"x}', CUT), (b'{"b":1}', None), (b'{"c":1}', None)],
    ),
    "text between records": (
        b'{"a":1} and {"b":1}\n{"c":1}',
        [(b'{"a":1}', None), (b"and", BROKEN), (b'{"b":1}', None), (b'{"c":1}', None)],
    ),
    "text behind a record": (b'{"a":1} and so on\n{"b":1}', [(b'{"a":1} and so on', BROKEN), (b'{"b":1}', None)]),
    "text behind an element": (
        b'[{"a":1} and so on,{"b":1}]',
        [(b'{"a":1} and so on', BROKEN), (b'{"b":1}', None)],
    ),
    "the rest of a record comes first": (
        b'"a":1}}\n{"b":1}\n{"c":1}',
        [(b'"a":1}}', BROKEN), (b'{"b":1}', None), (b'{"c":1}', None)],
    ),
    "array that is not closed": (b'[{"a":1},{"b":1}', [(b'{"a":1}', None), (b'{"b":1}', None), (b"[", CUT)]),
    "array that ends behind a comma": (b'[{"a":1},', [(b'{"a":1}', None), (b"[", CUT)]),
    "array that ends at once": (b"[", [(b"[", CUT)]),
    "array that ends in an element": (b'[{"a":1},{"b"', [(b'{"a":1}', None), (b'{"b"', CUT)]),
    "array of other values too": (
        b'[null, {"a":1}, NaN, "x", [{"b":1}], 2]',
        [
            (b"null", "not_an_object"),
            (b'{"a":1}', None),
            (b"NaN", "non_finite_number"),
            (b'"x"', "not_an_object"),
            (b'[{"b":1}]', "not_an_object"),
            (b"2", "not_an_object"),
        ],
    ),
    "line that is not UTF-8, cut": (b'{"a":"\xff\n{"b":1}', [(b'{"a":"\xff', "not_utf8"), (b'{"b":1}', None)]),
}


@pytest.mark.parametrize("name", TEXTS)
def test_broken_text_ends_where_the_next_record_begins(name: str) -> None:
    data, expected = TEXTS[name]
    assert outline(read(data)) == expected


def test_an_element_that_swallows_all_that_follows_is_found_by_its_lines() -> None:
    """The list is never closed, so that all later elements could be in it; the lines tell that they are not."""
    lines = [b'  {"n":%d,"pad":"%s"}' % (number, b"x" * 200) for number in range(2_000)]
    lines[3] = b'  {"n":3,"list":['
    records = read(b"[\n" + b",\n".join(lines) + b"\n]")
    assert [record.content for record in records] == [line.strip() for line in lines]
    assert [number for number, record in enumerate(records) if record.reason] == [3]


CAP = 1000


def capped(data: bytes, chunk_bytes: int = 300) -> list[tuple[bytes, str]]:
    """Records and notes where nothing longer than CAP is kept."""
    values = JsonValues(Window(io.BytesIO(data), chunk_bytes), CAP)
    return [(record, found.note) for found in values for record in found.records]


LONG = b'{"a":"' + b"\xc3\xa9" * 5000 + b'"}'
CUT_LONG = LONG[:999] if len(whole_characters(LONG[:CAP])) == 999 else LONG[:CAP]


def test_an_element_that_swallows_more_than_the_cap_is_found_by_its_lines_too() -> None:
    lines = [b'  {"n":%d,"pad":"%s"}' % (number, b"x" * 200) for number in range(3_000)]
    lines[3] = b'  {"n":3,"list":['
    values = JsonValues(Window(io.BytesIO(b"[\n" + b",\n".join(lines) + b"\n]"), 4096), 300_000)
    assert [record for found in values for record in found.records] == [line.strip() for line in lines]


@pytest.mark.parametrize("chunk", [7, 300, 4096, 1 << 20])
def test_a_record_beyond_the_cap_is_cut_and_its_neighbours_survive(chunk: int) -> None:
    note = f"only the first {len(CUT_LONG)} bytes are kept, {len(LONG) - len(CUT_LONG)} bytes were cut"
    expected = [(b'{"b":1}', ""), (CUT_LONG, note), (b'{"c":1}', ""), (b'{"d":1}', "")]
    assert capped(b'{"b":1}\n' + LONG + b'\n{"c":1}\n{"d":1}', chunk) == expected
    assert capped(b'[{"b":1},' + LONG + b',{"c":1},{"d":1}]', chunk) == expected
    assert capped(b'[\n {"b":1},\n ' + LONG + b',\n {"c":1},\n {"d":1}\n]', chunk) == [
        *expected[:1],
        (CUT_LONG, f"only the first {len(CUT_LONG)} bytes are kept, {len(LONG) - len(CUT_LONG)} bytes were cut"),
        *expected[2:],
    ]
    pretty = b'{\n "l": [\n' + b'  {"x":1},\n' * 300 + b"  0\n ]\n}"
    values = capped(b'{"b":1}\n' + pretty + b'\n{"c":1}\n{"d":1}', chunk)
    assert [record for record, _ in values] == [b'{"b":1}', pretty[:CAP], b'{"c":1}', b'{"d":1}']


def test_a_cut_never_divides_a_character() -> None:
    text = "aé€😀".encode() * 3
    for length in range(len(text) + 1):
        kept = whole_characters(text[:length])
        assert text.startswith(kept)
        assert length - len(kept) < 4
        kept.decode()


def test_many_lines_that_stay_open_are_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a broken record that the next could belong to. Without a bound each would look at all that follow."""
    seen = 0
    tokens = json_text._TOKEN

    class Counted:
        @staticmethod
        def finditer(*given: Any) -> Iterator[re.Match[bytes]]:
            nonlocal seen
            for token in tokens.finditer(*given):
                seen += 1
                yield token

    monkeypatch.setattr(json_text, "_TOKEN", Counted)
    for line in (b'{"a":[\n', b'{"a":\n', b'{"a":[1,\n'):
        seen = 0
        records = read(line * 2_000)
        assert len(records) == 2_000 and seen < 2_000 * 400, (line, seen)
    # A good record between two of them is found as ever.
    found = read(b'{"a":[\n' * 300 + b'{"b":1}\n' + b'{"a":[\n' * 300)
    assert [record.reason for record in found].count(None) == 1 and len(found) == 601
