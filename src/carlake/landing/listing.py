"""Which objects there are: in the lake's own landing prefix, or under the files, folders, globs and uris of a user.

Rules for what lies in a folder or matches a glob; a file that is named itself is always taken:
- names that begin with `.` or `_`, or end in `.tmp` or `.part`, are by convention still being written, or not data:
  they are passed over and counted (`Listing.passed_over`), whole folders as one. A glob that spells such a name out
  (`_raw/*`) takes it;
- pipes, sockets and devices are never opened; a link is read like the file it points to while that lies in the same
  folder or below; a link that leaves it, leads nowhere or back to itself, or to a folder, is reported;
- a folder that may not be read is reported, and the others go on.
"""

# ruff: noqa: PTH100, PTH111, PTH112, PTH114, PTH116, PTH118
# Plain path strings keep names that are not UTF-8, and cost a tenth of `Path` over 10,000 files.

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from carlake.errors import NotFoundError
from carlake.landing.globs import Glob, States, is_glob
from carlake.landing.landed import shown
from carlake.landing.objects import (
    ONLY_REGULAR,
    LandedObject,
    Unreadable,
    UnreadableError,
    advice,
    local_object,
    path_of,
    special,
    uri_of,
    why,
)

MOVING = ".carlake-moving-"
"""Archiving takes objects out of landing by way of a folder of this prefix, which lives for milliseconds."""

# A folder of that prefix which nobody has touched for so long was left by a crash: its objects are listed again.
_MOVING_SECONDS = 60

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


