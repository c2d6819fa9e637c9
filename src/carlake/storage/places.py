"""Files by location, wherever they lie: on the local file system by plain calls, in object stores by obstore.

A location is what Iceberg records: a bare path, a `file://` URI (not encoded), or `scheme://bucket/key`. One `Places` has
the options of the stores that it reaches; credentials come from the platform's own chain where no option gives them.

A put that returned is durable, and an object is there whole or not at all, so nothing has to be synced in a store.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from carlake.storage.checksums import Digest, check_content, recorded
from carlake.storage.clients import NO_CREDENTIALS, client, lacks_credentials
from carlake.storage.kept import Kept
from carlake.storage.listings import pages

SCHEMES = ("s3", "s3a", "s3n", "gs", "gcs", "az", "azure", "adl", "abfs", "abfss", "wasb", "wasbs", "memory")
"""The schemes of object stores."""

_SAME = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "azure": "az", "adl": "az", "abfs": "az", "abfss": "az"} | {
    "wasb": "az",
    "wasbs": "az",
}
_AT_ONCE = 8 << 20
_DELETED_AT_ONCE = 500
_TRIES = 4
YOUNGEST_ORPHAN_SECONDS = 120.0
"""A file in a store that nothing refers to is never removed while it is younger than this."""
_SURE_SECONDS = YOUNGEST_ORPHAN_SECONDS / 2
_PUT_KNOWN = 10_000


@dataclass(frozen=True)
class Stored:
    """One file in a store; `modified` is seconds since 1970 by the store's clock."""

    path: str
    size: int
    modified: float


def is_remote(location: str) -> bool:
    """Whether a location is one of an object store."""
    scheme, mark, _ = location.partition("://")
    return bool(mark) and scheme in SCHEMES


def path_of(location: str) -> str:
    """A location as listings give it: a bare path, or `scheme://bucket/key` with one scheme for each kind of store."""
    if not is_remote(location):
        return re.sub(r"^file:(?://)?(?=/)", "", location)
    base, key = parts(location)
    return f"{base}/{key}"


def parts(location: str) -> tuple[str, str]:
    """Bucket, as `scheme://name`, and key of a location in a store."""
    url = urlsplit(location.replace("#", "%23").replace("?", "%3F"))
    scheme = _SAME.get(url.scheme, url.scheme)
    # abfss://container@account.dfs.core.windows.net/key: the container is what others call a bucket.
    key = url.path.lstrip("/").replace("%23", "#").replace("%3F", "?")
    return f"{scheme}://{url.netloc.rpartition('@')[0] or url.netloc}", key


