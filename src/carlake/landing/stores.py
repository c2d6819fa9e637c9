"""Objects in a store (Amazon S3, Google Cloud Storage, Azure Blob Storage), through obstore.

Credentials and endpoints come from the platform's own chain (environment, instance or workload identity), never from
carlake. `memory://name` is a store that lives as long as the process.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import obstore
import obstore.exceptions as failures
from obstore.store import MemoryStore, from_url

from carlake.errors import NotFoundError
from carlake.landing import odd_keys
from carlake.landing.landed import LandedObject, Unreadable, UnreadableError

if TYPE_CHECKING:
    from typing_extensions import Buffer

SCHEMES = ("s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss", "memory")

_RANGE = 8 << 20
_RETRY = "It is tried again at the next run."
_FAILURES = (failures.BaseError, OSError, ValueError)


@contextmanager
def open_object(landed: LandedObject) -> Iterator[BinaryIO]:
    """A seekable stream; each part that is fetched is compared with the version that was listed."""
    with io.BufferedReader(_StoreObject(landed), min(_RANGE, landed.size + 1)) as stream:
        if landed.size == 0:
            check_unchanged(landed)  # nothing will be asked for
        yield stream


def check_unchanged(landed: LandedObject) -> None:
    """Raise UnreadableError unless the object is still there at the version that was listed."""
    now = head(landed.uri)
    if now is None:
        raise UnreadableError(Unreadable(landed.uri, "has vanished", _RETRY), vanished=True)
    if now.version != landed.version:
        raise UnreadableError(Unreadable(landed.uri, "has changed since it was listed", _RETRY))


def head(uri: str) -> LandedObject | None:
    """The object at a uri, None if there is none. Raises UnreadableError."""
    base, key = split(uri)
    try:
        return _object(base, obstore.head(store(base), key))
    except FileNotFoundError:
        return None
    except _FAILURES as failure:
        raise unreadable(uri, failure) from failure


def under(uri: str) -> tuple[list[LandedObject], list[Unreadable]]:
    """All objects below a prefix, which ends at a `/` whether or not it is written; and those whose key is no path.

    Raises NotFoundError where there is no such bucket, and UnreadableError.
    """
    base, key = split(uri)
    found: dict[str, LandedObject] = {}
    odd: list[Unreadable] = []
    folders = [key.rstrip("/")]
    try:
        client = store(base)
        while folders:
            _list_folder(client, base, folders.pop(), folders, found, odd)
        return sorted(found.values(), key=lambda landed: landed.uri), odd
    except _FAILURES as failure:
        # A prefix without objects is an empty list, so what is not found is the bucket.
        if isinstance(failure, FileNotFoundError) or _status(failure) == "404":
            raise NotFoundError(f"There is no bucket {base}.", "Check its name, region and endpoint.") from failure
        raise unreadable(uri, failure) from failure


def _list_folder(
    client: Any,
    base: str,
    folder: str,
    folders: list[str],
    found: dict[str, LandedObject],
    odd: list[Unreadable],
) -> None:
    """List a folder with all below it; where a key in it is no path, folder by folder, and on behind that key."""
    behind: str | None = None
    while True:
        try:
            for page in obstore.list(client, folder or None, offset=behind):
                found.update((meta["path"], _object(base, meta)) for meta in page)
            return
        except failures.InvalidPathError as failure:
            key = odd_keys.odd_key(failure)
            if key is None:
                raise
            if behind is None and _list_level(client, base, folder, folders, found):
                return
            advice = "Rename it. Objects whose keys sort just before it may be hidden with it until then."
            odd.append(Unreadable(f"{base}/{key}", f"cannot be read: its key is no path: {key!r}", advice))
            before, behind = behind, odd_keys.behind(key)
            if before is not None and behind <= before:
                raise
            if (there := head(f"{base}/{behind}")) is not None:
                found[behind] = there


def _list_level(client: Any, base: str, folder: str, folders: list[str], found: dict[str, LandedObject]) -> bool:
    """List a folder's own objects, and note its folders; false where one of these names is no path."""
    try:
        level = obstore.list_with_delimiter(client, folder or None)
    except failures.InvalidPathError:
        return False
    found.update((meta["path"], _object(base, meta)) for meta in level["objects"])
    folders += [str(prefix) for prefix in level["common_prefixes"]]
    return True