@dataclass
class Listing:
    """What was found, each object once, in the order of the uris; links come first.

    Links come first because archiving goes in this order, and a link leads nowhere once its target is archived.

    unreadable   what cannot be taken in, by name and cause
    passed_over  uris of names still being written or hidden (a folder's ends in `/`)
    empty        of the paths that were named, those under which nothing was found that could be taken in or reported
    """

    objects: list[LandedObject] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever named the paths should know."""
        return tuple(f"{path} holds no object; hidden and unfinished names do not count." for path in self.empty)


def list_landing(root: str | os.PathLike[str]) -> Listing:
    """All objects below a landing prefix: a local folder or a store's uri. An empty store prefix lists nothing.

    Raises NotFoundError where the folder or the bucket does not exist.
    """
    given = os.fspath(root)
    listing = _Lister()
    if is_store(given):
        listing.take_prefix(given, Glob(()))
    else:
        path = _absolute(given)
        if not os.path.isdir(path):
            raise NotFoundError(f"There is no folder {shown(uri_of(path))}.", "Make it, or check the lake's path.")
        listing.take_folder(path, Glob(()))
    return listing.done()


def list_paths(paths: Sequence[str | os.PathLike[str]]) -> Listing:
    """All objects under what a user names: files, folders (recursive), globs (`*`, `?`, `[...]`, `**`), store uris.

    A folder that a glob matches is listed whole. A uri names one object if there is one, else all below it.
    Raises NotFoundError for a path that does not exist and a glob that matches nothing.
    """
    listing = _Lister()
    empty: list[str] = []
    for path in paths:
        given = os.fspath(path)
        before = listing.sighted
        if is_store(given):
            listing.take_uri(given)
        else:
            listing.take_path(given)
        if listing.sighted == before:
            empty.append(shown(given))
    return replace(listing.as_first_landed(), empty=empty)


def is_store(given: str) -> bool:
    """Whether a path or uri lies in a store. Raises NotFoundError for a scheme that carlake cannot read."""
    found = _URI.match(given)
    if found is None or found[1].lower() == "file":
        return False
    from carlake.landing.stores import SCHEMES

    if found[1].lower() not in SCHEMES:
        schemes = ", ".join(f"{scheme}://" for scheme in ("file", *SCHEMES))
        raise NotFoundError(f"{shown(given)}: no store is known by {found[1]}://.", f"Use a path, or one of {schemes}")
    return True


class _Lister:
    """Gathers what the paths given hold, and checks each against the rules above."""

    def __init__(self) -> None:
        self._objects: dict[str, LandedObject] = {}
        self._unreadable: dict[str, Unreadable] = {}
        self._passed_over: dict[str, None] = {}
        self._links: set[str] = set()
        self.sighted = 0  # objects met so far, repeatedly too

    def done(self) -> Listing:
        objects = [self._objects[uri] for uri in sorted(self._objects, key=lambda uri: (uri not in self._links, uri))]
        # What is named itself is taken, though a folder given beside it passes over it.
        passed_over = sorted(self._passed_over.keys() - self._objects.keys())
        return Listing(objects, [self._unreadable[uri] for uri in sorted(self._unreadable)], passed_over)

    def as_first_landed(self) -> Listing:
        """As `done`; objects of a store's archive with the times that they were landed with: it has only its own."""
        stored = [landed for landed in self._objects.values() if path_of(landed.uri) is None]
        if stored:
            from carlake.landing import stores

            for found in stores.as_first_landed(stored):
                if isinstance(found, Unreadable):
                    del self._objects[found.uri]
                    self._add_unreadable(found)
                else:
                    self._objects[found.uri] = found
        return self.done()

    def take_path(self, given: str) -> None:
        path = _absolute(given)
        try:
            status = os.stat(path)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR) and not os.path.islink(path):
                self._take_glob(path)
            elif error.errno in (errno.ENOENT, errno.ENOTDIR):
                self._report(path, "is a link to a file that does not exist", "Mend or remove the link.")
            else:
                self._report(path, why(error), advice(error))
            return
        if stat.S_ISDIR(status.st_mode):
            self.take_folder(path, Glob(()))
        else:
            self._take_file(path, status)

    def _take_glob(self, path: str) -> None:
        parts = path.split("/")
        first = folder = None
        for at, part in enumerate(parts):
            # A folder may really be called `[a]`: what exists as it is written is no pattern.
            if is_glob(part) and not os.path.lexists("/".join(parts[: at + 1])):
                first, folder = at, "/".join(parts[:at]) or "/"
                break
        if first is None or folder is None:
            raise NotFoundError(f"There is no file or folder {shown(uri_of(path))}.", "Check the path.")
        before = self.sighted
        if os.path.isdir(folder):
            self.take_folder(folder, Glob(parts[first:]))
        if self.sighted == before:
            raise NotFoundError(f"Nothing matches {shown(uri_of(path))}.", "Check the pattern; quote it in a shell.")

    def take_folder(self, root: str, glob: Glob) -> None:
        """Walk a folder. `glob` narrows it."""
        top = os.path.realpath(root)
        folders: list[tuple[str, States]] = [(root, glob.start)]
        while folders:
            folder, states = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        self._take_entry(entry, top, glob, states, folders)
            except OSError as error:
                # A folder that went away between two looks holds nothing, as if it had been looked for later.
                if folder == root or error.errno not in (errno.ENOENT, errno.ENOTDIR):
                    self._report(folder, why(error), advice(error))

    def _take_entry(
        self, entry: os.DirEntry[str], top: str, glob: Glob, states: States, folders: list[tuple[str, States]]
    ) -> None:
        after = glob.step(states, entry.name)
        if not after:
            return
        try:
            is_folder = entry.is_dir(follow_symlinks=False)
            if not is_folder and not glob.accepts(after):
                return
            hidden = in_progress(entry.name) and not glob.spells_out(states, entry.name, in_progress)
            if hidden and not (is_folder and _left_by_a_crash(entry)):
                self._passed_over[uri_of(entry.path) + ("/" if is_folder else "")] = None
                return
            if is_folder:
                folders.append((entry.path, after))
            elif entry.is_symlink():
                self._take_link(entry.path, top)
            else:
                self._take_file(entry.path, entry.stat(follow_symlinks=False))
        except FileNotFoundError:
            return  # gone since the folder was read: archived by another run, or renamed by its writer
        except OSError as error:
            self._report(entry.path, why(error), advice(error))

    def _take_link(self, path: str, top: str) -> None:
        try:
            target = os.path.realpath(path, strict=True)
            status = os.stat(target)
        except FileNotFoundError:
            if os.path.lexists(path):
                self._report(path, "is a link to a file that does not exist", "Mend or remove the link.")
            return
        if target != top and not target.startswith(top.rstrip("/") + "/"):
            self._report(path, "is a link that leaves the folder", "Name its target itself, or put a copy here.")
        elif stat.S_ISDIR(status.st_mode):
            self._report(path, "is a link to a folder, which is not followed", "Name the folder itself.")
        else:
            self._take_file(path, status)
            self._links.add(uri_of(path))

    def _take_file(self, path: str, status: os.stat_result) -> None:
        if stat.S_ISREG(status.st_mode):
            self._add(local_object(path, status))
        else:
            self._report(path, special(status), ONLY_REGULAR)

    def _report(self, path: str, cause: str, remedy: str) -> None:
        self._add_unreadable(Unreadable(uri_of(path), cause, remedy))

    def _add(self, landed: LandedObject) -> None:
        self._objects[landed.uri] = landed
        self.sighted += 1

    def _add_unreadable(self, unreadable: Unreadable) -> None:
        self._unreadable[unreadable.uri] = unreadable
        self.sighted += 1

    # --- stores -----------------------------------------------------------------------------------------------------

    def take_uri(self, uri: str) -> None:
        from carlake.landing import stores

        base, key = stores.split(uri)
        try:
            if key and not key.endswith("/"):
                named = stores.head(uri)
                if named is not None:
                    self._add(named)
                    return
        except UnreadableError as error:
            self._add_unreadable(error.unreadable)
            return
        parts = key.strip("/").split("/")
        first = next((at for at, part in enumerate(parts) if is_glob(part)), len(parts))
        before = self.sighted + len(self._passed_over)
        self.take_prefix("/".join([base, *parts[:first]]).rstrip("/"), Glob(parts[first:]))
        if self.sighted + len(self._passed_over) == before:
            raise NotFoundError(f"There is nothing at {shown(uri)}.", "Check the bucket and the prefix.")

    def take_prefix(self, uri: str, glob: Glob) -> None:
        """List what lies below a prefix. `glob` narrows it."""
        from carlake.landing.store_listing import under

        try:
            found, odd = under(uri)
        except UnreadableError as error:
            self._add_unreadable(error.unreadable)
            return
        for item in odd:
            self._add_unreadable(item)
        below = uri.rstrip("/") + "/"
        folders = _folders_of(landed.uri for landed in found)
        for landed in found:
            if landed.size == 0 and landed.uri in folders:
                continue  # an empty object that only marks a folder, as consoles make them
            states = glob.start
            reached = below
            for name in landed.uri.removeprefix(below).split("/"):
                reached += name
                after = glob.step(states, name)
                hidden = in_progress(name) and not glob.spells_out(states, name, in_progress)
                if hidden and after and (reached != landed.uri or glob.accepts(after)):
                    self._passed_over[reached + ("" if reached == landed.uri else "/")] = None
                if hidden or not after:
                    break
                states, reached = after, reached + "/"
            else:
                if glob.accepts(states):
                    self._add(landed)


