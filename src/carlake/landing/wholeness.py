"""Which of the objects that lie in landing are whole, and which are still being written.

Three ways to know it, one of which a lake's settings choose:

rename   Writers rename whole files in; such a file is taken at once. One that is written where it lies (`cp`, a
         download) is taken once nobody has it open for writing any more. The kernel is asked by a read lease (Linux
         `F_SETLEASE`), which it refuses while any process has the file open for writing. Where it cannot be asked (another
         system, a file of another user), a file that was neither renamed nor let alone for the settle time waits: a write
         sets both of a file's times to one moment, a rename moves its change time on.
settled  Size and times have not changed for the settle time, be the file open or not: for network file systems, whose
         servers open and close a file for each part of it.
marker   A file beside it says so: `NAME.ready` for one object, `_SUCCESS` for all that its folder holds.

An object of a store appears whole, so only the marker is asked for there. None of this is needed for exactness: an object
that is read too early is noticed when it changes, and is read again.
"""

# Plain path strings keep names that are not UTF-8.

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from carlake.errors import CarlakeError
from carlake.landing.landed import LandedObject, UnreadableError
from carlake.landing.objects import hash_object, local_object, path_of
from carlake.landing.open_files import open_for_writing
from carlake.landing.removal import NotAsReadError, Removal

Convention = Literal["rename", "settled", "marker"]

READY = ".ready"
FOLDER_READY = "_SUCCESS"

# How soon to look again at a file that is open for writing: nothing tells of its closing.
_SOONEST_SECONDS, _LATEST_SECONDS = 0.05, 0.5
_CLOCK_TICK_SECONDS = 0.001  # times of files are rounded, and differ from the clock's by less than this
_CLOCK_WAS_SET_SECONDS = 60


@dataclass(frozen=True)
class Divided:
    """A listing's objects: the whole ones and the others.

    again_seconds  when one of the others may be whole; None where nothing but a new event can tell
    """

    whole: list[LandedObject]
    unfinished: list[LandedObject]
    again_seconds: float | None = None


class Wholeness:
    """Tells whole objects from unfinished ones. One that lives long remembers what it saw, whatever the clock does.

    clock   wall clock, in seconds, that the files' times are compared with
    steady  a clock that is never set
    """

    def __init__(
        self,
        convention: Convention = "rename",
        settle_seconds: float = 1.0,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._convention = convention
        self._settle = settle_seconds
        self._clock = clock
        self._steady = steady
        self._seen: dict[str, tuple[str, float]] = {}

    def divide(self, objects: Iterable[LandedObject], passed_over: Iterable[str] = ()) -> Divided:
        """Divide what was listed. `passed_over`: the listing's names that are no data; folders' markers are among them."""
        if self._convention == "marker":
            return _by_marker(list(objects), frozenset(passed_over))
        whole: list[LandedObject] = []
        unfinished: list[LandedObject] = []
        waits: list[float] = []
        seen: dict[str, tuple[str, float]] = {}
        for landed in objects:
            wait = self._wait(landed, seen)
            if wait is None:
                whole.append(landed)
            else:
                unfinished.append(landed)
                waits.append(wait)
        self._seen = seen
        return Divided(whole, unfinished, min(waits, default=None))

    def _wait(self, landed: LandedObject, seen: dict[str, tuple[str, float]]) -> float | None:
        """None for a whole object, else the seconds after which to look again."""
        path = path_of(landed.uri)
        if path is None:
            return None
        if self._convention == "rename":
            is_open = open_for_writing(path)
            if is_open is False:
                return None
            if is_open:
                # The longer it takes, the longer it may take yet.
                since = self._since(landed.uri, "open", seen)
                return min(max(since / 4, _SOONEST_SECONDS), _LATEST_SECONDS)
            modified, changed = _times(landed)
            if modified != changed:
                return None
        left = self._settle - self._since(landed.uri, landed.version, seen)
        if left <= _CLOCK_TICK_SECONDS:
            return None
        age = self._clock() - max(_times(landed)) / 1e9
        # A time far ahead says that the clock was set back since, so that it tells nothing.
        if age >= self._settle - _CLOCK_TICK_SECONDS or age < -_CLOCK_WAS_SET_SECONDS:
            return None
        return min(left, self._settle - age) if age >= 0 else left

    def _since(self, uri: str, state: str, seen: dict[str, tuple[str, float]]) -> float:
        """For how long an object has been seen in this state."""
        now = self._steady()
        before, since = self._seen.get(uri, ("", now))
        seen[uri] = (state, since if before == state else now)
        return now - seen[uri][1]


def remove_markers(uris: Iterable[str]) -> None:
    """Remove the markers of objects that have left landing; a folder's marker stays. One that cannot go stays, too.

    A marker goes only where nothing bears its object's name any more: something newer may have come with the marker, or an
    older version that nobody has read come to light. It is looked at before its object is looked for, and deleted as it
    was then, so that one that comes meanwhile stays.
    """
    removal = Removal(asks=False)
    stored: list[str] = []
    try:
        for uri in uris:
            path = path_of(uri)
            if path is None:
                stored.append(uri)
                continue
            with suppress(UnreadableError, NotAsReadError, OSError):
                marker = path + READY
                seen = local_object(marker, Path(marker).stat())
                if not os.path.lexists(path):
                    removal.remove(seen, hash_object(seen), marker, "")
    finally:
        removal.close()
    if stored:
        from carlake.landing import stores  # the store client is loaded only where there is a store

        stores.at_once(_remove_stored, stored)


def _remove_stored(uri: str) -> None:
    from carlake.landing import stores, versions

    with suppress(CarlakeError):
        # Where versions are kept, each object may have had its own marker: an older one would release what comes next.
        while (found := versions.current(uri + READY)) is not None and stores.head(uri) is None:
            seen, version_id = found
            if versions.delete_as_read(seen, version_id) != "deleted":
                return
            if not version_id:
                # An ETag does not tell an empty marker from the next one: what has come since gets its own back.
                if stores.head(uri) is not None:
                    stores.put(uri + READY, b"")
                return


def _by_marker(objects: list[LandedObject], passed_over: frozenset[str]) -> Divided:
    ready = {landed.uri.removesuffix(READY) for landed in objects if landed.uri.endswith(READY)}
    folders = {name.removesuffix(FOLDER_READY) for name in passed_over if name.endswith("/" + FOLDER_READY)}
    divided = Divided([], [])
    for landed in objects:
        if landed.uri.endswith(READY):
            continue
        told = landed.uri in ready or landed.uri[: landed.uri.rindex("/") + 1] in folders
        (divided.whole if told else divided.unfinished).append(landed)
    return divided


def _times(landed: LandedObject) -> tuple[int, int]:
    """Modification and change time of a local file, in nanoseconds."""
    modified, _, _, changed = landed.version.rsplit("-", 3)
    return int(modified), int(changed)
