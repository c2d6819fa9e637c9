"""Taking objects out of landing, after the commit that holds their records is known to have landed.

Nothing here can lose a byte that no table holds. An object leaves landing only while it is still what was read: its
modification time, inode and size are compared, and its content is hashed again once it has its place in the archive.
An archived object is never overwritten. The order of the steps is such that a crash between any two of them, or another
process at the same work, leaves the object in landing, in the archive, or in both:

1. link it to its place in the archive (a copy where a link is not possible), and verify what the place holds;
2. put the archive's folder entries on the disk, for all objects at once;
3. rename the landing name away, which takes exactly what bears the name at that moment; if that is what was verified,
   delete it, else put it back.
"""

# ruff: noqa: PTH102, PTH108, PTH114, PTH118, PTH119, PTH120, PTH123
# Plain path strings keep names that are not UTF-8, and cost a tenth of `Path` over 10,000 files.

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from carlake.errors import CarlakeError
from carlake.landing.landed import shown
from carlake.landing.listing import is_store
from carlake.landing.objects import (
    LandedObject,
    UnreadableError,
    hash_object,
    open_object,
    path_of,
    uri_of,
)
from carlake.landing.open_files import open_for_writing
from carlake.landing.removal import NO_LINK, NotAsReadError, Removal, free_names, holds, publish, stored_name
from carlake.storage.durable import fsync_dirs

Mode = Literal["move", "leave", "delete"]
"""What becomes of an object whose records are committed."""

Outcome = Literal["moved", "deleted", "left", "gone", "changed", "failed"]

