"""Landing on the embedded engine: records stream once through memory into bronze's files and through the contracts."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.table import Table as IcebergTable
from pyiceberg.typedef import Record

from carlake.checksums import seal
from carlake.engines.duckdb_files import arrow_schema, data_file, local_path
from carlake.engines.duckdb_stream import ParseStream
from carlake.engines.protocol import Parsed, Source, Staged
from carlake.engines.schemas import ARROW
from carlake.engines.snapshots import stage_snapshot
from carlake.landing.defects import defects
from carlake.storage import settle_later
from carlake.tables.table import Table

if TYPE_CHECKING:
    from carlake.engines.duckdb import DuckDBEngine

# A chunk is what is parsed at once: enough rows to keep both cores busy, few enough to stay in the processor's caches.
_CHUNK_ROWS = 30_000
_CHUNK_BYTES = 48 << 20
# Rows of one bronze file at the most.
_FILE_ROWS = 400_000


# Columns with few distinct values; a dictionary of the records' texts would only cost time.
_DICTIONARY: Any = ["source_uri", "source_id", "car_chassis"]

_Pending = tuple[Sequence[Source], int, pa.RecordBatch]
# Records of one source, with the row of the first, or of as many sources as there are records, the first row of each.

_FIRST: Any = pa.scalar(datetime.min.replace(tzinfo=UTC), ARROW["timestamptz"])
_LAST: Any = pa.scalar(datetime.max.replace(tzinfo=UTC), ARROW["timestamptz"])

Texts = Any
"""A chunked Arrow array; Arrow's stubs cannot say of what."""


