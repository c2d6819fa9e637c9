"""Objects in a store (Amazon S3, Google Cloud Storage, Azure Blob Storage), through obstore.

Options are those of `store_clients.use`; credentials come from the platform's own chain if not from them. What a store
answers with a fault is asked again: single requests by the client, answers that break off in their middle here, both a
bounded number of times and with jitter. `memory://name` is a store that lives as long as the process.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import obstore
import obstore.exceptions as failures
import stamina

from carlake.landing import odd_keys
from carlake.landing.landed import LandedObject, Unreadable, UnreadableError
from carlake.storage.clients import CREDENTIALS_ADVICE, NO_CREDENTIALS, client, lacks_credentials, options_for

if TYPE_CHECKING:
    from typing_extensions import Buffer

SCHEMES = ("s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss", "memory")
MODIFIED = "carlake-modified"
"""Metadata of an archived object: the modification time that it was landed with, for a store has only its own."""

Given = TypeVar("Given")
Answer = TypeVar("Answer")

_ARCHIVED = re.compile(r"/\d{4}-\d{2}-\d{2}/[0-9a-f]{64}/[^/]+$")
_RANGE = 8 << 20
_TRIES = 5
_FIRST_WAIT_SECONDS = 0.05
_RETRY = "It is tried again at the next run."
RENAME = "Rename it."
FAILURES = (failures.BaseError, OSError, ValueError)
"""What obstore raises."""


def store(base: str) -> Any:
    """The client for one bucket. Raises obstore's errors where it cannot be made."""
    return client(base, options_for(base))


def patiently(ask: Callable[[], Answer]) -> Answer:
    """What a store answers, asked a few times where the answer broke off. Raises what obstore does."""
    for attempt in stamina.retry_context(
        on=may_pass, attempts=_TRIES, wait_initial=2 * _FIRST_WAIT_SECONDS, wait_max=2.0
    ):
        with attempt:
            return ask()
    raise AssertionError  # the last attempt raises


def may_pass(failure: Exception) -> bool:
    """Whether a failure is one of the connection; a single request that was refused was repeated by the client."""
    return isinstance(failure, failures.GenericError) and not status_of(failure) and not lacks_credentials(failure)


@contextmanager
def open_object(landed: LandedObject) -> Iterator[BinaryIO]:
    """A seekable stream; each part that is fetched is compared with the version that was listed."""
    with io.BufferedReader(_StoreObject(landed), min(_RANGE, landed.size + 1)) as stream:
        if landed.size == 0:
            check_unchanged(landed)  # nothing will be asked for
        yield stream


def check_unchanged(landed: LandedObject) -> None:
    """Raise UnreadableError unless the object is still there at the version that was listed."""
    now = head(landed.uri, landed.version_id)
    if now is None:
        raise UnreadableError(Unreadable(landed.uri, "has vanished", _RETRY), vanished=True)
    if now.version != landed.version:
        raise UnreadableError(Unreadable(landed.uri, "has changed since it was listed", _RETRY))


def head(uri: str, version_id: str = "") -> LandedObject | None:
    """The object at a uri, or one of its versions; None if there is none. Raises UnreadableError."""
    base, key = split(uri)
    try:
        if version_id:
            asked: Any = {"version": version_id, "head": True}
            meta = patiently(lambda: obstore.get(store(base), key, options=asked).meta)
            return replace(as_landed(base, meta), version_id=version_id)
        return as_landed(base, patiently(lambda: obstore.head(store(base), key)))
    except FileNotFoundError:
        return None
    except FAILURES as failure:
        raise unreadable(uri, failure) from failure


def fetch(uri: str, version_id: str = "") -> tuple[bytes, LandedObject, str]:
    """The whole content of an object, or of one of its versions; what it is; and its version ("" if it has none).

    Raises UnreadableError.
    """
    base, key = split(uri)

    def get() -> tuple[bytes, LandedObject, str]:
        answer = obstore.get(store(base), key, options={"version": version_id} if version_id else None)
        return bytes(answer.bytes()), as_landed(base, answer.meta), version_in(answer.meta)

    try:
        return patiently(get)
    except FAILURES as failure:
        raise unreadable(uri, failure) from failure


def download(uri: str, path: Path, version_id: str = "") -> None:
    """Put the content of an object, or of one of its versions, into a local file. Raises UnreadableError, OSError."""
    base, key = split(uri)

    def get() -> None:
        with path.open("wb") as file:
            for piece in obstore.get(store(base), key, options={"version": version_id} if version_id else None):
                file.write(piece)

    try:
        patiently(get)
    except FAILURES as failure:
        raise unreadable(uri, failure) from failure


def metadata(uri: str) -> dict[str, str]:
    """What was noted with an object when it was put. Raises UnreadableError."""
    base, key = split(uri)
    try:
        answer = patiently(lambda: obstore.get(store(base), key, options={"head": True}))
    except FAILURES as failure:
        raise unreadable(uri, failure) from failure
    return {str(name): str(value) for name, value in answer.attributes.items()}


def as_first_landed(objects: Iterable[LandedObject]) -> list[LandedObject | Unreadable]:
    """Of objects those that lie in an archive, each with the modification time that it was landed with."""

    def one(landed: LandedObject) -> LandedObject | Unreadable:
        try:
            text = metadata(landed.uri).get(MODIFIED)
            return replace(landed, modified_at=datetime.fromisoformat(text)) if text else landed
        except UnreadableError as error:
            return error.unreadable
        except ValueError:
            return landed  # somebody else's note

    return at_once(one, [landed for landed in objects if _ARCHIVED.search(landed.uri)])


