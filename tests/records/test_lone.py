"""Objects of one record each are gathered; what comes of each is what splitting it alone gives."""

from __future__ import annotations

import io
from typing import Any

import pytest

from carlake.landing.records import lone_record, lone_records, split

LIMIT = 1 << 20

TAKEN = {
    "one object": b'{"a": 1}',
    "white space around it": b'\r\n\t {"a": 1} \n\n',
    "pretty-printed": b'{\n  "a": {\n    "b": 1\n  }\n}\n',
    "the same key twice": b'{"a": 1, "a": 2}',
    "text that is not UTF-8": b'{"a": "\xff"}',
    "longer than a record may be": b'{"a": "' + b"z" * LIMIT + b'"}',
    "nested too deep": b'{"a":' * 950 + b"1" + b"}" * 950,
}
LEFT = {
    "nothing": b"",
    "two records": b'{"a": 1}\n{"a": 2}',
    "an array": b'[{"a": 1}]',
    "not strict": b'{"a": NaN}',
    "cut": b'{"a": {"b": 1}',
    "text behind it": b'{"a": 1} and more',
    "a form feed behind it": b'{"a": 1}\x0c',
    "a byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "NUL in it": b'{"a": "\x00"}',
    "a lone surrogate": b'{"a": "\\ud800"}',
    "UTF-16": '{"a": 1}'.encode("utf-16-le"),
}


def by_itself(content: bytes) -> list[dict[str, Any]]:
    return [row for batch in split(io.BytesIO(content), max_record_bytes=LIMIT) for row in batch.to_pylist()]


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken_is_as_split_gives_it(name: str) -> None:
    record = lone_record(TAKEN[name])
    assert record is not None
    assert lone_records([record], max_record_bytes=LIMIT).to_pylist() == by_itself(TAKEN[name])


@pytest.mark.parametrize("name", LEFT)
def test_anything_else_is_left_to_the_splitter(name: str) -> None:
    assert lone_record(LEFT[name]) is None


def test_several_at_once_are_as_each_by_itself() -> None:
    records = [record for content in TAKEN.values() if (record := lone_record(content)) is not None]
    together = lone_records(records, max_record_bytes=LIMIT).to_pylist()
    assert together == [row for record in records for row in by_itself(record)]
