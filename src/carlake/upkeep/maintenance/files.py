"""A table's files: what they amount to, where they lie, how they are listed and removed, and the store's own clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable

from carlake.storage.durable import places_of
from carlake.storage.places import Stored as Stored
from carlake.storage.places import is_remote, path_of

# So many files of a store go with one request.
_AT_ONCE = 200


@dataclass(frozen=True)
class DataFiles:
    """Some data files of a table."""

    files: tuple[DataFile, ...]

    @property
    def rows(self) -> int:
        """Their rows."""
        return sum(int(file.record_count) for file in self.files)

    @property
    def size(self) -> int:
        """Their bytes."""
        return sum(int(file.file_size_in_bytes) for file in self.files)


class TableFiles:
    """The files below a table's location, on the local file system or in an object store.

    Paths are as `path` gives them for a location that Iceberg records: `places.path_of`.
    """

    def __init__(self, iceberg: IcebergTable) -> None:
        self._places = places_of(iceberg.io)
        location = iceberg.location()
        self.local = not is_remote(location)
        self.root = self.path(location).rstrip("/")

    def path(self, location: str) -> str:
        """The path of a location that the table's metadata records."""
        return path_of(location)

    def below(self, folder: str) -> Iterator[Stored]:
        """Every file in a folder of the table, sub-folders too; none where there is no such folder. Raises OSError."""
        return self._places.below(f"{self.root}/{folder}")

    def remove(self, path: str) -> bool:
        """Remove a file; False where it was not there, as far as a store tells. Raises OSError."""
        return self._places.remove([path]) > 0

    def remove_all(self, paths: Sequence[str], more_time: Callable[[], bool] = lambda: True) -> tuple[int, bool]:
        """Remove files; how many were there, and whether it came to the end before `more_time` said no. Raises OSError."""
        step = 1 if self.local else _AT_ONCE
        removed = 0
        for first in range(0, len(paths), step):
            if self.local:
                removed += self.remove(paths[first])
            else:
                removed += self._places.remove(paths[first : first + step])
            if not more_time():
                return removed, False
        return removed, True

    def now(self) -> float:
        """The store's clock: a process's own may be wrong, and files are dated by the store's. Raises OSError."""
        if self.local:
            return clock_of(Path(self.root, "metadata"))
        probe = f"{self.root}/metadata/.clock-{uuid4().hex}"
        self._places.write(probe, b"")
        try:
            found = self._places.stat(probe)
            assert found is not None
            return found.modified
        finally:
            self._places.remove([probe])


def clock_of(folder: Path) -> float:
    """The clock of the file system that a folder is on. Raises OSError."""
    probe = folder / f".clock-{uuid4().hex}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)