class Landing:
    """One batch of objects on its way into bronze. Nothing is visible until what `stage` gives is committed.

    The records' texts are read once: while one thread reads on, another writes bronze's files and the contracts judge on a
    third.
    """

    def __init__(
        self, engine: DuckDBEngine, bronze: Table, ingested_at: datetime, hints: Mapping[str, Sequence[str]]
    ) -> None:
        self.engine = engine
        self.table = bronze
        self.ingested_at = ingested_at
        self.records = 0
        self._iceberg: IcebergTable = engine.load(bronze.name)
        self._hints = {column: _pattern(names) for column, names in hints.items()}
        self._schema = arrow_schema(self._iceberg, bronze)
        self._pending: list[_Pending] = []
        self._pending_rows = 0
        self._pending_bytes = 0
        self._writer: pq.ParquetWriter | None = None
        self._writer_rows = 0
        self._paths: list[Path] = []
        self._stream = ParseStream(engine)
        self._parsed: Parsed | None = None
        self._writing = ThreadPoolExecutor(1)
        self._running: list[Future[None]] = []
        self._staged = self._stopped = False

    def add(self, source: Source, batches: Iterable[pa.RecordBatch]) -> int:
        """Take the records of one object (schema `landing.records.RECORDS`); gives their number.

        An object without records leaves one marker row, so that bronze knows it. An error while reading is passed on
        after everything that came from the object has been taken out again.
        """
        first_pending, first_path = len(self._pending), -1
        rows = size = 0
        try:
            for batch in batches:
                self._take([source], rows, batch)
                rows += batch.num_rows
                size += batch.nbytes
                # Not the object's own size: what it unpacks to can be many times as much.
                if first_path < 0 and (rows >= _CHUNK_ROWS or size > _CHUNK_BYTES // 4):
                    first_path, first_pending = self._set_apart(first_pending), 0
                if first_path >= 0 and self._is_chunk:
                    self._flush()
        except BaseException:
            if first_path >= 0:
                self._drop_files(source, first_path)
            self._drop_pending(first_pending)
            raise
        if not rows:
            self._take([source], 0, _marker())
        if first_path >= 0:
            self._flush()
            self._close_file()
        elif self._is_chunk:
            self._flush()
        self.records += rows
        return rows

    def add_lone(self, sources: Sequence[Source], batch: pa.RecordBatch) -> None:
        """Take objects of one record each, a row of the batch for each source."""
        self._take(sources, 0, batch)
        self.records += len(sources)
        if self._is_chunk:
            self._flush()

    @property
    def _is_chunk(self) -> bool:
        return self._pending_rows >= _CHUNK_ROWS or self._pending_bytes >= _CHUNK_BYTES

    def _set_apart(self, first: int) -> int:
        """Send on what is pending before `first`, so that what follows, of a long object, gets files of its own.

        If it breaks off, they are dropped and no neighbour with them. Gives the place of the first such file.
        """
        own = self._pending[first:]
        self._drop_pending(first)
        self._flush()
        self._close_file()
        for sources, row, batch in own:
            self._take(sources, row, batch)
        return len(self._paths)

    def _take(self, sources: Sequence[Source], first_row: int, batch: pa.RecordBatch) -> None:
        self._pending.append((sources, first_row, batch))
        self._pending_rows += batch.num_rows
        self._pending_bytes += batch.nbytes

    def _drop_pending(self, first: int) -> None:
        """Take out the pending batches from `first` on."""
        del self._pending[first:]
        self._pending_rows = sum(batch.num_rows for _, _, batch in self._pending)
        self._pending_bytes = sum(batch.nbytes for _, _, batch in self._pending)

    def _drop_files(self, source: Source, first: int) -> None:
        """Take out what a long object has left in files of its own and among the parsed rows."""
        self._close_file()
        for path in self._paths[first:]:
            path.unlink(missing_ok=True)
        del self._paths[first:]
        self._stream.drop(source.source_id)

    # -- chunks ------------------------------------------------------------------------------------------------------

    def _wait(self, running: int) -> None:
        """Wait until at most `running` pieces of work are under way."""
        while len(self._running) > running:
            self._running.pop(0).result()

    def _flush(self) -> None:
        """Send the pending records on as one chunk."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        self._pending_rows = self._pending_bytes = 0
        # One chunk waits while one is worked on, so memory stays bounded.
        self._wait(1)
        # Whoever reads the objects has enough to do with that.
        self._running.append(self._writing.submit(self._send_on, pending))

    def _send_on(self, pending: Sequence[_Pending]) -> None:
        """Make a chunk of records, give it to the contracts and write it."""
        chunk = self._chunk(pending)
        self._stream.feed(chunk)
        self._write(chunk)

    def _chunk(self, pending: Sequence[_Pending]) -> pa.Table:
        """Bronze's columns, and the splitter's `reason` and `detail`, for the pending records."""
        records = pa.Table.from_batches([batch for _, _, batch in pending])
        if records.num_rows < 1000 * len(pending):
            records = records.combine_chunks()
        columns = {
            **_columns(pending, records, self._hints, self.ingested_at),
            "reason": records["reason"],
            "detail": self._details(records),
        }
        # DuckDB gives each record batch to one thread.
        return pa.Table.from_batches(pa.table(columns).to_batches(max_chunksize=_CHUNK_ROWS // 4))

    def _details(self, records: pa.Table) -> Texts:
        """What is wrong with the refused records, as their bytes alone tell it.

        Reading the whole object may have told more; but a rebuild has only the bytes, and must say the same.
        """
        refused = records.filter(pc.is_valid(records["reason"])).combine_chunks()
        if not refused.num_rows:
            return records["detail"]
        _, told = defects(
            *(refused[name].chunk(0) for name in ("raw", "raw_bytes")), max_record_bytes=self.engine.max_record_bytes
        )
        return pc.replace_with_mask(
            records["detail"].combine_chunks(), pc.is_valid(records["reason"]).combine_chunks(), told
        )

    def _write(self, chunk: pa.Table) -> None:
        if self._writer is None:
            folder = Path(
                local_path(self._iceberg.location()),
                "data",
                f"ingested_at_day={self.ingested_at.astimezone(UTC):%Y-%m-%d}",
            )
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{uuid.uuid4().hex[:12]}.parquet"
            self._paths.append(path)
            self._writer = pq.ParquetWriter(
                path, self._schema, compression="zstd", compression_level=1,
                use_dictionary=_DICTIONARY, write_statistics=True, store_schema=False,
            )  # fmt: skip
            self._writer_rows = 0
        self._writer.write_table(chunk.select(self._schema.names).cast(self._schema))
        self._writer_rows += chunk.num_rows
        if self._writer_rows >= _FILE_ROWS:
            self._end_file()

    def _end_file(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._paths[-1] = seal(self._paths[-1])
            settle_later(self._paths[-1])

    def _close_file(self) -> None:
        """End the file under way after all chunks so far."""
        self._wait(0)
        self._end_file()

    # -- outcome -----------------------------------------------------------------------------------------------------

    def stage(self, base: int | None, properties: Mapping[str, str]) -> Staged:
        """Bronze's new snapshot on `base`, staged. May be called again on another base if the commit was refused."""
        self._flush()
        self._close_file()
        iceberg = self.engine.load(self.table.name)
        day = (self.ingested_at.astimezone(UTC).date() - datetime(1970, 1, 1, tzinfo=UTC).date()).days
        files = [data_file(iceberg, str(path), Record(day)) for path in self._paths]
        rows = sum(file.record_count for file in files)
        staged = stage_snapshot(
            iceberg, self.table.name, files, [], properties, base=base, rows_added=rows, rows_removed=0
        )
        self._staged = True
        return staged

    @property
    def parsed(self) -> Parsed:
        """The records as the contracts judged them; complete once staged."""
        if self._parsed is None:
            self._parsed = self._stream.finish()
        return self._parsed

    def abandon(self) -> None:
        """Remove the files of a batch that was surely never visible."""
        self._pending = []
        self._close_file()
        for path in self._paths:
            path.unlink(missing_ok=True)
        self._paths = []

    def unstage(self) -> None:
        """Know that no staged snapshot was published: its files may go."""
        self._staged = False

    def stop(self) -> None:
        """Stop work after an error. Files that may be part of a commit of unclear outcome stay, others go with `close`."""
        self._stopped = True
        self._pending = []
        for running in self._running:
            running.cancel()
        self._stream.stop()

    def close(self) -> None:
        """End the threads."""
        if self._parsed is None:
            self._stream.stop()
        self._writing.shutdown(wait=True, cancel_futures=True)
        if self._parsed is None:
            self._stream.stop()  # it may have been given its first chunks meanwhile
        if self._writer is not None:
            with suppress(OSError) if self._stopped else nullcontext():  # a disk that is full is said already
                self._writer.close()
        if self._stopped and not self._staged:
            # No commit names them, and where the disk is full they are what fills it.
            for path in self._paths:
                path.unlink(missing_ok=True)


def bronze_rows(
    pending: Sequence[tuple[Source, int, pa.RecordBatch]], hints: Mapping[str, Sequence[str]], ingested_at: datetime
) -> pa.Table:
    """Bronze's rows, as landing makes them, for records of objects: each batch with the number of its first row."""
    records = pa.Table.from_batches([batch for _, _, batch in pending])
    each: list[_Pending] = [([source], first, batch) for source, first, batch in pending]
    return pa.table(_columns(each, records, {column: _pattern(names) for column, names in hints.items()}, ingested_at))


def _columns(
    pending: Sequence[_Pending],
    records: pa.Table,
    patterns: Mapping[str, str],
    ingested_at: datetime,
) -> dict[str, Texts]:
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


def _pattern(names: Sequence[str]) -> str:
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


def _marker() -> pa.RecordBatch:
    """The row of an object without records."""
    names = ("raw", "raw_bytes", "record_hash", "reason", "detail")
    kinds = (pa.string(), pa.binary(), pa.string(), pa.string(), pa.string())
    return pa.record_batch([pa.nulls(1, kind) for kind in kinds], names=list(names))
