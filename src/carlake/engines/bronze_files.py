"""Bronze's files: records of landed objects on their way into Parquet, an object whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.table import Table as IcebergTable
from pyiceberg.typedef import Record

from carlake.engines.bronze_rows import Pending, Texts, bronze_columns, hint_pattern, marker
from carlake.engines.data_files import arrow_schema
from carlake.engines.new_files import NewFile, WrittenFile
from carlake.engines.protocol import Source
from carlake.landing.defects import defects
from carlake.storage.durable import places_of
from carlake.tables.table import Table

# A chunk is what is parsed at once: enough rows to keep both cores busy, few enough to stay in the processor's caches.
_CHUNK_ROWS = 30_000
_CHUNK_BYTES = 48 << 20
# Rows of one bronze file at the most.
_FILE_ROWS = 400_000
_ENDS = b"carlake.ends"
"""Key in the footer of a full file whose last row is the last of its object: no other file follows."""

# Columns with few distinct values; a dictionary of the records' texts would only cost time.
_DICTIONARY: Any = ["source_uri", "source_id", "car_chassis"]


class BronzeFiles:
    """The records of landed objects, taken in one after the other and written. `finish`, or `abandon` or `stop`; then `close`.

    While one thread reads on, another writes, and gives each chunk of bronze rows (with the splitter's `reason` and
    `detail`) to `feed` first. `drop` hears of each object whose chunks were fed and that broke off after that.

    scratch    where files are written if the table lies in a store
    named      what is in the files' names beside checksum and random part
    records    how many were taken in
    """

    def __init__(
        self,
        iceberg: IcebergTable,
        table: Table,
        ingested_at: datetime,
        hints: Mapping[str, Sequence[str]],
        max_record_bytes: int,
        *,
        scratch: Path | None = None,
        named: str = "",
        feed: Callable[[pa.Table], None] = lambda chunk: None,
        drop: Callable[[str], None] = lambda source_id: None,
    ) -> None:
        self.records = 0
        self._iceberg = iceberg
        self._ingested_at = ingested_at
        self._max_record_bytes = max_record_bytes
        self._scratch, self._named = scratch, named
        self._feed, self._drop = feed, drop
        self._hints = {column: hint_pattern(names) for column, names in hints.items()}
        self._schema = arrow_schema(iceberg, table)
        self._pending: list[Pending] = []
        self._pending_rows = 0
        self._pending_bytes = 0
        self._writer: pq.ParquetWriter | None = None
        self._writer_rows = 0
        self._open: NewFile | None = None
        self._done: list[WrittenFile] = []
        self._writing = ThreadPoolExecutor(1)
        self._running: list[Future[None]] = []

    def add(self, source: Source, batches: Iterable[pa.RecordBatch]) -> int:
        """Take the records of one object (schema `landing.records.RECORDS`); gives their number.

        An object without records leaves one marker row, so that bronze knows it. An error while reading is passed on
        after everything that came from the object has been taken out again.
        """
        first_pending, first_file = len(self._pending), -1
        rows = size = 0
        try:
            for batch in batches:
                self._take([source], rows, batch)
                rows += batch.num_rows
                size += batch.nbytes
                # Not the object's own size: what it unpacks to can be many times as much.
                if first_file < 0 and (rows >= _CHUNK_ROWS or size > _CHUNK_BYTES // 4):
                    first_file, first_pending = self._set_apart(first_pending), 0
                if first_file >= 0 and self._is_chunk:
                    self._flush()
        except BaseException:
            if first_file >= 0:
                self._drop_files(source, first_file)
            self._drop_pending(first_pending)
            raise
        if not rows:
            self._take([source], 0, marker())
        if first_file >= 0:
            self._flush()
            self._close_file(ends=True)
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
        return len(self._done)

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
        """Take out what a long object has left in files of its own, and tell of it."""
        self._wait(0)
        self._discard()
        self._remove(first)
        self._drop(source.source_id)

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

    def _send_on(self, pending: Sequence[Pending]) -> None:
        """Make a chunk of records, give it to the contracts and write it."""
        chunk = self._chunk(pending)
        self._feed(chunk)
        self._write(chunk)

    def _chunk(self, pending: Sequence[Pending]) -> pa.Table:
        """Bronze's columns, and the splitter's `reason` and `detail`, for the pending records."""
        records = pa.Table.from_batches([batch for _, _, batch in pending])
        if records.num_rows < 1000 * len(pending):
            records = records.combine_chunks()
        columns = {
            **bronze_columns(pending, records, self._hints, self._ingested_at),
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
            *(refused[name].chunk(0) for name in ("raw", "raw_bytes")), max_record_bytes=self._max_record_bytes
        )
        return pc.replace_with_mask(
            records["detail"].combine_chunks(), pc.is_valid(records["reason"]).combine_chunks(), told
        )

    def _write(self, chunk: pa.Table) -> None:
        if self._writer_rows >= _FILE_ROWS:
            self._end_file()
        if self._writer is None:
            day = f"ingested_at_day={self._ingested_at.astimezone(UTC):%Y-%m-%d}"
            self._open = NewFile(self._iceberg, [day], self._scratch, self._named)
            self._writer = pq.ParquetWriter(
                self._open.path, self._schema, compression="zstd", compression_level=1,
                use_dictionary=_DICTIONARY, write_statistics=True, store_schema=False,
            )  # fmt: skip
        self._writer.write_table(chunk.select(self._schema.names).cast(self._schema))
        self._writer_rows += chunk.num_rows

    def _end_file(self, *, ends: bool = False) -> None:
        if self._writer is not None:
            if ends and self._writer_rows >= _FILE_ROWS:
                self._writer.add_key_value_metadata({_ENDS: b"1"})
            self._writer.close()
            self._writer = None
        if self._open is not None:
            self._done.append(self._open.finish())
            self._open = None
        self._writer_rows = 0

    def _close_file(self, *, ends: bool = False) -> None:
        """End the file under way after all chunks so far; `ends` where the last row is the last of a long object."""
        self._wait(0)
        self._end_file(ends=ends)

    def _discard(self) -> None:
        """Remove the file under way. First its name: a footer would make a file of it that looks whole."""
        if self._open is not None:
            self._open.discard()
            self._open = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._writer_rows = 0

    # -- outcome -----------------------------------------------------------------------------------------------------

    def finish(self) -> list[WrittenFile]:
        """Write what is pending; gives all files, each complete where the table lies. May be called again."""
        self._flush()
        self._close_file()
        return list(self._done)

    def abandon(self) -> None:
        """Remove all files."""
        self._pending = []
        self._close_file()
        self._remove()

    def _remove(self, first: int = 0) -> None:
        """Remove the files that are complete, from that place on."""
        places_of(self._iceberg.io).remove([file.location for file in self._done[first:]])
        del self._done[first:]

    def stop(self) -> None:
        """Begin no more work; for after an error."""
        self._pending = []
        for running in self._running:
            running.cancel()

    def close(self, *, remove: bool) -> None:
        """End the thread. `remove` leaves no file: after an error, where no commit names them."""
        self._writing.shutdown(wait=True, cancel_futures=True)
        with suppress(OSError):  # a disk that is full is said already
            self._discard()
        if remove:
            # No commit names them, and where the disk is full they are what fills it.
            self._remove()


def may_go_on(footer: pq.FileMetaData) -> bool:
    """Whether a file that holds one object alone may lack its end: it is full, and does not say that the object ends."""
    return footer.num_rows >= _FILE_ROWS and _ENDS not in (footer.metadata or {})


def partition_of(ingested_at: datetime) -> Record:
    """The partition of what is ingested at a time: bronze's day, in UTC, counted from 1970."""
    return Record((ingested_at.astimezone(UTC).date() - date(1970, 1, 1)).days)
