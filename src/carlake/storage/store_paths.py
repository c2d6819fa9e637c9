"""A file or folder of an object store, looked at as `pathlib.Path` lets one look at local ones: what checks of a lake need."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import total_ordering
from pathlib import Path

from carlake.storage.places import Places, Stored, is_remote, path_of
from carlake.storage.store_files import RangeReader


@total_ordering
@dataclass(frozen=True)
class StorePath:
    """One place in a store, by its location. Equal where the location is.

    listed  what a listing said of it
    """

    location: str
    places: Places = field(default_factory=Places, compare=False, repr=False)
    listed: Stored | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return self.location

    def __lt__(self, other: StorePath) -> bool:
        return self.location < other.location

    def __truediv__(self, name: str) -> StorePath:
        return StorePath(f"{self.location.rstrip('/')}/{name}", self.places)

    @property
    def name(self) -> str:
        """The last part."""
        return self.location.rstrip("/").rpartition("/")[2]

    @property
    def size(self) -> int:
        """In bytes. Raises FileNotFoundError, OSError."""
        return self._stored().size

    @property
    def modified(self) -> float:
        """Seconds since 1970 by the store's clock. Raises FileNotFoundError, OSError."""
        return self._stored().modified

    def exists(self) -> bool:
        """Whether there is such a file."""
        return self.places.exists(self.location)

    def read_bytes(self) -> bytes:
        """The whole content. Raises FileNotFoundError, OSError."""
        return self.places.read(self.location)

    def opened(self) -> io.BufferedReader:
        """The file, to read ranges of it. Raises FileNotFoundError, OSError."""
        return io.BufferedReader(RangeReader(self.location, self.size, self.places), 1 << 20)

    def below(self, pattern: str) -> Iterator[StorePath]:
        """The files in the folder and its sub-folders whose names match."""
        for found in self.places.below(self.location):
            if fnmatchcase(found.path.rpartition("/")[2], pattern):
                yield StorePath(found.path, self.places, found)

    def _stored(self) -> Stored:
        found = self.listed or self.places.stat(self.location)
        if found is None:
            raise FileNotFoundError(2, "No such file or directory", self.location)
        return found


AnyPath = Path | StorePath
"""A file or folder of a lake, wherever it lies."""


def any_path(location: str, places: Places) -> AnyPath:
    """The file that an Iceberg location names."""
    return StorePath(path_of(location), places) if is_remote(location) else Path(path_of(location))


def size_of(path: AnyPath) -> int:
    """The size of a file in bytes. Raises FileNotFoundError, OSError."""
    return path.size if isinstance(path, StorePath) else path.stat().st_size


def modified_at(path: AnyPath) -> float:
    """When a file was written, in seconds since 1970. Raises FileNotFoundError, OSError."""
    return path.modified if isinstance(path, StorePath) else path.stat().st_mtime


def named_below(folder: AnyPath, pattern: str) -> list[AnyPath]:
    """The files in a folder and its sub-folders whose names match, sorted."""
    if isinstance(folder, StorePath):
        return [*sorted(folder.below(pattern))]
    return [*sorted(folder.rglob(pattern))]


def is_whole(path: AnyPath) -> bool | None:
    """Whether a file's content is what its name says; None where the name holds no checksum. Raises OSError."""
    if isinstance(path, StorePath):
        return path.places.is_whole(path.location)
    return Places().is_whole(str(path))


def parquet(path: AnyPath) -> str | io.BufferedReader:
    """What pyarrow opens a Parquet file by."""
    return path.opened() if isinstance(path, StorePath) else str(path)
