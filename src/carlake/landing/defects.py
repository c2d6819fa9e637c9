"""What is wrong with a record as text, judged from its bytes alone: stable reason codes, and the judge that gives them.

The judge sees nothing but the record, so a rebuild from bronze comes to the same reason as the landing did.
What a record means (its shape, fields and values) is judged by contracts, not here.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec
import pyarrow as pa

from carlake.landing.compression import flaw, is_compressed
from carlake.landing.csv_rows import Header

MAX_DEPTH = 900
"""Deepest nesting of objects and arrays that is read. Spark's JSON reader (Jackson) stops at 1000 levels."""


class Reason(StrEnum):
    """Why a record cannot be read as one JSON object. The codes are stable: people filter and alert on them."""

    NOT_JSON = "not_json"
    TRUNCATED_JSON = "truncated_json"
    BAD_COMPRESSION = "bad_compression"
    NOT_UTF8 = "not_utf8"
    UTF16 = "utf16"
    NUL_BYTES = "nul_bytes"
    NON_FINITE_NUMBER = "non_finite_number"
    NESTING_TOO_DEEP = "nesting_too_deep"
    RECORD_TOO_LARGE = "record_too_large"
    NOT_AN_OBJECT = "not_an_object"
    BAD_CSV_ROW = "bad_csv_row"
    BAD_PARQUET = "bad_parquet"


MEANING: dict[Reason, str] = {
    Reason.NOT_JSON: "The text is not valid JSON as RFC 8259 defines it.",
    Reason.TRUNCATED_JSON: "The text begins as valid JSON and ends before the value does.",
    Reason.BAD_COMPRESSION: "The object is a gzip or zstd stream that ends too early or is corrupt.",
    Reason.NOT_UTF8: "The bytes are not UTF-8 text; they are kept in raw_bytes.",
    Reason.UTF16: "The bytes look like UTF-16 or UTF-32 text; only UTF-8 is read.",
    Reason.NUL_BYTES: "The text contains NUL bytes.",
    Reason.NON_FINITE_NUMBER: "A number is written as NaN or Infinity, which JSON does not have.",
    Reason.NESTING_TOO_DEEP: f"Objects and arrays are nested more than {MAX_DEPTH} levels deep.",
    Reason.RECORD_TOO_LARGE: "The record is longer than the setting max_record_bytes.",
    Reason.NOT_AN_OBJECT: "The text is valid JSON, but a number, text, array or literal and not an object.",
    Reason.BAD_CSV_ROW: "A CSV row does not fit its header or its quotes do not close; it is kept below its header.",
    Reason.BAD_PARQUET: "The Parquet file, or a part of it, cannot be read.",
}


class AnyObject(msgspec.Struct, gc=False):
    """A JSON object whose members are all skipped: the decoder checks the syntax and builds nothing."""


decode_object = msgspec.json.Decoder(AnyObject).decode
"""Checks that bytes are one strict JSON object, surrounding whitespace allowed. It does not check UTF-8."""
decode_value = msgspec.json.Decoder(msgspec.Raw).decode
"""Checks that bytes are one strict JSON value of any type."""

PARQUET_MAGIC = b"PAR1"
ERROR_OFFSET = re.compile(r"^(?:JSON is malformed: )?(.*?) \(byte (\d+)\)$", re.DOTALL)
TRUNCATED = "Input data was truncated"
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{]+|[\]}]+', re.DOTALL)
_NON_FINITE = re.compile(rb"[+-]?(?:nan|inf(?:inity)?)(?![A-Za-z0-9_])", re.IGNORECASE)

SEALED = b'{"$carlake":"sealed"'
"""How the text of a record begins that is held encrypted (`landing.pseudonyms`)."""

Verdict = tuple[Reason, str]


def judge(record: bytes, max_record_bytes: int) -> Verdict | None:
    """The reason and detail why `record` is not one strict JSON object, or None where it is one."""
    if record.startswith(SEALED):
        return _told(record)
    if is_compressed(record):
        return Reason.BAD_COMPRESSION, flaw(record)
    if record.startswith(PARQUET_MAGIC):
        return Reason.BAD_PARQUET, "the file begins as Parquet and cannot be read as such"
    if len(record) > max_record_bytes:
        return Reason.RECORD_TOO_LARGE, f"{len(record)} bytes, and max_record_bytes is {max_record_bytes}"
    wide = wide_text(record)
    if wide:
        return Reason.UTF16, f"the bytes look like {wide}"
    try:
        record.decode()
    except UnicodeDecodeError as error:
        return Reason.NOT_UTF8, f"byte 0x{record[error.start]:02x} at byte {error.start}: {error.reason}"
    nul = record.find(b"\0")
    if nul >= 0:
        return Reason.NUL_BYTES, f"NUL at byte {nul}"
    if record[:1] not in b"{[" and b"\n" in record:
        header, row = record.split(b"\n", 1)
        names = Header.of(header)
        if names is not None:
            return Reason.BAD_CSV_ROW, names.misfit(row) or "the object ends within the row"
    return _judge_json(record)


def _told(record: bytes) -> Verdict | None:
    """What was wrong with a record before it was encrypted, as its text tells."""
    try:
        text = msgspec.json.decode(record)
        return Reason(text["reason"]), str(text["detail"])
    except (msgspec.DecodeError, KeyError, ValueError):
        return None


