"""Bronze's rows: what is written down of each record of a landed object, whichever engine reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from carlake.engines.protocol import Source
from carlake.engines.schemas import ARROW

Pending = tuple[Sequence[Source], int, pa.RecordBatch]
"""Records of one source, with the row of the first, or of as many sources as there are records, the first row of each."""

Texts = Any
"""A chunked Arrow array; Arrow's stubs cannot say of what."""

_FIRST: Any = pa.scalar(datetime.min.replace(tzinfo=UTC), ARROW["timestamptz"])
_LAST: Any = pa.scalar(datetime.max.replace(tzinfo=UTC), ARROW["timestamptz"])


def bronze_rows(
    pending: Sequence[tuple[Source, int, pa.RecordBatch]], hints: Mapping[str, Sequence[str]], ingested_at: datetime
) -> pa.Table:
    """Bronze's rows, as landing makes them, for records of objects: each batch with the number of its first row."""
    records = pa.Table.from_batches([batch for _, _, batch in pending])
    each: list[Pending] = [([source], first, batch) for source, first, batch in pending]
    return pa.table(
        bronze_columns(each, records, {column: hint_pattern(names) for column, names in hints.items()}, ingested_at)
    )


def bronze_columns(
    pending: Sequence[Pending],
    records: pa.Table,
    patterns: Mapping[str, str],
    ingested_at: datetime,
) -> dict[str, Texts]:
    """Bronze's columns for records, one batch after the other; `patterns` are those of `hint_pattern`, by column."""
    sources: list[Source] = []
    places: list[int] = []
    rows: list[int] = []
    for owners, first, batch in pending:
        if len(owners) == 1:
            places += [len(sources)] * batch.num_rows
            rows += range(first, first + batch.num_rows)
        else:
            places += range(len(sources), len(sources) + batch.num_rows)
            rows += [0] * batch.num_rows
        sources += owners
    of = pa.array(places, pa.int32())
    raw = records["raw"]
    instant: Any = pa.scalar(ingested_at.astimezone(UTC), ARROW["timestamptz"])
    hints = {column: _hint(raw, pattern) for column, pattern in patterns.items()}
    hints["event_timestamp"] = _times(hints["event_timestamp"])
    return {
        "source_uri": pa.array([s.uri for s in sources]).take(of),
        "source_id": pa.array([s.source_id for s in sources]).take(of),
        "source_row": pa.array(rows, pa.int64()),
        "source_size": pa.array([s.size_bytes for s in sources], pa.int64()).take(of),
        "source_modified_at": pa.array([s.modified_at for s in sources], ARROW["timestamptz"]).take(of),
        "record_hash": records["record_hash"],
        **hints,
        "raw": raw,
        "raw_bytes": records["raw_bytes"],
        "ingested_at": pa.repeat(instant, len(rows)),
    }


def hint_pattern(names: Sequence[str]) -> str:
    """A pattern that finds the text value of a JSON key of any of these names."""
    keys = "|".join(re.escape(name) for name in dict.fromkeys(names))
    return f'"(?:{keys})"\\s*:\\s*"(?P<value>[^"\\\\]*)"'


def _hint(raw: Texts, pattern: str) -> Texts:
    """The first match in each text, null where there is none. A hint: it does not parse."""
    return pc.struct_field(pc.extract_regex(raw, pattern), "value")


def _times(texts: Texts) -> Texts:
    """The texts that are ISO 8601 with a zone as times, the others null."""
    kind = ARROW["timestamptz"]
    plain = pc.match_substring_regex(texts, r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$")
    texts = pc.if_else(plain, texts, pa.scalar(None, pa.string()))
    try:
        times = texts.cast(kind)
    except pa.ArrowInvalid:
        pass
    else:
        # A zone can lead out of the years that a time may have, and the tables' own metadata.
        known = pc.and_(pc.greater_equal(times, _FIRST), pc.less_equal(times, _LAST))
        return pc.if_else(known, times, pa.scalar(None, kind))
    read: list[datetime | None] = []
    for text in texts.to_pylist():
        try:
            read.append(datetime.fromisoformat(text).astimezone(UTC) if text else None)
        except (ValueError, OverflowError):
            read.append(None)
    return pa.chunked_array([pa.array(read, kind)])


def marker() -> pa.RecordBatch:
    """The row of an object without records."""
    names = ("raw", "raw_bytes", "record_hash", "reason", "detail")
    kinds = (pa.string(), pa.binary(), pa.string(), pa.string(), pa.string())
    return pa.record_batch([pa.nulls(1, kind) for kind in kinds], names=list(names))
