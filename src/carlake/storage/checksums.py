"""A table's file is named by its content: a bit that flips on the disk is seen by whoever compares the two.

The name holds a UUID of version 8 (RFC 9562, section 5.8: bits of the maker's own choice) that is made of the content's
128-bit xxHash (XXH3, https://xxhash.com). A name goes wherever the file goes and is in every manifest that names the
file, so there is no second place that could say otherwise, and every engine reads such names as it reads others. A file
with any other name was written by another program and has no checksum.

Manifests, manifest lists and metadata are compared each time they are read (`storage.DurableFileIO`), data files before
their rows are carried over into other files, and by `carlake verify --deep`. See docs/decisions/checksums.md.
"""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from uuid import UUID

import xxhash

from carlake.errors import DamagedError

_NAMED = re.compile(
    r"(?<![0-9a-f])[0-9a-f]{8}(-?)[0-9a-f]{4}\1(8[0-9a-f]{3})\1[89ab][0-9a-f]{3}\1[0-9a-f]{12}(?![0-9a-f])"
)
_READ_AT_ONCE = 1 << 20
# New memory for each file would cost more than hashing it.
_buffers = threading.local()


def checksum(content: bytes) -> UUID:
    """The checksum of a content, as a UUID."""
    return _uuid(xxhash.xxh3_128_intdigest(content))


def checksum_of_file(path: str | os.PathLike[str]) -> UUID:
    """The checksum of a file's content, as a UUID. Raises OSError."""
    if not hasattr(_buffers, "view"):
        _buffers.view = memoryview(bytearray(_READ_AT_ONCE))
    view: memoryview = _buffers.view
    digest = xxhash.xxh3_128()
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  (a plain path costs less)
        while count := file.readinto(view):
            digest.update(view[:count])
    return _uuid(digest.intdigest())


class Digest:
    """The checksum of a content that comes in pieces."""

    def __init__(self) -> None:
        self._digest = xxhash.xxh3_128()

    def update(self, piece: bytes) -> None:
        """Take the next piece."""
        self._digest.update(piece)

    @property
    def uuid(self) -> UUID:
        """The checksum of all pieces so far."""
        return _uuid(self._digest.intdigest())


def _uuid(number: int) -> UUID:
    return UUID(int=number & ~(0xF << 76) & ~(0x3 << 62) | 0x8 << 76 | 0x2 << 62)


def recorded(location: str) -> UUID | None:
    """The checksum that a file's name holds, None where it holds none."""
    found = _NAMED.search(location.rpartition("/")[2])
    return UUID(found[0]) if found else None


def seal(path: str | os.PathLike[str]) -> Path:
    """Put its checksum before the name of a file that is complete and not known to anybody yet. Gives the new path.

    The name it had stays in it: two processes that write the same rows need two files, since each may remove its own.
    Raises OSError.
    """
    written = Path(path)
    return written.rename(written.with_name(f"{checksum_of_file(written).hex}-{written.name}"))


def check_content(location: str, content: bytes) -> None:
    """Compare a content with the name it was read under. Raises DamagedError."""
    name = recorded(location)
    if name is not None and checksum(content) != name:
        raise damaged(location)


def is_whole(path: str) -> bool | None:
    """Whether a file's content is what its name says; None where the name holds no checksum. Raises OSError."""
    name = recorded(path)
    return None if name is None else checksum_of_file(path) == name


def check_file(path: str) -> None:
    """Compare a file with its name. Raises DamagedError, OSError."""
    if is_whole(path) is False:
        raise damaged(path)


def damaged(location: str) -> DamagedError:
    """The error that names a file whose content is not what was written."""
    return DamagedError(
        f"{location} is damaged: its content is not what was written under this name.",
        "`carlake verify --deep` lists every damaged file, `carlake recover` makes the tables again without them.",
    )