def _judge_json(record: bytes) -> Verdict | None:
    try:
        _decode(record)
    except RecursionError:
        return Reason.NESTING_TOO_DEEP, f"more than {MAX_DEPTH} levels"
    except msgspec.DecodeError as error:
        return _syntax(record, str(error))
    if too_deep(record):
        return Reason.NESTING_TOO_DEEP, f"more than {MAX_DEPTH} levels"
    first = record.lstrip()[:1]
    if first != b"{":
        kind = {b"[": "an array", b'"': "a string", b"t": "a literal", b"f": "a literal", b"n": "a literal"}
        return Reason.NOT_AN_OBJECT, f"{kind.get(first, 'a number')} where an object belongs"
    return None


def _decode(record: bytes) -> None:
    """Decode, with the whole recursion allowance of a fresh stack where the caller's stack leaves too little."""
    try:
        decode_value(record)
        return
    except RecursionError:
        if depth(record, enough=MAX_DEPTH + 1) > MAX_DEPTH:
            raise
    raised: list[Exception] = []

    def again() -> None:
        try:
            decode_value(record)
        except (RecursionError, msgspec.DecodeError) as error:
            raised.append(error)

    thread = threading.Thread(target=again, name="carlake-deep-json")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def _syntax(record: bytes, message: str) -> Verdict:
    located = ERROR_OFFSET.match(message)
    if located is None:
        # A lone surrogate escape near the end is reported as truncated too; closed brackets tell the two apart.
        if record.lstrip()[:1] in (b"{", b"[") and not _closed(record):
            return Reason.TRUNCATED_JSON, f"the text ends within a value, after {len(record)} bytes"
        return Reason.NOT_JSON, "the text ends within a value"
    what, at = located[1], int(located[2])
    if any(match.start() <= at <= match.end() for match in _NON_FINITE.finditer(record, max(0, at - 9), at + 9)):
        return Reason.NON_FINITE_NUMBER, f"NaN or Infinity at byte {at}"
    return Reason.NOT_JSON, f"{what} at byte {at}"


def _closed(record: bytes) -> bool:
    """True where as many brackets are closed as opened, outside strings."""
    level = 0
    for token in _BRACKETS.finditer(record):
        first = record[token.start()]
        if first != 34:
            level += (token.end() - token.start()) * (1 if first in b"[{" else -1)
    return level <= 0


def depth(text: bytes, enough: int = 1 << 62) -> int:
    """The deepest nesting of brackets outside strings; stops counting at `enough`."""
    level = deepest = 0
    for token in _BRACKETS.finditer(text):
        first = text[token.start()]
        if first == 34:
            continue
        width = token.end() - token.start()
        if first in b"[{":
            level += width
            if level > deepest:
                deepest = level
                if deepest >= enough:
                    break
        else:
            level -= width
    return deepest


def too_deep(text: bytes) -> bool:
    """True where valid JSON text nests deeper than MAX_DEPTH. Short text and text with few brackets cost next to nothing."""
    if len(text) <= 2 * MAX_DEPTH:
        return False
    brackets = text.count(b"{") + (text.count(b"[") if b"[" in text else 0)
    return brackets > MAX_DEPTH and depth(text, enough=MAX_DEPTH + 1) > MAX_DEPTH


def wide_text(data: bytes) -> str:
    """The name of the UTF-16 or UTF-32 encoding that `data` seems to be in, by its mark or its NULs, else ''."""
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "UTF-32"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    sample = data[:1024]
    nuls = sample.count(0)
    if len(sample) < 4 or nuls * 3 < len(sample):
        return ""
    quarters = [sample[start::4].count(0) * 4 / len(sample) for start in range(4)]
    if sum(quarter > 0.7 for quarter in quarters) == 3:
        return "UTF-32"
    even, odd = (quarters[0] + quarters[2]) / 2, (quarters[1] + quarters[3]) / 2
    return "UTF-16" if max(even, odd) > 0.6 and min(even, odd) < 0.2 else ""


def defects(
    raw: pa.Array[Any], raw_bytes: pa.Array[Any], *, max_record_bytes: int
) -> tuple[pa.StringArray, pa.StringArray]:
    """Judge records as bronze keeps them.

    In: `raw` (string) and `raw_bytes` (binary) of equal length, one of the two set in each row; a row with neither is
    a marker and has no defect. Out: `reason` (a Reason code) and `detail`, both string, null where the record is one
    strict JSON object that contracts may judge.
    """
    records = _values(raw.cast(pa.binary()))
    binary = {row: record for row, record in enumerate(_values(raw_bytes)) if record is not None}
    for row, record in binary.items():
        records[row] = record
    reasons: list[str | None] = [None] * len(records)
    details: list[str | None] = [None] * len(records)
    for row in suspects(records, max_record_bytes) | set(binary):
        verdict = None if records[row] is None else judge(records[row], max_record_bytes)
        if verdict is not None:
            reasons[row], details[row] = verdict[0].value, verdict[1]
    return pa.array(reasons, pa.string()), pa.array(details, pa.string())


def _values(array: Any) -> list[Any]:
    values: list[Any] = [None] * len(array) if array.null_count == len(array) else array.to_pylist()
    return values


def suspects(records: Sequence[bytes], max_record_bytes: int) -> set[int]:
    """The positions of records that may have a defect: all others have none, if they are UTF-8."""
    found: set[int] = set()
    seen: list[object] = []
    decoded = map(decode_object, records)
    while True:
        try:
            seen.extend(decoded)
            break
        except (msgspec.DecodeError, RecursionError, TypeError):  # a TypeError: no record, but a marker row
            found.add(len(seen))
            seen.append(None)
    found.update(row for row in range(len(records)) if row not in found and oversized(records[row], max_record_bytes))
    return found


def oversized(record: bytes, max_record_bytes: int) -> bool:
    """True where a strict JSON object is too long, nests too deep, or stands for a record that may have a defect."""
    return len(record) > max_record_bytes or too_deep(record) or record.startswith(SEALED)