class Places:
    """Reads and writes files by location.

    options  of the stores, as obstore names them (`endpoint`, `region`, `access_key_id`, `allow_http` ...)
    Errors are OSError: FileNotFoundError where there is no such file, FileExistsError where one must not be there,
    PermissionError, and StoreError for all else that a store answers.
    """

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        self._options = tuple(sorted((options or {}).items()))

    def _at(self, location: str) -> tuple[Any, str]:
        base, key = parts(location)
        return client(base, self._options), key

    # -- one file ----------------------------------------------------------------------------------------------------

    def read(self, location: str) -> bytes:
        """The whole content."""
        if not is_remote(location):
            return Path(path_of(location)).read_bytes()
        import obstore

        def get() -> bytes:
            store, key = self._at(location)
            return bytes(obstore.get(store, key).bytes())

        content: bytes = _asked(location, get)
        return content

    def read_range(self, location: str, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end`, which it does not hold; fewer where the file ends before."""
        if not is_remote(location):
            with open(path_of(location), "rb", buffering=0) as file:  # noqa: PTH123  (a plain path costs less)
                return os.pread(file.fileno(), end - start, start)
        import obstore

        def get() -> bytes:
            store, key = self._at(location)
            return bytes(obstore.get_range(store, key, start=start, end=end))

        content: bytes = _asked(location, get) if end > start else b""
        return content

    def chunks(self, location: str, size: int | None = None) -> Iterator[bytes]:
        """The whole content in pieces, so that memory does not grow with it; `size`, where it is known."""
        if not is_remote(location):
            with open(path_of(location), "rb", buffering=0) as file:  # noqa: PTH123
                while piece := file.read(_AT_ONCE):
                    yield piece
            return
        if size is None:
            if (found := self.stat(location)) is None:
                raise _gone(location)
            size = found.size
        for start in range(0, size, _AT_ONCE):
            yield self.read_range(location, start, min(start + _AT_ONCE, size))

    def stat(self, location: str) -> Stored | None:
        """Size and time of a file; None where there is none."""
        if not is_remote(location):
            with suppress(FileNotFoundError, NotADirectoryError):
                status = os.stat(path_of(location))  # noqa: PTH116
                return Stored(path_of(location), status.st_size, status.st_mtime)
            return None
        import obstore

        def head() -> Stored:
            store, key = self._at(location)
            found = obstore.head(store, key)
            return Stored(path_of(location), found["size"], found["last_modified"].timestamp())

        with suppress(FileNotFoundError):
            stored: Stored = _asked(location, head)
            return stored
        return None

    def exists(self, location: str) -> bool:
        """Whether there is such a file."""
        return self.stat(location) is not None

    def has(self, location: str) -> bool:
        """Whether there is such a file; one that this process has just put into a store is not asked for again.

        Nothing removes files of a table that are younger than `YOUNGEST_ORPHAN_SECONDS`.
        """
        if (put := _put.get(path_of(location))) is not None and _clock() - put < _SURE_SECONDS:
            return True
        return self.exists(location)

    def write(self, location: str, content: bytes, *, new: bool = False) -> None:
        """Put an object as a whole.

        `new`: raise FileExistsError where it is there with another content, as far as the store can tell. With the same
        one it is this very put, whose answer was lost and which was sent again.
        """
        import obstore
        from obstore.exceptions import NotSupportedError

        def put() -> None:
            store, key = self._at(location)
            try:
                obstore.put(store, key, content, mode="create" if new else "overwrite", use_multipart=False)
            except (NotSupportedError, NotImplementedError):
                obstore.put(store, key, content, use_multipart=False)

        try:
            _asked(location, put)
        except FileExistsError:
            if self.read(location) != content:
                raise

    def upload(self, file: Path, location: str) -> None:
        """Put a local file into a store, in parts where it is large."""
        import obstore

        def put() -> None:
            store, key = self._at(location)
            obstore.put(store, key, file, chunk_size=_AT_ONCE, max_concurrency=4)

        began = _clock()
        _asked(location, put)
        _put[path_of(location)] = began
        while len(_put) > _PUT_KNOWN:
            _put.pop(next(iter(_put)), None)

    def remove(self, locations: Sequence[str]) -> int:
        """Remove files; gives how many were there, as far as the store tells: one that is gone is fine."""
        removed = 0
        remote: dict[str, list[str]] = {}
        for location in locations:
            if is_remote(location):
                _put.pop(path_of(location), None)
                remote.setdefault(parts(location)[0], []).append(location)
                continue
            with suppress(FileNotFoundError):
                os.unlink(path_of(location))  # noqa: PTH108  (thousands at once)
                removed += 1
        for group in remote.values():
            for first in range(0, len(group), _DELETED_AT_ONCE):
                removed += self._delete(group[first : first + _DELETED_AT_ONCE])
        return removed

    def _delete(self, locations: Sequence[str]) -> int:
        import obstore

        store, _ = self._at(locations[0])
        keys = [parts(location)[1] for location in locations]
        try:
            _asked(locations[0], lambda: obstore.delete(store, keys))
        except FileNotFoundError:
            # Some stores refuse the whole for one that is gone.
            for key in keys:
                with suppress(FileNotFoundError):
                    _asked(key, lambda key=key: obstore.delete(store, key))  # type: ignore[misc]
        return len(keys)

    # -- many --------------------------------------------------------------------------------------------------------

    def below(self, folder: str) -> Iterator[Stored]:
        """Every file in a folder, sub-folders too; none where there is no such folder."""
        if not is_remote(folder):
            yield from _walk(path_of(folder))
            return
        store, key = self._at(folder)
        base = parts(folder)[0]
        with _named(folder):
            for page in pages(store, key.rstrip("/"), _may_pass):
                for found in page:
                    yield Stored(f"{base}/{found['path']}", found["size"], found["last_modified"].timestamp())

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder of a store, sorted."""
        import obstore

        store, key = self._at(folder)
        found = _asked(folder, lambda: obstore.list_with_delimiter(store, key.rstrip("/") or None))
        return sorted(str(prefix).rstrip("/").rpartition("/")[2] for prefix in found["common_prefixes"])

    # -- contents that are compared with their names ----------------------------------------------------------------

    def read_checked(self, location: str) -> bytes:
        """A small file that never changes: read once, and compared with the checksum in its name. Raises DamagedError.

        What was read from a store or written to it is kept for a while, for reading it again costs a round trip.
        """
        kept = _kept.get(path_of(location)) if is_remote(location) else None
        if kept is not None:
            return kept
        content = self.read(location)
        check_content(location, content)
        if is_remote(location):
            _kept.put(path_of(location), content)
        return content

    def is_whole(self, location: str, size: int | None = None) -> bool | None:
        """Whether a file's content is what its name says; None where the name holds no checksum."""
        name = recorded(location)
        if name is None:
            return None
        digest = Digest()
        for piece in self.chunks(location, size):
            digest.update(piece)
        return digest.uuid == name

    def download(self, location: str, size: int, to: Path) -> bool | None:
        """Fetch a file of a store; whether its content is what its name says, as `is_whole`."""
        digest = Digest()
        with to.open("wb") as file:
            for piece in self.chunks(location, size):
                file.write(piece)
                digest.update(piece)
        name = recorded(location)
        return None if name is None else digest.uuid == name


def keep(location: str, content: bytes) -> None:
    """Know the content of a file in a store that this process has just written, and that never changes."""
    _kept.put(path_of(location), content)


def forget_kept() -> None:
    """Read every file of a store from there again: for checks of what really lies there."""
    _kept.clear()


_kept = Kept[bytes](32 << 20, largest=2 << 20)

# When this process put which files.
_put: dict[str, float] = {}


def _clock() -> float:
    """Seconds that go on while the machine sleeps, where it has such a clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class StoreError(OSError):
    """A store gave no good answer within the tries; the text names the file."""


def _asked(location: str, ask: Callable[[], Any]) -> Any:
    """What a store answers; asked again a few times where the connection or the store fails. Raises OSError.

    The client itself repeats single requests; what it leaves is an answer that was cut off in its middle.
    """
    import stamina

    with _named(location):
        for attempt in stamina.retry_context(on=_may_pass, attempts=_TRIES, wait_initial=0.1, wait_max=2.0):
            with attempt:
                return ask()
    raise AssertionError


def _may_pass(failure: Exception) -> bool:
    from obstore.exceptions import GenericError

    if not isinstance(failure, GenericError) or lacks_credentials(failure):
        return False
    # The message tells the time that it took, too: any number of three digits may stand in it.
    return not re.search(r"status(?: code)?:? 4\d\d\b", _first_line(failure))


@contextmanager
def _named(location: str) -> Iterator[None]:
    """What obstore raises in here is raised as an OSError that names the file."""
    import obstore.exceptions as failures

    try:
        yield
    except FileNotFoundError:
        raise _gone(location) from None
    except failures.AlreadyExistsError:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), location) from None
    except (failures.PermissionDeniedError, failures.UnauthenticatedError) as failure:
        raise PermissionError(errno.EACCES, f"the store refuses: {_first_line(failure)}", location) from None
    except (failures.BaseError, ValueError) as failure:
        raise StoreError(f"{location} cannot be reached: {_first_line(failure)}") from failure


def _first_line(failure: Exception) -> str:
    if lacks_credentials(failure):
        return NO_CREDENTIALS
    # obstore's errors go on with a dump of its own data; the first line says what happened.
    return (str(failure).splitlines() or [type(failure).__name__])[0].strip().rstrip(".:")


def _gone(location: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path_of(location))


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
