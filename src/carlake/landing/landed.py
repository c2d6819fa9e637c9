"""What is known of a landed object, and of one that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from carlake.errors import ReadError

VERSION = "?versionId="
"""What comes between uri and id in bronze's `source_uri` of an older version, as in S3's own addresses."""

PROBE = ".carlake-try-"
"""How a file or object begins by which it is tried what a place lets do. Hidden: no run takes it for data."""


@dataclass(frozen=True, slots=True)
class LandedObject:
    """One object as listed.

    uri          where it lies (see the module's text)
    size         bytes
    modified_at  UTC, cut to microseconds
    version      changes when the object does: for a local file its modification time, inode, size and change time; in a
                 store its ETag, else its modification time and size
    version_id   the store's id of the version to read, for one that was overwritten or deleted since; "": what is there
    """

    uri: str
    size: int
    modified_at: datetime
    version: str
    version_id: str = ""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An object, or a folder of them, that cannot be taken in now: `why` completes "<uri> ...", `advice` a sentence."""

    uri: str
    why: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{shown(self.uri)} {self.why}."


class UnreadableError(ReadError):
    """One landed object cannot be read as it was listed. `vanished`: it is gone, perhaps taken in by another run."""

    def __init__(self, unreadable: Unreadable, *, vanished: bool = False) -> None:
        super().__init__(str(unreadable), unreadable.advice)
        self.unreadable = unreadable
        self.vanished = vanished


def recorded(name: str, version_id: str) -> str:
    """What bronze has as an object's uri. An older version's has its id: versions of one second and size lie at one uri,
    and that one of them was landed says nothing of the newest.
    """
    return f"{name}{VERSION}{version_id}" if version_id else name


def shown(uri: str) -> str:
    """A uri for people: line breaks and control characters as escapes, so that a name cannot fake a message."""
    if uri.isprintable():
        return uri
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in uri)