_COPIED_AT_ONCE = 4 << 20
_NAME_BYTES = 200
_STALE_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Archived:
    """What became of one object.

    outcome  `moved`; `deleted`; `left` (as the mode says); `gone`: another process took it; `changed`: it is no longer
             what was read, stays in landing and is read at the next run; `failed`: `why` says what was in the way, and it
             is tried again when the object is next found in landing
    uri      where it lay
    to       where it lies in the archive ("" if it does not)
    """

    outcome: Outcome
    uri: str
    to: str = ""
    why: str = ""
    advice: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing needs to be said."""
        return self.outcome not in ("changed", "failed")


def archive(
    landed: LandedObject, source_id: str, archive_root: str | os.PathLike[str], day: date, *, mode: Mode = "move"
) -> Archived:
    """Archive one object; see `archive_many`."""
    return archive_many([(landed, source_id)], archive_root, day, mode=mode)[0]


def archive_many(
    objects: Iterable[tuple[LandedObject, str]],
    archive_root: str | os.PathLike[str],
    day: date,
    *,
    mode: Mode = "move",
    asks: bool = True,
) -> list[Archived]:
    """Move objects to `archive_root/<day>/<source_id>/<name>`, modification time kept, or delete or leave them.

    objects: each with the SHA-256 of the content that was read and committed. day: the UTC day of ingestion. asks: see
    `Removal`.
    Gives one `Archived` for each, in their order; raises nothing for an object's sake.
    """
    given = list(objects)
    if mode == "leave":
        return [Archived("left", landed.uri) for landed, _ in given]
    root = os.fspath(archive_root)
    outcomes: dict[int, Archived] = {}
    local: list[tuple[int, LandedObject, str, str]] = []
    stored: list[tuple[int, LandedObject, str]] = []
    for at, (landed, source_id) in enumerate(given):
        path = path_of(landed.uri)
        if path is None:
            stored.append((at, landed, source_id))
        else:
            local.append((at, landed, source_id, path))
    outcomes.update(_archive_stored(stored, root, day.isoformat(), mode))
    if mode == "move" and is_store(root):
        outcomes.update(_archive_into_store(local, root, day.isoformat(), asks))
    else:
        outcomes.update(_archive_local(local, os.path.join(root, day.isoformat()), mode, asks))
    return [outcomes[at] for at in range(len(given))]


# --- local files ------------------------------------------------------------------------------------------------------


def _archive_local(
    objects: Sequence[tuple[int, LandedObject, str, str]], day_folder: str, mode: Mode, asks: bool
) -> dict[int, Archived]:
    outcomes: dict[int, Archived] = {}
    placed: dict[int, str] = {}
    if mode == "move":
        folders: set[str] = set()
        for at, landed, source_id, path in objects:
            folder = os.path.join(day_folder, source_id)
            try:
                _make_folders(folder, folders)
                placed[at] = _place(landed, source_id, path, folder)
                folders.add(folder)
            except NotAsReadError:
                outcomes[at] = _changed(landed)
            except FileNotFoundError:
                outcomes[at] = Archived("gone", landed.uri)
            except OSError as error:
                outcomes[at] = _failed(landed, f"cannot be archived: {_cause(error)}", f"Check {day_folder}.")
        try:
            fsync_dirs(folders)
        except OSError as error:
            for at, landed, _, _ in objects:
                outcomes.setdefault(at, _failed(landed, f"cannot be archived: {_cause(error)}", f"Check {day_folder}."))
    removal = Removal(asks)
    try:
        for at, landed, source_id, path in objects:
            if at not in outcomes:
                outcomes[at] = _take_out(removal, landed, source_id, path, placed.get(at, ""))
    finally:
        removal.close()
    return outcomes


def _take_out(removal: Removal, landed: LandedObject, source_id: str, path: str, to: str) -> Archived:
    outcome: Outcome = "moved" if to else "deleted"
    try:
        removal.remove(landed, source_id, path, to)
    except NotAsReadError:
        _withdraw(to, source_id)
        return _changed(landed)
    except FileNotFoundError:
        return Archived(outcome if to else "gone", landed.uri, uri_of(to) if to else "")
    except OSError as error:
        what = "is archived but cannot be taken out of landing" if to else "cannot be deleted"
        folder = shown(os.path.dirname(landed.uri))
        return _failed(landed, f"{what}: {_cause(error)}", f"Give this user the right to write in {folder}.", to)
    return Archived(outcome, landed.uri, uri_of(to) if to else "")


def _place(landed: LandedObject, source_id: str, path: str, folder: str) -> str:
    """Give the object its place in the archive, leaving it in landing too. Gives the path of the place.

    Raises NotAsReadError, FileNotFoundError where the object is gone, and OSError.
    """
    for name in free_names(os.path.basename(path)):
        target = os.path.join(folder, name)
        try:
            if os.path.islink(path) or _has_other_names(path) or not _link(path, target):
                _copy(landed, source_id, target)
                return target
        except FileExistsError:
            if holds(target, source_id):
                return target
            continue
        if holds(target, source_id):
            return target
        os.unlink(target)
        raise NotAsReadError
    raise AssertionError  # free_names does not end


def _has_other_names(path: str) -> bool:
    """Whether the file can be written under another name, too (a hard link): then the archive needs bytes of its own."""
    return os.lstat(path).st_nlink > 1


def _link(path: str, target: str) -> bool:
    """Link a file to a second name; False where that is not possible, FileExistsError where the name is taken."""
    try:
        os.link(path, target)
    except OSError as error:
        if error.errno in NO_LINK:
            return False
        raise
    return True


def _withdraw(to: str, source_id: str) -> None:
    """Take a place in the archive back whose content has changed under it, or may: a writer goes on with the linked file."""
    try:
        if to and (open_for_writing(to) or not holds(to, source_id)):
            os.unlink(to)
    except OSError:
        return  # gone already


def _copy(landed: LandedObject, source_id: str, target: str) -> None:
    """Copy the object to a name that is free, or raise FileExistsError. The name appears only once the copy is whole."""
    folder = os.path.dirname(target)
    _sweep(folder)
    temporary = os.path.join(folder, f".{secrets.token_hex(8)}.part")
    try:
        with open(temporary, "xb", buffering=0) as copy:
            digest = hashlib.sha256()
            buffer = memoryview(bytearray(max(1, min(landed.size + 1, _COPIED_AT_ONCE))))
            with open_object(landed) as stream:
                while count := stream.readinto(buffer):  # type: ignore[attr-defined]
                    digest.update(buffer[:count])
                    written = 0
                    while written < count:
                        written += copy.write(buffer[written:count])
                modified = os.fstat(stream.fileno()).st_mtime_ns
            os.utime(copy.fileno(), ns=(modified, modified))
            os.fsync(copy.fileno())
        if digest.hexdigest() != source_id:
            raise NotAsReadError
        publish(temporary, target)
    except UnreadableError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise NotAsReadError from error
    finally:
        if os.path.lexists(temporary):
            os.unlink(temporary)


def _sweep(folder: str) -> None:
    """Delete the halves of copies that crashed processes left beside the place."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and entry.name.endswith(".part"):
                try:
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE_SECONDS:
                        os.unlink(entry.path)
                except OSError:
                    continue  # another process was faster, or its rights differ


def _make_folders(folder: str, made: set[str]) -> None:
    """Make a folder and its missing parents; `made` gathers each folder that got a new entry."""
    if folder in made:
        return
    try:
        os.mkdir(folder)
    except FileExistsError:
        return
    except FileNotFoundError:
        _make_folders(os.path.dirname(folder), made)
        _make_folders(folder, made)
        return
    made.add(os.path.dirname(folder))


