"""New data files: written on this machine, named by their content, and put where the table lies."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.typedef import Record

from carlake.engines.data_files import described, local_path
from carlake.storage.checksums import seal
from carlake.storage.durable import places_of, settle_later
from carlake.storage.places import is_remote, keep

_KEPT_BYTES = 512 << 10


@dataclass(frozen=True)
class WrittenFile:
    """A data file that is complete where the table lies, and that no snapshot names yet."""

    location: str
    size: int
    footer: pq.FileMetaData

    def described(self, iceberg: IcebergTable, partition: Record) -> DataFile:
        """As a manifest has it."""
        return described(iceberg, self.location, self.size, self.footer, partition)


class NewFile:
    """A Parquet file on its way: it is written to `path`, and `finish` puts it in its place.

    iceberg  its table
    folders  of its partition, below the table's data
    scratch  where it is written if the table lies in a store; by default this machine's folder for temporary files
    named    what is in its name beside the checksum and a random part
    """

    def __init__(
        self, iceberg: IcebergTable, folders: Sequence[str], scratch: Path | None = None, named: str = ""
    ) -> None:
        self._iceberg = iceberg
        self._folder = "/".join([iceberg.location().rstrip("/"), "data", *(f.replace("/", "_") for f in folders)])
        self._remote = is_remote(self._folder)
        where = Path(scratch or tempfile.gettempdir()) if self._remote else Path(local_path(self._folder))
        where.mkdir(parents=True, exist_ok=True)
        self.path = where / f"{named}{uuid.uuid4().hex[:12]}.parquet"

    def finish(self) -> WrittenFile:
        """Name the file, which is closed, by its content, and put it in its place. Raises OSError."""
        self.path = seal(self.path)
        size, footer = self.path.stat().st_size, pq.read_metadata(self.path)
        location = f"{self._folder}/{self.path.name}"
        if self._remote:
            places_of(self._iceberg.io).upload(self.path, location)
            if size <= _KEPT_BYTES:
                keep(location, self.path.read_bytes())  # what is small is often read by the next run, or by this one
            self.path.unlink()
        else:
            settle_later(self.path)
        return WrittenFile(location, size, footer)

    def discard(self) -> None:
        """Remove what was written on this machine, closed or not."""
        self.path.unlink(missing_ok=True)
