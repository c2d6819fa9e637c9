"""Objects of a store, or into one, on their way from landing to the archive.

The same order of steps as for local files, with the same promise: copy, verify, and only then delete what was read, and
that alone. A place in the archive is named by the content, so a step that was done before, by a process that died or one
whose answer was lost, is found done.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from carlake.landing import stores, versions
from carlake.landing.landed import LandedObject, Unreadable, UnreadableError
from carlake.landing.objects import hash_object, open_object, path_of
from carlake.landing.removal import NotAsReadError, free_names, publish
from carlake.storage.clients import options_for

SMALL_BYTES = 8 << 20
"""Objects up to this size pass through this process: the put can then be conditional, and what it puts is hashed."""

_AT_ONCE = 4 << 20
_MOST_PUTS = 3


@dataclass(frozen=True)
class Placed:
    """Where an object has its place, and the version that was copied: None where it is not known, "" without versions."""

    to: str
    version_id: str | None


def place(landed: LandedObject, source_id: str, folder: str, name: str) -> Placed:
    """Give an object its place `folder/name` in a store, or that name with a number.

    What has the place already stays. Raises NotAsReadError, UnreadableError (`vanished`: the object is gone).
    """
    if landed.size <= SMALL_BYTES:
        content, version_id = content_as_read(landed)
        if hashlib.sha256(content).hexdigest() != source_id:
            raise NotAsReadError
        return Placed(place_content(content, source_id, folder, name, landed.modified_at), version_id)
    version_id = None if path_of(landed.uri) is not None else _version_as_read(landed)
    for free in free_names(name):
        to = f"{folder}/{free}"
        copied = stores.head(to) is None
        if copied:
            _copy(landed, version_id, to)
        if holds(to, source_id):
            return Placed(to, version_id)
        if copied:
            stores.delete(to)
            raise NotAsReadError
    raise AssertionError  # free_names does not end


def place_content(content: bytes, content_hash: str, folder: str, name: str, modified_at: datetime) -> str:
    """Put a content where there is none, unless it is there already; gives the uri. Raises UnreadableError."""
    for free in free_names(name):
        to = f"{folder}/{free}"
        e_tag = stores.put_new(to, content, modified_at.isoformat())
        if e_tag is None:
            if holds(to, content_hash):
                return to
            continue
        if e_tag != hashlib.md5(content, usedforsecurity=False).hexdigest() and not holds(to, content_hash):
            stores.delete(to)
            raise _other_than_put(to)
        return to
    raise AssertionError  # free_names does not end


def place_file(file: Path, content_hash: str, folder: str, name: str, modified_at: datetime) -> str:
    """As `place_content`, of a local file of any size. Raises UnreadableError, OSError."""
    if file.stat().st_size <= SMALL_BYTES:
        return place_content(file.read_bytes(), content_hash, folder, name, modified_at)
    puts = 0
    for free in free_names(name):
        to = f"{folder}/{free}"
        if stores.head(to) is None:
            with file.open("rb") as stream:
                stores.put(to, stream, modified_at.isoformat())
            puts += 1
        if holds(to, content_hash):
            return to
        # Another may have put its own content there at the same moment, so what lies there stays.
        if puts >= _MOST_PUTS:
            raise _other_than_put(to)
    raise AssertionError  # free_names does not end


def _other_than_put(uri: str) -> UnreadableError:
    return UnreadableError(Unreadable(uri, "is not what was put there", "Check the store."))


def holds(uri: str, source_id: str) -> bool:
    """Whether an object of a store has the content of that hash. Raises UnreadableError."""
    there = stores.head(uri)
    return there is not None and hash_object(there) == source_id


def content_as_read(landed: LandedObject) -> tuple[bytes, str | None]:
    """The content of a small object as it was listed, of an older version where there is a newer one; and its version.

    Raises NotAsReadError, UnreadableError.
    """
    if path_of(landed.uri) is not None:
        with open_object(landed) as stream:
            return stream.read(), None
    content, now, version_id = stores.fetch(landed.uri, landed.version_id)
    if now.version != landed.version:
        older = versions.version_of(landed)
        if older is None:
            raise NotAsReadError
        content, _, version_id = stores.fetch(landed.uri, older)
    return content, version_id


def download(landed: LandedObject, source_id: str, target: str) -> None:
    """Put an object of a store into a local file of that name, which is free, or raise FileExistsError.

    Raises NotAsReadError, UnreadableError, OSError.
    """
    digest = hashlib.sha256()
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".", suffix=".part")  # noqa: PTH120
    try:
        with open(descriptor, "wb") as file, open_object(landed) as stream:  # noqa: PTH123
            while piece := stream.read(_AT_ONCE):
                digest.update(piece)
                file.write(piece)
            file.flush()
            modified = int(landed.modified_at.timestamp() * 1_000_000) * 1000
            os.utime(file.fileno(), ns=(modified, modified))
            os.fsync(file.fileno())
        if digest.hexdigest() != source_id:
            raise NotAsReadError
        publish(temporary, target)
    finally:
        if os.path.lexists(temporary):
            os.unlink(temporary)  # noqa: PTH108


def _version_as_read(landed: LandedObject) -> str:
    """The version to copy, "" for what is there now. Raises NotAsReadError where neither is what was read."""
    if landed.version_id:
        return landed.version_id
    now = versions.current(landed.uri)
    if now is not None and now[0].version == landed.version:
        return now[1]
    version_id = versions.version_of(landed)
    if version_id is None:
        if now is None:
            raise UnreadableError(Unreadable(landed.uri, "has vanished"), vanished=True)
        raise NotAsReadError
    return version_id


def _copy(landed: LandedObject, version_id: str | None, to: str) -> None:
    """Copy a large object: within S3 by the store itself, in parts; else by way of this process."""
    if versions.is_s3(landed.uri) and versions.is_s3(to) and _one_store(landed.uri, to):
        versions.copy(landed, version_id or "", to, {stores.MODIFIED: landed.modified_at.isoformat()})
        return
    if version_id is not None and (now := stores.head(landed.uri)) is not None and now.version != landed.version:
        raise NotAsReadError  # only S3 copies what is not the newest
    with open_object(landed) as stream:
        stores.put(to, stream, landed.modified_at.isoformat())


def _one_store(uri: str, to: str) -> bool:
    return options_for(stores.split(uri)[0]) == options_for(stores.split(to)[0])
