"""Landing on the embedded engine: records stream once through memory into bronze's files and through the contracts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from carlake.engines.bronze_files import BronzeFiles, partition_of
from carlake.engines.duckdb.stream import ParseStream
from carlake.engines.landed_objects import Contents, identify, read_objects
from carlake.engines.protocol import Identified, Parsed, Reading, Staged
from carlake.engines.snapshots import stage_snapshot
from carlake.landing.landed import LandedObject, UnreadableError
from carlake.tables.table import Table

if TYPE_CHECKING:
    from carlake.engines.duckdb.engine import DuckDBEngine


class DuckDBLanding:
    """See `Landing`: objects are read in this process."""

    def __init__(self, engine: DuckDBEngine, scratch: Path) -> None:
        self._engine = engine
        self._scratch = scratch
        self._contents = Contents()

    def identify(self, objects: Sequence[LandedObject]) -> Identified:
        """See `Landing.identify`. What is small is kept, for `read`."""
        return identify(objects, self._contents)

    def read(
        self, bronze: Table, new: Mapping[str, LandedObject], reading: Reading, progress: Callable[[int], None]
    ) -> DuckDBBatch:
        """See `Landing.read`."""
        batch = DuckDBBatch(self._engine, bronze, reading, self._scratch)
        try:
            batch.read(new, self._contents, progress)
        except BaseException:
            batch.stop()
            batch.close()
            raise
        return batch


class DuckDBBatch:
    """See `LandingBatch`.

    The records' texts are read once: while one thread reads on, another writes bronze's files and the contracts judge on a
    third.
    """

    def __init__(self, engine: DuckDBEngine, bronze: Table, reading: Reading, scratch: Path) -> None:
        self.unread: list[UnreadableError] = []
        self.forgotten = 0
        self._engine = engine
        self._table = bronze
        self._reading = reading
        self._stream = ParseStream(engine)
        self._files = BronzeFiles(
            engine.load(bronze.name),
            bronze,
            reading.ingested_at,
            reading.hints,
            reading.max_record_bytes,
            scratch=scratch,
            feed=self._stream.feed,
            drop=self._stream.drop,
        )
        self._parsed: Parsed | None = None
        self._staged = self._stopped = False

    @property
    def records(self) -> int:
        """How many were read."""
        return self._files.records

    def read(
        self, new: Mapping[str, LandedObject], contents: Mapping[str, bytes], progress: Callable[[int], None]
    ) -> None:
        """Read objects, once."""
        screen = self._reading.screen
        before = screen.forgotten
        self.unread = read_objects(new, self._files, screen, self._reading.max_record_bytes, contents, progress)
        self.forgotten = screen.forgotten - before

    def stage(self, base: int | None, properties: Mapping[str, str]) -> Staged:
        """Bronze's new snapshot on `base`, staged. May be called again on another base if the commit was refused."""
        iceberg = self._engine.load(self._table.name)
        day = partition_of(self._reading.ingested_at)
        files = [file.described(iceberg, day) for file in self._files.finish()]
        rows = sum(file.record_count for file in files)
        staged = stage_snapshot(
            iceberg, self._table.name, files, [], properties, base=base, rows_added=rows, rows_removed=0
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
        self._files.abandon()

    def unstage(self) -> None:
        """Know that no staged snapshot was published: its files may go."""
        self._staged = False

    def stop(self) -> None:
        """Stop work after an error. Files that may be part of a commit of unclear outcome stay, others go with `close`."""
        self._stopped = True
        self._files.stop()
        self._stream.stop()

    def close(self) -> None:
        """End the threads."""
        if self._parsed is None:
            self._stream.stop()
        self._files.close(remove=self._stopped and not self._staged)
        if self._parsed is None:
            self._stream.stop()  # it may have been given its first chunks meanwhile
