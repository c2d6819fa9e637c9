"""Which objects bronze's data files hold, told from the files alone; and which of them hold all of their rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from carlake.landing.forgotten import FORGOTTEN_HASH
from carlake.storage.store_paths import AnyPath, parquet

_COLUMNS = ("source_id", "source_uri", "source_row", "record_hash")
_TEXTS = ("raw", "raw_bytes")


@dataclass
class HeldObject:
    """What files hold of one object.

    rows    the positions of its records
    wrong   a record's text is not what was landed, or a record is there twice
    files   where they lie
    """

    source_id: str
    uri: str
    rows: set[int] = field(default_factory=set)
    wrong: bool = False
    files: set[AnyPath] = field(default_factory=set)

    @property
    def whole(self) -> bool:
        """Whether the rows are those from the first to the last, each once, as they were landed."""
        return not self.wrong and bool(self.rows) and min(self.rows) == 0 and max(self.rows) == len(self.rows) - 1


def source_ids(paths: Iterable[AnyPath]) -> set[str]:
    """The objects that data files hold any row of. Raises what pyarrow does for a damaged file."""
    found: set[str] = set()
    for path in paths:
        with pq.ParquetFile(parquet(path), read_dictionary=["source_id"]) as file:
            for batch in file.iter_batches(columns=["source_id"]):
                column = batch.column(0)
                values = column.dictionary if isinstance(column, pa.DictionaryArray) else column.unique()
                found.update(value for value in values.to_pylist() if value is not None)
    return found


def objects_in(path: AnyPath, *, hashes: bool) -> Iterator[HeldObject]:
    """What one data file holds of each object; `hashes` reads the records' texts too and compares them.

    Raises what pyarrow does for a damaged file.
    """
    found: dict[str, HeldObject] = {}
    with pq.ParquetFile(parquet(path)) as file:
        names = [name for name in (*_COLUMNS, *(_TEXTS if hashes else ())) if name in file.schema_arrow.names]
        for batch in file.iter_batches(batch_size=8192, columns=names):
            for row in batch.to_pylist():
                held = found.setdefault(row["source_id"], HeldObject(row["source_id"], row["source_uri"], files={path}))
                held.wrong |= row["source_row"] in held.rows or (hashes and not _as_landed(row))
                held.rows.add(row["source_row"])
    yield from found.values()


def together(parts: Iterable[HeldObject]) -> dict[str, HeldObject]:
    """What several files hold of each object."""
    found: dict[str, HeldObject] = {}
    for part in parts:
        held = found.setdefault(part.source_id, HeldObject(part.source_id, part.uri))
        held.wrong |= part.wrong or bool(held.rows & part.rows)
        held.rows |= part.rows
        held.files |= part.files
    return found


def _as_landed(row: dict[str, object]) -> bool:
    """Whether a record's text has the hash that it was landed with; a marker row has neither."""
    raw, raw_bytes, landed = row.get("raw"), row.get("raw_bytes"), row["record_hash"]
    content = raw.encode() if isinstance(raw, str) else raw_bytes
    if landed is None or landed == FORGOTTEN_HASH:
        return content is None
    return isinstance(content, bytes) and xxhash.xxh3_128_hexdigest(content) == landed