def in_progress(name: str) -> bool:
    """Whether a name is by convention hidden or still being written."""
    return name.startswith((".", "_")) or name.lower().endswith((".tmp", ".part"))


def is_hidden(uri: str, prefix: str) -> bool:
    """Whether an object's name, or that of a folder between it and the prefix that it lies in, is such a name."""
    return any(map(in_progress, uri.removeprefix(f"{prefix.rstrip('/')}/").split("/")))


def _left_by_a_crash(folder: os.DirEntry[str]) -> bool:
    if not folder.name.startswith(MOVING):
        return False
    return time.time() - folder.stat(follow_symlinks=False).st_mtime > _MOVING_SECONDS


def _absolute(given: str) -> str:
    """The absolute path of a path or `file:` uri that a user gives."""
    if given.startswith("file:"):
        path = path_of(given)
        if path is None:
            raise NotFoundError(f"{shown(given)} is not on this machine.", "Give file:///PATH or just the path.")
        return path
    if "\0" in given or not given:
        raise NotFoundError("An empty path was given." if not given else "A path holds a NUL.", "Check the path.")
    path = os.path.expanduser(given)
    # `..` after a link does not lead back to where the link lies, so only the file system can resolve it.
    if ".." in Path(path).parts:
        folder, name = os.path.split(path.rstrip("/"))
        return os.path.realpath(path) if name == ".." else os.path.join(os.path.realpath(folder), name)
    return os.path.abspath(path)


def _folders_of(uris: Iterable[str]) -> set[str]:
    return {uri[:at] for uri in uris for at in range(len(uri)) if uri[at] == "/"}
