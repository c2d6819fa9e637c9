"""Split a landed object into records: what each says, verbatim, and why it cannot be read, where it cannot.

The form is recognised by content, never by name: JSON in any arrangement, CSV with a header, Parquet; the text forms
plain, gzip or zstd. Any bytes give records: what is in no known form is one record, with a reason.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa
import xxhash

from carlake.landing.compression import CorruptStreamError, Source, Unpacked, is_compressed
from carlake.landing.csv_rows import Header, csv_rows
from carlake.landing.defects import PARQUET_MAGIC, Reason, Verdict, decode_object, judge, too_deep, wide_text
from carlake.landing.found import CutError, Found, cut_note
from carlake.landing.json_text import SPACE
from carlake.landing.json_values import JsonValues
from carlake.landing.parquet_rows import BadParquetError, parquet_rows
from carlake.landing.window import FIRST_BYTES, Window

_FIELDS: dict[str, pa.DataType] = {
    "raw": pa.string(),
    "raw_bytes": pa.binary(),
    "record_hash": pa.string(),
    "reason": pa.string(),
    "detail": pa.string(),
}
RECORDS = pa.schema(_FIELDS)
"""A record's text (`raw`) or, where it is not UTF-8, its bytes (`raw_bytes`); the XXH3-128 of its bytes as 32 hex
digits; and why it is not one strict JSON object: a Reason code and a detail, both null where it is one."""

CHUNK_BYTES = 1 << 20  # small enough that the memory of one chunk serves the next
HARD_CAP_BYTES = 64 << 20
"""No record keeps more than this, or than max_record_bytes if that is more. A longer one is cut, and says by how much."""
BATCH_BYTES = 8 << 20
BATCH_RECORDS = 8192

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Control characters that text does not have; NUL is left to the judge of each record.
_BINARY = bytes(set(range(1, 32)) - set(b"\t\n\r\f\x1b"))


def split(
    stream: BinaryIO, *, max_record_bytes: int, chunk_bytes: int = CHUNK_BYTES, uncut: bool = False
) -> Iterator[pa.RecordBatch]:
    """The records of an object, in its order, as batches of the schema RECORDS; none for an object without records.

    `stream` is seekable and stands at 0. Batches hold about 8 MB of text and at most 8,192 records; memory does not
    grow with the object. Raises ReadError only where a compressed stream changes while it is read, and OSError where
    reading itself fails. A record has the same reason here as `defects` gives it from its bytes; the detail says more
    here where bytes were cut. `uncut`: raises CutError before a record that would be.
    """
    batch = _Batch(max_record_bytes)
    for found in _found(stream, max_record_bytes, chunk_bytes):
        if uncut and found.cut > 0:
            size = sum(map(len, found.records)) + found.cut
            raise CutError(
                f"A record of {size} bytes is too long: its last {found.cut} bytes would be cut.",
                f"Set max_record_bytes to {size} or more.",
            )
        for part in _parts(found):
            if not batch.has_room(part):
                yield batch.close()
            batch.add(part)
    if batch.records:
        yield batch.close()


def lone_record(content: bytes) -> bytes | None:
    """The record of an object that is one strict JSON object and white space, which is what most small ones are; else
    None: `split` tells what it is. Both find the same record.
    """
    record = content.strip(SPACE)
    # Much NUL makes text be taken for UTF-16, whatever it begins with.
    if not record.startswith(b"{") or b"\0" in record:
        return None
    try:
        decode_object(record)
    except (msgspec.DecodeError, RecursionError):
        return None
    return record


def lone_records(records: list[bytes], *, max_record_bytes: int) -> pa.RecordBatch:
    """What `lone_record` gave for several objects, as one batch of the schema RECORDS."""
    batch = _Batch(max_record_bytes)
    batch.add(Found(records, sound=True))
    return batch.close()


def _parts(found: Found) -> Iterator[Found]:
    """`found` in parts that fit a batch."""
    records = found.records
    if len(records) == 1:
        yield found
        return
    ends = list(accumulate(map(len, records)))
    start = taken = 0
    for row, end in enumerate(ends):
        if row > start and (end - taken > BATCH_BYTES or row - start >= BATCH_RECORDS):
            yield Found(records[start:row], found.sound)
            start, taken = row, ends[row - 1]
    yield Found(records[start:], found.sound)


def _found(stream: BinaryIO, max_record_bytes: int, chunk_bytes: int) -> Iterator[Found]:
    hard_cap = max(HARD_CAP_BYTES, max_record_bytes + 4)
    head = stream.read(8)
    stream.seek(0)
    if head.startswith(PARQUET_MAGIC):
        try:
            yield from parquet_rows(stream)
        except BadParquetError as error:
            yield _whole(stream, max_record_bytes, str(error))
        return
    source: Source = stream  # type: ignore[assignment]
    flaw = ""
    if is_compressed(head):
        try:
            unpacked = Unpacked(stream)
        except CorruptStreamError as error:
            yield _whole(stream, max_record_bytes, str(error))
            return
        source, flaw = unpacked, unpacked.flaw
    yield from _text_records(Window(source, chunk_bytes), hard_cap, max_record_bytes, flaw)
    if flaw:
        yield _whole(stream, max_record_bytes, flaw)


def _text_records(window: Window, hard_cap: int, max_record_bytes: int, flaw: str) -> Iterator[Found]:
    while window.end < FIRST_BYTES and window.fill():
        pass
    if window.take(0, min(3, window.end)) == BYTE_ORDER_MARK:
        window.position = 3
    head = window.take(window.position, min(window.end, FIRST_BYTES))
    text = head.lstrip(b" \t\r\n")
    if text[:1] in (b"{", b"[") and not wide_text(head):
        yield from JsonValues(window, hard_cap)
        return
    header = Header.of_file(text) if text else None
    if header is None and text and _is_binary(head):
        kept = max_record_bytes if is_compressed(head) or head.startswith(PARQUET_MAGIC) else hard_cap
        yield _rest(window, kept)
        return
    if header is None:
        yield from JsonValues(window, hard_cap)
        return
    window.position += len(head) - len(text)
    end = window.find(b"\n", window.position)
    window.position = end + 1 if end >= 0 else window.end
    yield from csv_rows(window, header, hard_cap=hard_cap, flaw=flaw)


def _is_binary(head: bytes) -> bool:
    """True where the bytes are neither text nor lines of JSON with some broken line first."""
    if wide_text(head) or is_compressed(head) or head.startswith(PARQUET_MAGIC):
        return True
    if len(head.translate(None, _BINARY)) == len(head) and b"\0" not in head:
        return False
    return not any(_is_object(line) for line in head.split(b"\n") if line[:1] == b"{")


def _is_object(line: bytes) -> bool:
    try:
        decode_object(line)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _whole(stream: BinaryIO, kept: int, flaw: str) -> Found:
    """The object itself as one record."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    record = stream.read(kept)
    cut = max(size - kept, 0)
    return Found([record], note=f"{flaw}; {cut_note(kept, cut)}" if cut else flaw, cut=cut)