def copy(uri: str, to: str) -> None:
    """Copy within one store; an object that is there already is kept where the store can tell. Raises UnreadableError."""
    base, key = split(uri)
    target = split(to)[1]
    try:
        try:
            obstore.copy(store(base), key, target, overwrite=False)
        except failures.AlreadyExistsError:
            return
        except (failures.NotSupportedError, NotImplementedError):
            obstore.copy(store(base), key, target)
    except _FAILURES as failure:
        raise unreadable(uri, failure) from failure


def delete(uri: str) -> None:
    """Delete an object; one that is gone is fine. Raises UnreadableError."""
    base, key = split(uri)
    try:
        obstore.delete(store(base), key)
    except FileNotFoundError:
        return
    except _FAILURES as failure:
        raise unreadable(uri, failure) from failure


def split(uri: str) -> tuple[str, str]:
    """`scheme://bucket` and the key."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", key


@functools.lru_cache(maxsize=64)
def store(base: str) -> Any:
    """The client for one bucket. Raises obstore's errors where it cannot be made."""
    return MemoryStore() if base.startswith("memory://") else from_url(base)


def unreadable(uri: str, failure: Exception) -> UnreadableError:
    """The error that names the object, from one of the store's own."""
    if isinstance(failure, FileNotFoundError):
        return UnreadableError(Unreadable(uri, "has vanished", _RETRY), vanished=True)
    denied = isinstance(failure, failures.PermissionDeniedError | failures.UnauthenticatedError | PermissionError)
    if denied or _status(failure) in ("401", "403"):
        advice = f"Give these credentials the right to list, read and delete there. {_RETRY}"
        return UnreadableError(Unreadable(uri, "cannot be reached: permission denied", advice))
    # obstore's errors go on with a dump of its own data; the first line says what happened.
    cause = (str(failure).splitlines() or [type(failure).__name__])[0].strip().rstrip(".:")
    return UnreadableError(Unreadable(uri, f"cannot be reached: {cause}", f"Check access to the store. {_RETRY}"))


def _status(failure: Exception) -> str:
    """The HTTP status in a failure that obstore gives no class of its own, "" if there is none."""
    found = re.search(r"status code: (\d{3})", str(failure))
    return found[1] if found else ""


def _object(base: str, meta: Any) -> LandedObject:
    # Azure's listing leaves out the quotes that its other answers have around an ETag.
    e_tag = (meta["e_tag"] or "").removeprefix("W/").strip('"')
    version = e_tag or f"{meta['last_modified'].isoformat()}-{meta['size']}"
    return LandedObject(f"{base}/{meta['path']}", meta["size"], meta["last_modified"], version)


class _StoreObject(io.RawIOBase):
    """An object read range by range."""

    def __init__(self, landed: LandedObject) -> None:
        self._landed = landed
        base, self._key = split(landed.uri)
        self._at = 0
        try:
            self._store = store(base)
        except _FAILURES as failure:
            raise unreadable(landed.uri, failure) from failure

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._landed.size}[whence]
        if start + offset < 0:
            raise ValueError("negative seek position")
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Buffer, /) -> int:
        target = memoryview(buffer).cast("B")
        end = min(self._at + len(target), self._landed.size)
        if end <= self._at:
            return 0
        try:
            answer = obstore.get(self._store, self._key, options={"range": (self._at, end)})
            content = answer.bytes()
        except _FAILURES as failure:
            raise unreadable(self._landed.uri, failure) from failure
        # Compared here and not asked for by If-Match, which not every store knows.
        if _object("", answer.meta).version != self._landed.version:
            raise UnreadableError(Unreadable(self._landed.uri, "changed while it was read", _RETRY))
        target[: len(content)] = memoryview(content)
        self._at += len(content)
        return len(content)