def at_once(work: Callable[[Given], Answer], items: Sequence[Given], most: int = 16) -> list[Answer]:
    """Do the same with many objects, several at a time: what takes the time is waiting for the store."""
    if len(items) < 2:
        return [work(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(most, len(items)), thread_name_prefix="carlake-store") as pool:
        return list(pool.map(work, items))


def put_new(uri: str, content: bytes, modified_at: str = "") -> str | None:
    """Put an object where there is none; gives its ETag, None where there is one. Raises UnreadableError.

    An answer that was lost looks as if there was one: whoever asks has to look at what is there.
    """
    base, key = split(uri)
    attributes = {MODIFIED: modified_at} if modified_at else None
    try:
        done = patiently(lambda: obstore.put(store(base), key, content, attributes=attributes, mode="create"))
    except failures.AlreadyExistsError:
        return None
    except FileNotFoundError as failure:
        why = f"cannot be put: there is no bucket {base}"
        raise UnreadableError(Unreadable(uri, why, "Check its name, region and endpoint.")) from failure
    except FAILURES as failure:
        raise unreadable(uri, failure) from failure
    return (done["e_tag"] or "").strip('"')


def put(uri: str, content: BinaryIO | bytes, modified_at: str = "") -> None:
    """Put an object, in parts where it is large. Raises UnreadableError."""
    base, key = split(uri)
    attributes = {MODIFIED: modified_at} if modified_at else None
    try:
        obstore.put(store(base), key, content, attributes=attributes)
    except FileNotFoundError as failure:
        why = f"cannot be put: there is no bucket {base}"
        raise UnreadableError(Unreadable(uri, why, "Check its name, region and endpoint.")) from failure
    except FAILURES as failure:
        raise unreadable(uri, failure) from failure


def delete(uri: str) -> None:
    """Delete an object; one that is gone is fine. Raises UnreadableError."""
    base, key = split(uri)
    try:
        patiently(lambda: obstore.delete(store(base), key))
    except FileNotFoundError:
        return
    except FAILURES as failure:
        raise unreadable(uri, failure) from failure


def split(uri: str) -> tuple[str, str]:
    """`scheme://bucket` and the key."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", key


def unreadable(uri: str, failure: Exception) -> UnreadableError:
    """The error that names the object, from one of the store's own."""
    if isinstance(failure, FileNotFoundError):
        return _missing(uri)
    if lacks_credentials(failure):
        return UnreadableError(
            Unreadable(uri, f"cannot be reached: {NO_CREDENTIALS}", f"{CREDENTIALS_ADVICE} {_RETRY}")
        )
    denied = isinstance(failure, failures.PermissionDeniedError | failures.UnauthenticatedError | PermissionError)
    if denied or status_of(failure) in ("401", "403"):
        advice = f"Give these credentials the right to list, read and delete there. {_RETRY}"
        return UnreadableError(Unreadable(uri, "cannot be reached: permission denied", advice))
    # obstore's errors go on with a dump of its own data; the first line says what happened.
    cause = (str(failure).splitlines() or [type(failure).__name__])[0].strip().rstrip(".:")
    return UnreadableError(Unreadable(uri, f"cannot be reached: {cause}", f"Check access to the store. {_RETRY}"))


def _missing(uri: str) -> UnreadableError:
    base, key = split(uri)
    if odd_keys.is_slashed(base, key):
        return UnreadableError(Unreadable(uri, f"cannot be read: its key ends in a slash: {key + '/'!r}", RENAME))
    return UnreadableError(Unreadable(uri, "has vanished", _RETRY), vanished=True)


def status_of(failure: Exception) -> str:
    """The HTTP status in a failure that obstore gives no class of its own, "" if there is none."""
    found = re.search(r"status code: (\d{3})", str(failure))
    return found[1] if found else ""


def as_landed(base: str, meta: Any) -> LandedObject:
    """What is known of an object, from obstore's."""
    # Azure's listing leaves out the quotes that its other answers have around an ETag.
    e_tag = (meta["e_tag"] or "").removeprefix("W/").strip('"')
    version = e_tag or f"{meta['last_modified'].isoformat()}-{meta['size']}"
    return LandedObject(f"{base}/{meta['path']}", meta["size"], meta["last_modified"], version)


def version_in(meta: Any) -> str:
    """The version's id in what obstore knows of an object, "" where the bucket keeps none."""
    version_id = meta.get("version") or ""
    return "" if version_id == "null" else version_id


class _StoreObject(io.RawIOBase):
    """An object read range by range."""

    def __init__(self, landed: LandedObject) -> None:
        self._landed = landed
        base, self._key = split(landed.uri)
        self._at = 0
        try:
            self._store = store(base)
        except FAILURES as failure:
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
        content = _range_of(self._landed, self._store, self._key, self._at, end)
        target[: len(content)] = memoryview(content)
        self._at += len(content)
        return len(content)


def read_range(landed: LandedObject, start: int, end: int) -> bytes:
    """A part of an object, compared with the version that was listed. Raises UnreadableError."""
    base, key = split(landed.uri)
    return bytes(_range_of(landed, store(base), key, start, end))


def _range_of(landed: LandedObject, client: Any, key: str, start: int, end: int) -> Any:
    options: Any = {"range": (start, end)} | ({"version": landed.version_id} if landed.version_id else {})

    def get() -> tuple[Any, Any]:
        answer = obstore.get(client, key, options=options)
        return answer.bytes(), answer.meta

    try:
        content, meta = patiently(get)
    except FAILURES as failure:
        raise unreadable(landed.uri, failure) from failure
    # Compared here and not asked for by If-Match, which not every store knows.
    if as_landed("", meta).version != landed.version:
        raise UnreadableError(Unreadable(landed.uri, "changed while it was read", _RETRY))
    return content