def _changed(landed: LandedObject) -> Archived:
    return Archived(
        "changed",
        landed.uri,
        why="is no longer what was read, so it stays in landing",
        advice="It is read again at the next run.",
    )


def _failed(landed: LandedObject, why: str, advice: str, to: str = "") -> Archived:
    return Archived("failed", landed.uri, uri_of(to) if to else "", why, advice)


def _cause(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


# --- stores -----------------------------------------------------------------------------------------------------------


def _archive_stored(
    objects: Sequence[tuple[int, LandedObject, str]], root: str, day: str, mode: Mode
) -> dict[int, Archived]:
    """Objects of stores, some at a time: copied, verified, and deleted as they were read; see `landing.versions`."""
    from carlake.landing.stores import at_once

    done = at_once(lambda given: _stored(given[1], given[2], root, day, mode), list(objects))
    return {at: outcome for (at, _, _), outcome in zip(objects, done, strict=True)}


def _stored(landed: LandedObject, source_id: str, root: str, day: str, mode: Mode) -> Archived:
    from carlake.landing import versions
    from carlake.landing.store_archive import Placed, place

    name = landed.uri.rpartition("/")[2]
    placed = Placed("", None)
    try:
        if mode == "delete":
            if hash_object(landed) != source_id:
                return _changed(landed)
        elif is_store(root):
            placed = place(landed, source_id, f"{root.rstrip('/')}/{day}/{source_id}", name)
        else:
            placed = Placed(uri_of(_downloaded(landed, source_id, os.path.join(root, day, source_id), name)), None)
        deleted = versions.delete_as_read(landed, placed.version_id)
    except NotAsReadError:
        return _changed(landed)
    except UnreadableError as error:
        return _unarchived(landed, error, placed.to)
    except CarlakeError as error:
        return Archived("failed", landed.uri, placed.to, error.what, error.advice)
    except OSError as error:
        return _failed(landed, f"cannot be archived: {_cause(error)}", f"Check {root}.")
    if deleted == "changed":
        return _changed(landed)
    return Archived(
        "gone" if deleted == "gone" and not placed.to else "moved" if placed.to else "deleted", landed.uri, placed.to
    )


def _unarchived(landed: LandedObject, error: UnreadableError, to: str = "") -> Archived:
    own = error.unreadable.uri == landed.uri
    if own and error.vanished:
        return Archived("gone", landed.uri, to)
    if own and "changed" in error.unreadable.why:
        return _changed(landed)
    what = error.unreadable.why if own else f"{error.unreadable.uri} {error.unreadable.why}"
    return Archived("failed", landed.uri, to, f"cannot be archived: {what}", error.unreadable.advice)


def _downloaded(landed: LandedObject, source_id: str, folder: str, name: str) -> str:
    """Put an object of a store into a local archive; gives the path. Raises as `store_archive.download` does."""
    from carlake.landing.store_archive import download

    made: set[str] = set()
    _make_folders(folder, made)
    # A key's last part may be a name that no local file can have.
    for free in free_names(name.encode()[:_NAME_BYTES].decode(errors="ignore") or "object"):
        target = os.path.join(folder, free)
        try:
            if not os.path.lexists(target):
                download(landed, source_id, target)
        except FileExistsError:
            pass  # another process was faster
        if holds(target, source_id):
            fsync_dirs({folder, *made})
            return target
    raise AssertionError  # free_names does not end


def _archive_into_store(
    objects: Sequence[tuple[int, LandedObject, str, str]], root: str, day: str, asks: bool
) -> dict[int, Archived]:
    """Local files into an archive in a store; each leaves landing while it is still what was read."""
    from carlake.landing.store_archive import Placed, place
    from carlake.landing.stores import at_once

    def placed(given: tuple[int, LandedObject, str, str]) -> Placed | Archived:
        _, landed, source_id, path = given
        try:
            return place(
                landed, source_id, f"{root.rstrip('/')}/{day}/{source_id}", stored_name(os.path.basename(path))
            )
        except NotAsReadError:
            return _changed(landed)
        except UnreadableError as error:
            return _unarchived(landed, error)

    outcomes: dict[int, Archived] = {}
    removal = Removal(asks)
    try:
        for (at, landed, source_id, path), done in zip(objects, at_once(placed, list(objects)), strict=True):
            if isinstance(done, Archived):
                outcomes[at] = done
                continue
            taken = _take_out(removal, landed, source_id, path, "")
            outcomes[at] = (
                replace(taken, outcome="moved", to=done.to) if taken.outcome in ("deleted", "gone") else taken
            )
    finally:
        removal.close()
    return outcomes
