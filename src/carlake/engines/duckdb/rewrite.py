"""Data files written anew: small ones merged, or cut down to what shall stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pyiceberg.manifest import DataFile

from carlake.engines.manifests import live_files
from carlake.engines.protocol import Staged
from carlake.engines.snapshots import stage_snapshot
from carlake.errors import CommitRefusedError
from carlake.tables.table import Table

if TYPE_CHECKING:
    from carlake.engines.duckdb.engine import DuckDBEngine


class Rewriting:
    """Some data files of a table, written anew. Nothing is visible until what `stage` gives is committed.

    rows_before, rows_after    rows of the files that go and of those that come
    bytes_before, bytes_after  their sizes
    """

    def __init__(
        self,
        engine: DuckDBEngine,
        table: Table,
        base: int,
        locations: Sequence[str],
        select: str = "SELECT * FROM {rows}",
    ) -> None:
        """Write the rows of the data files at `locations`, live in snapshot `base`, as `select` gives them.

        Raises CommitRefusedError where one of the files is not live there.
        """
        self.engine = engine
        self.table = table
        self._gone = self._live(base, locations)
        iceberg = engine.load(table.name)
        engine.check(self._gone, iceberg)  # Or a flipped bit would get a file with a good checksum.
        rows = engine.view(engine.files(table, self._gone, iceberg))
        # What has no order of its own gets its key's, so that the bounds of its files and row groups tell keys apart.
        ordered = replace(table, sort=table.sort or table.key)
        self._new = engine.write(ordered, iceberg, engine.view(select.replace("{rows}", rows)))
        self.rows_before = sum(int(file.record_count) for file in self._gone)
        self.rows_after = sum(int(file.record_count) for file in self._new)
        self.bytes_before = sum(int(file.file_size_in_bytes) for file in self._gone)
        self.bytes_after = sum(int(file.file_size_in_bytes) for file in self._new)

    @property
    def files_after(self) -> int:
        """Number of files that come."""
        return len(self._new)

    def stage(self, base: int, properties: Mapping[str, str]) -> Staged:
        """The snapshot on `base` that has the new files in place of the old ones.

        May be called again on another base: what was written stands as long as the old files are live there, whatever
        else was committed meanwhile. Raises CommitRefusedError where one of them is not.
        """
        gone = self._live(base, [file.file_path for file in self._gone])
        return stage_snapshot(
            self.engine.load(self.table.name),
            self.table.name,
            self._new,
            gone,
            properties,
            base=base,
            rows_added=self.rows_after,
            rows_removed=self.rows_before,
        )

    def abandon(self) -> None:
        """Remove what was written; only where no commit of it was tried, or all were surely refused."""
        self.engine.remove_files([file.file_path for file in self._new])

    def _live(self, base: int, locations: Sequence[str]) -> list[DataFile]:
        live = {file.file_path: file for file in live_files(self.engine.load(self.table.name), base)}
        missing = [location for location in locations if location not in live]
        if missing:
            raise CommitRefusedError(
                f"Table {self.table.name} was changed while its files were written anew: {missing[0]} is not in "
                f"snapshot {base} any more."
            )
        return [live[location] for location in locations]
