"""A landed object: one file or one object of a store, as it was when it was listed.

Every read is checked against the listing, so that an object which vanishes, grows or is replaced meanwhile gives an
error and never half of its records.

Names. An object is known by its `uri`: the absolute path of a local file as it is (spaces, quotes, `%2F` and line
breaks included), or `scheme://bucket/key` in a store. Where a local path is not UTF-8, which no table could hold, the
uri is the `file:///` URI of its bytes, percent-encoded (RFC 8089); `path_of` gives the path back.
"""

# ruff: noqa: PTH116
# Plain path strings keep names that are not UTF-8, and cost a tenth of `Path` over 10,000 files.

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote_from_bytes, unquote_to_bytes

from carlake.landing.landed import LandedObject, Unreadable, UnreadableError

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "LandedObject",
    "Unreadable",
    "UnreadableError",
    "check_unchanged",
    "hash_object",
    "hash_stream",
    "is_as_listed",
    "local_object",
    "open_object",
    "path_of",
    "read_object",
    "special",
    "uri_of",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_HASHED_AT_ONCE = 4 << 20
CHANGED = "has changed since it was listed"
RETRY = "It is tried again at the next run."


@contextmanager
def open_object(landed: LandedObject) -> Iterator[BinaryIO]:
    """Open an object for reading: a seekable stream with `read` and `readinto`.

    Raises UnreadableError on opening, on reading, and on leaving (for the reader knows only at the end that what it
    read is whole): where the object has vanished, is no longer what was listed, or cannot be read.
    """
    path = path_of(landed.uri)
    if path is None:
        from carlake.landing import stores  # the store client is loaded only where there is a store

        with stores.open_object(landed) as stream:
            yield stream
        return
    with _LocalFile(landed.uri, path) as file, io.BufferedReader(file) as stream:
        _check(landed, os.fstat(file.fileno()), CHANGED)
        yield stream
        with _naming(landed.uri):
            _check(landed, os.stat(path), "changed while it was read")


def read_object(landed: LandedObject) -> bytes:
    """The whole content of an object that fits in memory, checked as by `open_object` and three times as fast.

    Raises UnreadableError.
    """
    path = path_of(landed.uri)
    if path is None:
        with open_object(landed) as stream:
            return stream.read()
    with _naming(landed.uri):
        descriptor = _open_regular(path, os.O_RDONLY)
        try:
            _check(landed, os.fstat(descriptor), CHANGED)
            # One byte more than there should be: the end is seen by the same call.
            content = os.read(descriptor, landed.size + 1)
            while 0 < len(content) < landed.size and (more := os.read(descriptor, landed.size + 1 - len(content))):
                content += more  # a single read gives 2 GiB at the most
        finally:
            os.close(descriptor)
        _check(landed, os.stat(path), "changed while it was read")
    return content


def check_unchanged(landed: LandedObject) -> None:
    """Raise UnreadableError unless the object is still there as it was listed."""
    path = path_of(landed.uri)
    if path is None:
        from carlake.landing import stores

        stores.check_unchanged(landed)
        return
    with _naming(landed.uri):
        _check(landed, os.stat(path), CHANGED)


def hash_object(landed: LandedObject) -> str:
    """SHA-256 of the object's content, 64 hex digits: its `source_id`. Memory stays bounded. Raises UnreadableError."""
    with open_object(landed) as stream:
        return hash_stream(stream, landed.size)


def hash_stream(stream: BinaryIO, size_hint: int = _HASHED_AT_ONCE) -> str:
    """SHA-256 of what is left in a stream, 64 hex digits."""
    digest = hashlib.sha256()
    # One buffer for the whole stream, and no larger than a small file: fresh memory costs more than reading.
    buffer = memoryview(bytearray(max(1, min(size_hint + 1, _HASHED_AT_ONCE))))
    while count := stream.readinto(buffer):  # type: ignore[attr-defined]  # BinaryIO leaves out what every file has
        digest.update(buffer[:count])
    return digest.hexdigest()


