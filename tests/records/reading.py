"""Reading records in tests: what `split` gives, and that `defects` agrees with it."""

from __future__ import annotations

import io
from typing import NamedTuple

import pyarrow as pa
import xxhash

from carlake.landing.defects import defects
from carlake.landing.records import RECORDS, split

LIMIT = 16 << 20


class Record(NamedTuple):
    """One record: its bytes, and why it is refused."""

    content: bytes
    reason: str | None
    detail: str | None


def read(data: bytes, *, max_record_bytes: int = LIMIT, chunk_bytes: int = 1 << 20) -> list[Record]:
    """All records of an object, each checked: one of raw and raw_bytes, the hash, and the reason from bronze alone."""
    records: list[Record] = []
    for batch in split(io.BytesIO(data), max_record_bytes=max_record_bytes, chunk_bytes=chunk_bytes):
        assert batch.schema == RECORDS
        assert 0 < len(batch) <= 8192
        reasons, details = defects(batch["raw"], batch["raw_bytes"], max_record_bytes=max_record_bytes)
        assert reasons.equals(batch["reason"])
        assert details.is_null().equals(batch["detail"].is_null())
        for row in batch.to_pylist():
            assert (row["raw"] is None) != (row["raw_bytes"] is None)
            content = row["raw_bytes"] if row["raw"] is None else row["raw"].encode()
            assert row["raw"] is not None or not is_utf8(content)
            assert row["record_hash"] == xxhash.xxh3_128_hexdigest(content)
            assert (row["reason"] is None) == (row["detail"] is None)
            records.append(Record(content, row["reason"], row["detail"]))
    return records


def is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def good(records: list[Record]) -> list[bytes]:
    """The contents of the records without a defect."""
    return [record.content for record in records if record.reason is None]


def outline(records: list[Record]) -> list[tuple[bytes, str | None]]:
    """Contents and reasons."""
    return [(record.content, record.reason) for record in records]


def bronze(*contents: bytes) -> tuple[pa.Array, pa.Array]:
    """The columns raw and raw_bytes that bronze has for records of these contents."""
    raw = pa.array([content if is_utf8(content) else None for content in contents], pa.string())
    return raw, pa.array([None if is_utf8(content) else content for content in contents], pa.binary())