def _rest(window: Window, kept: int) -> Found:
    """All that is left in the window as one record."""
    while window.end - window.position < kept and window.fill():
        pass
    record = window.take(window.position, min(window.position + kept, window.end))
    window.position += len(record)
    cut = 0
    while True:
        cut += window.end - window.position
        window.position = window.end
        if not window.fill():
            return Found([record], note=cut_note(len(record), cut) if cut else "", cut=cut)


class _Batch:
    """Records on their way into a record batch."""

    def __init__(self, max_record_bytes: int) -> None:
        self._limit = max_record_bytes
        self._clear()

    def _clear(self) -> None:
        self.records: list[bytes] = []
        self.size = 0
        self._unchecked: list[int] = []
        self._notes: dict[int, str] = {}

    def has_room(self, found: Found) -> bool:
        """False where `found` belongs in the next batch."""
        size = self.size + sum(map(len, found.records))
        count = len(self.records) + len(found.records)
        return not self.records or (size <= BATCH_BYTES and count <= BATCH_RECORDS)

    def add(self, found: Found) -> None:
        first = len(self.records)
        self.records += found.records
        self.size += sum(map(len, found.records))
        if not found.sound:
            self._unchecked += range(first, len(self.records))
        if found.note:
            self._notes[first] = found.note

    def close(self) -> pa.RecordBatch:
        """The batch so far; the next one begins empty."""
        records = self.records
        verdicts: dict[int, Verdict] = {}
        doubtful = set(self._unchecked)
        doubtful.update(row for row, record in enumerate(records) if len(record) > self._limit or too_deep(record))
        raw, raw_bytes, not_text = _columns(records)
        doubtful.update(not_text)
        if doubtful:
            judged = ((row, judge(records[row], self._limit)) for row in sorted(doubtful))
            verdicts = {row: verdict for row, verdict in judged if verdict is not None}
        reasons: list[str | None] = [None] * len(records)
        details: list[str | None] = [None] * len(records)
        for row, (reason, detail) in verdicts.items():
            reasons[row] = reason.value
            note = self._notes.get(row)
            # What the reading of the whole stream told says more than the part of it that is kept.
            replaces = reason in (Reason.BAD_COMPRESSION, Reason.BAD_PARQUET)
            details[row] = detail if not note else note if replaces else f"{detail}; {note}"
        hashes = pa.array(list(map(xxhash.xxh3_128_hexdigest, records)), pa.string())
        arrays: list[Any] = [raw, raw_bytes, hashes, pa.array(reasons, pa.string()), pa.array(details, pa.string())]
        self._clear()
        return pa.RecordBatch.from_arrays(arrays, schema=RECORDS)


def _columns(records: list[bytes]) -> tuple[Any, Any, list[int]]:
    """The columns raw and raw_bytes, and the positions of the records that are not UTF-8."""
    try:
        raw: Any = pa.array(records, pa.binary()).cast(pa.string())
        return raw, pa.nulls(len(records), pa.binary()), []
    except pa.ArrowInvalid:
        pass
    pairs = [(record, _is_text(record)) for record in records]
    raw = pa.array([record if text else None for record, text in pairs], pa.string())
    raw_bytes = pa.array([None if text else record for record, text in pairs], pa.binary())
    return raw, raw_bytes, [row for row, (_, text) in enumerate(pairs) if not text]


def _is_text(record: bytes) -> bool:
    try:
        record.decode()
    except UnicodeDecodeError:
        return False
    return True
