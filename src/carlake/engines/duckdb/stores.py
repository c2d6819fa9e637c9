"""Data files of an object store, as DuckDB reads them: by URL, through a file system of this process.

DuckDB asks for ranges: the footer, then the column chunks that a query needs, neighbours at once; it keeps what it has
fetched within its memory limit (its external file cache) and footers by its metadata cache. Sizes come from manifests,
and a data file never changes, so opening one costs no request. A small file is fetched at once, and kept: what this
process has just written is not fetched at all.

The interface is fsspec's (https://filesystem-spec.readthedocs.io), as far as DuckDB calls it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem  # type: ignore[import-untyped]
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile

from carlake.storage.checksums import damaged
from carlake.storage.durable import places_of
from carlake.storage.places import SCHEMES, Places, is_remote, path_of
from carlake.storage.store_files import RangeReader

# A file up to this size is fetched whole: a range of it would cost as long.
_WHOLE = 512 << 10
_UNCHANGING = datetime(1970, 1, 1, tzinfo=UTC)


class StoreFiles(AbstractFileSystem):  # type: ignore[misc]
    """The data files that were named to it, and no other, to be read."""

    protocol = SCHEMES
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, tuple[int, Places]] = {}
        self._fetched: dict[str, Path] = {}

    def know(self, files: Iterable[DataFile], file_io: FileIO) -> None:
        """Let these files be read, as those of a table whose files `file_io` reaches; local ones need it not."""
        places = places_of(file_io)
        self._known.update(
            (file.file_path, (file.file_size_in_bytes, places)) for file in files if is_remote(file.file_path)
        )

    def know_at(self, location: str, size: int, places: Places) -> None:
        """Let a file be read that no manifest describes."""
        self._known[location] = (size, places)

    def fetch(self, location: str, scratch: Path) -> None:
        """Fetch a file whole into `scratch`, to be read from there: for one whose rows are all carried over.

        Raises DamagedError where its content is not what its name says, OSError.
        """
        size, places = self._known[location]
        if size <= _WHOLE:
            places.read_checked(location)
        elif location not in self._fetched:
            local = scratch / f"fetched-{len(self._fetched)}-{path_of(location).rpartition('/')[2]}"
            self._fetched[location] = local
            if places.download(location, size, local) is False:
                local.unlink()
                raise damaged(location)

    def forget(self) -> None:
        """Forget every file, and remove those that were fetched."""
        self._known.clear()
        for local in self._fetched.values():
            local.unlink(missing_ok=True)
        self._fetched.clear()

    # -- what DuckDB calls -------------------------------------------------------------------------------------------

    def glob(self, path: str, **_: Any) -> list[str]:
        """The file itself: patterns are nobody's here. A name with `*?[` in it comes with those in brackets."""
        plain = _unescaped(path)
        return [plain] if plain in self._known else []

    def exists(self, path: str, **_: Any) -> bool:
        """Whether the file was named."""
        return _unescaped(path) in self._known

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Its size."""
        if path not in self._known:
            raise FileNotFoundError(path)
        return {"name": path, "size": self._known[path][0], "type": "file"}

    def modified(self, path: str) -> datetime:
        """Always the same: its name changes with its content."""
        return _UNCHANGING

    def open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        """A stream to read."""
        if path not in self._known or "r" not in mode:
            raise FileNotFoundError(path)
        size, places = self._known[path]
        if path in self._fetched:
            return RangeReader(str(self._fetched[path]), size, places)
        return _Small(path, size, places) if size <= _WHOLE else RangeReader(path, size, places)


class _Small(RangeReader):
    """A small file: fetched whole when the first of it is needed."""

    def _range(self, start: int, end: int) -> bytes:
        return self._places.read_checked(self.location)[start:end]


def _unescaped(path: str) -> str:
    """A path as it was before it was written for DuckDB's readers, which take `*?[` for wildcards."""
    for mark in "*?[":
        path = path.replace(f"[{mark}]", mark)
    return path
