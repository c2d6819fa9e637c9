"""Where a table's files lie: listing, removal, and the store's own clock."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from pyarrow import fs as arrow_fs
from pyiceberg.table import Table as IcebergTable


@dataclass(frozen=True)
class Stored:
    """One file in a store; `modified` is seconds since 1970 by the store's clock."""

    path: str
    size: int
    modified: float


class TableFiles:
    """The files below a table's location, on the local file system or an object store.

    Paths are as `path` gives them for a location that Iceberg records: without the scheme.
    """

    def __init__(self, iceberg: IcebergTable) -> None:
        self._io = iceberg.io
        location = iceberg.location()
        self.local = location.startswith(("/", "file://"))
        self.root = self.path(location).rstrip("/")
        if not self.local:
            scheme, netloc, _ = self._io.parse_location(location, self._io.properties)
            self._fs: arrow_fs.FileSystem = self._io.fs_by_scheme(scheme, netloc)

    def path(self, location: str) -> str:
        """The path of a location that the table's metadata records."""
        if self.local:
            return location.removeprefix("file://")
        path: str = self._io.parse_location(location, self._io.properties)[2]
        return path

    def below(self, folder: str) -> Iterator[Stored]:
        """Every file in a folder of the table, sub-folders too; none where there is no such folder."""
        top = f"{self.root}/{folder}"
        if self.local:
            yield from _walk(top)
            return
        for found in self._fs.get_file_info(arrow_fs.FileSelector(top, recursive=True, allow_not_found=True)):
            if found.type == arrow_fs.FileType.File:
                yield Stored(found.path, found.size, found.mtime.timestamp())

    def remove(self, path: str) -> bool:
        """Remove a file; False where it was not there. Raises OSError."""
        try:
            if self.local:
                os.unlink(path)  # noqa: PTH108  (thousands at once)
            else:
                self._fs.delete_file(path)
        except FileNotFoundError:
            return False
        return True

    def now(self) -> float:
        """The store's clock: a process's own may be wrong, and files are dated by the store's. Raises OSError."""
        probe = f"{self.root}/metadata/.clock-{uuid4().hex}"
        if self.local:
            return clock_of(Path(self.root, "metadata"))
        with self._fs.open_output_stream(probe) as stream:
            stream.write(b"")
        found = self._fs.get_file_info(probe).mtime.timestamp()
        self._fs.delete_file(probe)
        return float(found)


def clock_of(folder: Path) -> float:
    """The clock of the file system that a folder is on. Raises OSError."""
    probe = folder / f".clock-{uuid4().hex}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _walk(folder: str) -> Iterator[Stored]:
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)
        elif entry.is_file(follow_symlinks=False):
            with suppress(FileNotFoundError):  # another process was faster
                status = entry.stat(follow_symlinks=False)
                yield Stored(entry.path, status.st_size, status.st_mtime)