# --- local files ------------------------------------------------------------------------------------------------------


def local_object(path: str, status: os.stat_result) -> LandedObject:
    """The object of a regular file, from its absolute path and `os.stat`."""
    return LandedObject(uri_of(path), status.st_size, _modified_at(status.st_mtime_ns), _version(status))


def is_as_listed(landed: LandedObject, status: os.stat_result) -> bool:
    """Whether a file still has the modification time, inode and size of the listing.

    Not the change time: another run that links the file into the archive moves it, and leaves the content alone.
    """
    as_listed = f"{status.st_mtime_ns}-{status.st_ino}-{status.st_size}-"
    return landed.version.startswith(as_listed) and stat.S_ISREG(status.st_mode)


def uri_of(path: str) -> str:
    """The uri of a local path (absolute, as `os` gives it)."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return "file://" + quote_from_bytes(os.fsencode(path), safe="/")
    return path


def path_of(uri: str) -> str | None:
    """The local path of a uri; None where the object lies in a store."""
    if uri.startswith("/"):
        return uri
    for prefix in ("file:///", "file://localhost/", "file:/"):
        if uri.startswith(prefix):
            return os.fsdecode(unquote_to_bytes("/" + uri.removeprefix(prefix)))
    return None


ONLY_REGULAR = "Remove it, or put the file itself there: only regular files are taken in."


def special(status: os.stat_result) -> str:
    """What a file is that is neither regular nor a folder."""
    for test, name in (
        (stat.S_ISFIFO, "is a pipe (FIFO)"),
        (stat.S_ISSOCK, "is a socket"),
        (stat.S_ISCHR, "is a device"),
        (stat.S_ISBLK, "is a device"),
        (stat.S_ISDIR, "is a folder"),
    ):
        if test(status.st_mode):
            return name
    return "is not a regular file"


def why(error: OSError) -> str:
    """The cause of a file system error, to complete "<uri> ..."."""
    return {
        errno.ENOENT: "has vanished",
        errno.ENOTDIR: "has vanished",
        errno.EACCES: "may not be read: permission denied",
        errno.EPERM: "may not be read: permission denied",
        errno.ELOOP: "is a link that leads back to itself",
        errno.ENAMETOOLONG: "has a path that is too long",
        errno.ENXIO: "is a socket, or a pipe without a writer",
    }.get(error.errno or 0, f"cannot be read: {error.strerror or error}")


def advice(error: OSError) -> str:
    """What to do about a file system error."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"Give this user the right to read it. {RETRY}"
    return RETRY


class _LocalFile(io.FileIO):
    """A local file whose own errors name it; errors of whoever reads it pass by."""

    def __init__(self, uri: str, path: str) -> None:
        self._uri = uri
        with _naming(uri):
            super().__init__(path, "rb", opener=_open_regular)

    def readinto(self, buffer: Buffer, /) -> int:
        with _naming(self._uri):
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with _naming(self._uri):
            return super().readall()


def _open_regular(path: str, flags: int) -> int:
    # Opening a pipe would wait for its writer, and a device may do anything: neither is opened for blocking, nor read.
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise UnreadableError(Unreadable(uri_of(path), special(status), ONLY_REGULAR))
    return descriptor


@contextmanager
def _naming(uri: str) -> Iterator[None]:
    """Turn errors of the file system into errors that name the object."""
    try:
        yield
    except OSError as error:
        vanished = error.errno in (errno.ENOENT, errno.ENOTDIR)
        raise UnreadableError(Unreadable(uri, why(error), advice(error)), vanished=vanished) from error


def _check(landed: LandedObject, status: os.stat_result, change: str) -> None:
    if not is_as_listed(landed, status):
        raise UnreadableError(Unreadable(landed.uri, change, RETRY))


def _version(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns}-{status.st_ino}-{status.st_size}-{status.st_ctime_ns}"


def _modified_at(nanoseconds: int) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:  # a file's time may lie outside the years 1 to 9999
        return _FIRST if nanoseconds < 0 else _LAST
