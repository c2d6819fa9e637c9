"""Taking a file out of landing without ever losing one that took its name meanwhile."""

# ruff: noqa: PTH102, PTH104, PTH106, PTH108, PTH110, PTH114, PTH116, PTH118, PTH119, PTH122
# Plain path strings keep names that are not UTF-8, and cost a tenth of `Path` over 10,000 files.

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
import stat
import time
from collections.abc import Iterator
from typing import BinaryIO, cast

from carlake.landing.listing import MOVING
from carlake.landing.objects import LandedObject, hash_stream, is_as_listed
from carlake.landing.open_files import open_for_writing

NO_LINK = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
"""A hard link is not possible: another file system, a file system without links, a file of another user."""

_NAME_BYTES, _SUFFIX_BYTES = 255, 32
_LEFT_SECONDS = 3600


class NotAsReadError(Exception):
    """The object is no longer what was read."""


class Removal:
    """Takes objects out of landing by way of one folder beside them, so that what is taken can be looked at alone.

    After a crash between the two renames the object lies in that folder, which listing finds (`listing.MOVING`).

    asks  whether a process has a file open for writing is asked once more there, where nobody can open it by its name:
          one that began after the listing, and writes later, keeps its file. Not for `whole_when = "settled"`.
    """

    def __init__(self, asks: bool) -> None:
        self._asks = asks
        self._name = MOVING + secrets.token_hex(8)
        self._parents: dict[str, str] = {}

    def remove(self, landed: LandedObject, source_id: str, path: str, to: str) -> None:
        """Delete the object if it is still what was read; `to` is where the archive has it, "" if nowhere.

        Raises NotAsReadError (then it is where it was, or beside it if its name is taken), FileNotFoundError where it
        is gone, and OSError.
        """
        is_link = os.path.islink(path)
        # A file that a writer goes on with keeps its name all the time; of a link this is the one look at its target.
        if not _leads_nowhere(path) and not is_as_listed(landed, os.stat(path)):
            raise NotAsReadError
        parent, name = os.path.split(path)
        taken = os.path.join(self._folder(parent), name)
        os.rename(path, taken)
        try:
            if is_link:
                good = os.path.islink(taken)
            else:
                status = os.lstat(taken)
                good = is_as_listed(landed, status) and (_is(to, status) or holds(taken, source_id))
                good = good and not (self._asks and open_for_writing(taken))
        except FileNotFoundError:
            good = False  # somebody took the copy out of the archive
        except BaseException:
            _put_back(taken, path)
            raise
        if not good:
            _put_back(taken, path)
            raise NotAsReadError
        os.unlink(taken)

    def _folder(self, parent: str) -> str:
        if parent not in self._parents:
            folder = os.path.join(parent, self._name)
            os.mkdir(folder, 0o700)
            self._parents[parent] = folder
        return self._parents[parent]

    def close(self) -> None:
        """Remove the folders on the way, and those that a crash left and that are now empty."""
        for parent, folder in self._parents.items():
            crashed = [parent] if os.path.basename(parent).startswith(MOVING) else []
            for empty in [folder, *crashed]:
                try:
                    os.rmdir(empty)
                except OSError:
                    continue  # not empty: what lies there is listed at a later run
        for parent in self._parents:
            _clear(parent)


def _clear(parent: str) -> None:
    """Remove the empty folders that processes which died have left; one that is younger may be about to be used."""
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if (
                entry.name.startswith(MOVING)
                and time.time() - entry.stat(follow_symlinks=False).st_mtime > _LEFT_SECONDS
            ):
                with contextlib.suppress(OSError):  # not empty
                    os.rmdir(entry.path)


def _put_back(taken: str, path: str) -> None:
    folder, name = os.path.split(path)
    for free in free_names(name):
        try:
            publish(taken, os.path.join(folder, free))
            return
        except FileExistsError:
            continue  # something newer bears the name


def free_names(name: str) -> Iterator[str]:
    """The name, then `name.2.json`, `name.3.json` and so on, each within what a file system takes."""
    yield name
    stem, suffix = os.path.splitext(name)
    if len(os.fsencode(suffix)) > _SUFFIX_BYTES:
        stem, suffix = name, ""
    for number in itertools.count(2):
        tail = f".{number}{suffix}"
        while len(os.fsencode(stem + tail)) > _NAME_BYTES:
            stem = stem[:-1]
        yield stem + tail


def stored_name(name: str) -> str:
    """The name in a store of a local file whose name may not be UTF-8 or hold control characters."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def holds(path: str, source_id: str) -> bool:
    """Whether a regular file has the content of that hash."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return False
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return False
        with open(descriptor, "rb", buffering=0, closefd=False) as stream:
            return hash_stream(cast(BinaryIO, stream), status.st_size) == source_id
    finally:
        os.close(descriptor)


def _leads_nowhere(path: str) -> bool:
    """Whether a path is a link whose target is gone: archived, for links inside landing go the same way."""
    return os.path.islink(path) and not os.path.exists(path)


def _is(path: str, status: os.stat_result) -> bool:
    """Whether a path is that very file."""
    return bool(path) and os.path.samestat(os.lstat(path), status)


def publish(temporary: str, target: str) -> None:
    """Give a file its name, or raise FileExistsError where the name is taken."""
    try:
        os.link(temporary, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
        # No links here: between the look and the rename lies a moment that only a link would close.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
        os.rename(temporary, target)
        return
    os.unlink(temporary)
