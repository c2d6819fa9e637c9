"""Landed objects are read: once for their content's hash, once for their records; small ones once for both.

The same code runs in the process of the embedded engine and in Spark's workers, so that both see the same records and
say the same of an object that cannot be read.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial

import pyarrow as pa

from carlake.engines.bronze_files import BronzeFiles
from carlake.engines.protocol import Identified, Source
from carlake.errors import CarlakeError, ReadError
from carlake.landing.archived import is_own
from carlake.landing.forgotten import MARK, Screen
from carlake.landing.landed import recorded
from carlake.landing.objects import (
    LandedObject,
    Unreadable,
    UnreadableError,
    hash_object,
    open_object,
    path_of,
    read_object,
)
from carlake.landing.records import BATCH_BYTES, BATCH_RECORDS, lone_record, lone_records, split
from carlake.landing.rewriting import original_id

_READ_TOGETHER = 64
_SMALL_BYTES = 1 << 20
KEPT_BYTES = 64 << 20


class Contents(dict[str, bytes]):
    """Contents of small objects by uri, read once for hash and records; no more of them than memory should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def has_room(self, landed: LandedObject, taken: int = 0) -> bool:
        """Whether the object's content may be kept beside those that are, and `taken` bytes that will be."""
        return landed.size <= _SMALL_BYTES and self.size + taken + landed.size <= KEPT_BYTES

    def keep(self, uri: str, content: bytes) -> None:
        """Keep a content."""
        self[uri] = content
        self.size += len(content)


def identify(objects: Iterable[LandedObject], contents: Contents | None = None) -> Identified:
    """Hash every object; `contents` keeps what is small, to be read no more. Objects of a store are read several at once."""
    found = Identified()
    for group in _groups(objects):
        for landed, answer in zip(group, _hashes(group, contents), strict=True):
            if isinstance(answer, UnreadableError):
                found.unread.append(answer)
            else:
                found.ids[landed.uri] = answer
    return found


def _groups(objects: Iterable[LandedObject]) -> Iterator[list[LandedObject]]:
    """The objects in their order: a local file alone, those of stores together."""
    group: list[LandedObject] = []
    for landed in objects:
        if path_of(landed.uri) is None:
            group.append(landed)
            if len(group) < _READ_TOGETHER:
                continue
        elif group:
            yield group
            group = []
        yield group or [landed]
        group = []
    if group:
        yield group


def _hashes(group: list[LandedObject], contents: Contents | None) -> list[str | UnreadableError]:
    """The source id of each object, or why it cannot be had."""
    kept: list[bool] = []
    room = 0
    for landed in group:
        keep = contents is not None and contents.has_room(landed, room)
        room += landed.size if keep else 0
        kept.append(keep)

    def one(at: int) -> str | UnreadableError:
        landed = group[at]
        try:
            if not kept[at] or contents is None:
                return original_id(landed.uri, hash_object(landed))
            content = read_object(landed)
            contents.keep(landed.uri, content)
            return original_id(landed.uri, hashlib.sha256(content).hexdigest())
        except UnreadableError as error:
            return error

    if len(group) == 1:
        return [one(0)]
    from carlake.landing.stores import at_once

    return at_once(one, range(len(group)))


def read_objects(
    new: Mapping[str, LandedObject],
    files: BronzeFiles,
    screen: Screen,
    max_record_bytes: int,
    contents: Mapping[str, bytes],
    progress: Callable[[int], None],
) -> list[UnreadableError]:
    """Take the records of objects, by their source ids, into bronze's files; gives what could not be read.

    An object that breaks off leaves no row. `progress` is called with the bytes of each object.
    """
    unread: list[UnreadableError] = []
    lone = _Lone(files, screen, max_record_bytes)
    for source_id, landed in new.items():
        forgotten = screen.forgotten
        source = Source(
            recorded(screen.name(landed.uri), landed.version_id), source_id, landed.size, landed.modified_at
        )
        try:
            if not lone.take(source, contents.get(landed.uri)):
                own = cache(partial(is_own, landed.uri, partial(_content_hash, landed, contents)))
                files.add(source, (screen(batch, own) for batch in _records(landed, contents, max_record_bytes)))
        except UnreadableError as error:
            screen.forgotten = forgotten
            unread.append(error)
        progress(landed.size)
    lone.flush()
    return unread


def _content_hash(landed: LandedObject, contents: Mapping[str, bytes]) -> str:
    content = contents.get(landed.uri)
    return hash_object(landed) if content is None else hashlib.sha256(content).hexdigest()


class _Lone:
    """Objects of one record each, gathered: a batch of rows for each alone would cost ten times as much."""

    def __init__(self, files: BronzeFiles, screen: Screen, max_record_bytes: int) -> None:
        self._files, self._screen, self._limit = files, screen, max_record_bytes
        self._sources: list[Source] = []
        self._records: list[bytes] = []
        self._size = 0

    def take(self, source: Source, content: bytes | None) -> bool:
        """Take the object if it is known to be one record, and no line of carlake's own."""
        record = lone_record(content) if content else None
        if record is None or record.startswith(MARK.encode()):
            return False
        if self._sources and (self._size + len(record) > BATCH_BYTES or len(self._records) >= BATCH_RECORDS):
            self.flush()
        self._sources.append(source)
        self._records.append(record)
        self._size += len(record)
        return True

    def flush(self) -> None:
        """Pass on what is gathered."""
        if self._sources:
            batch = self._screen(lone_records(self._records, max_record_bytes=self._limit))
            self._files.add_lone(self._sources, batch)
        self._sources, self._records, self._size = [], [], 0


def _records(landed: LandedObject, contents: Mapping[str, bytes], max_record_bytes: int) -> Iterable[pa.RecordBatch]:
    """The object's records; raises UnreadableError where it vanished, changed or cannot be read, before or meanwhile."""
    with io.BytesIO(contents[landed.uri]) if landed.uri in contents else open_object(landed) as stream:
        try:
            yield from split(stream, max_record_bytes=max_record_bytes)
        except UnreadableError:
            raise
        except (ReadError, OSError) as error:
            # The object's name is known here, and only here: it stays alone with what is wrong with it.
            what = (error.strerror or str(error)) if isinstance(error, OSError) else error.what
            why = f"could not be read to its end ({what})"
            raise UnreadableError(Unreadable(landed.uri, why, "It stays where it is and is tried again.")) from error
        except CarlakeError:
            raise
        except Exception as error:
            why = f"could not be taken apart ({type(error).__name__}: {error})"
            raise UnreadableError(
                Unreadable(landed.uri, why, "It stays where it is; this is a fault of carlake's.")
            ) from error


def batches(objects: Sequence[LandedObject], most_bytes: int, most_files: int) -> Iterable[list[LandedObject]]:
    """Cut objects, in their order, into parts of at least one object, else of no more than the limits.

    Several versions of one object never come together: within a part an object goes by its uri.
    """
    part: dict[str, LandedObject] = {}
    size = 0
    for landed in objects:
        if part and (size + landed.size > most_bytes or len(part) >= most_files or landed.uri in part):
            yield list(part.values())
            part, size = {}, 0
        part[landed.uri] = landed
        size += landed.size
    if part:
        yield list(part.values())
