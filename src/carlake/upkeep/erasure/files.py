"""Files that still hold a forgotten car: older snapshots' files, orphans, archived objects, objects in landing, logs."""

from __future__ import annotations

import mmap
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.update import RemoveSnapshotRefUpdate, RemoveSnapshotsUpdate, TableUpdate

from carlake.engines.manifests import ancestry
from carlake.engines.protocol import Staged
from carlake.errors import CommitRefusedError
from carlake.lake import Lake
from carlake.landing.archived import halves, is_own
from carlake.landing.forgotten import Screen
from carlake.landing.listing import list_landing
from carlake.landing.objects import hash_object, local_object, path_of
from carlake.landing.rewriting import rewrite_object
from carlake.refresh.commit import commit
from carlake.refresh.lease import Turn
from carlake.refresh.plan import head_of
from carlake.storage.durable import places_of
from carlake.storage.places import is_remote
from carlake.tables.table import Table
from carlake.upkeep.erasure.archiving import archive_lock, forgotten_objects
from carlake.upkeep.erasure.rows import Erasing
from carlake.upkeep.erasure.search import Needle, Place, Searched, search, search_file
from carlake.upkeep.maintenance.files import TableFiles
from carlake.upkeep.maintenance.references import departing, referenced

if TYPE_CHECKING:
    from carlake.lakehouse import Lakehouse

_SESSION = "duckdb-"
_STRING = rb'"(?:[^"\\]|\\.)*+"'
_TEXT = re.compile(rb'(?P<time>"(?:time|run_id)"\s*:\s*' + _STRING + rb")|" + _STRING + rb"(?P<key>\s*:)?")


@dataclass(frozen=True)
class Gone:
    """What was taken out of a table's history."""

    snapshots: int = 0
    tags: tuple[str, ...] = ()
    files: int = 0


def clean_tables(erasing: Erasing, table: Table) -> Gone:
    """Take out the snapshots and tags from before the erasure, remove their files, and those of writers that died.

    At once and whatever their age: a reader in the middle of an older snapshot gets an error that names the file.
    """
    erased = erasing.erased.get(table.name)
    if erased is None:
        return Gone()
    context = erasing.context
    gone = Gone()
    with Turn(context.lease_folder, table.name) as turn:
        while True:
            iceberg = context.load(table.name)
            head = head_of(iceberg)
            line = [snapshot.snapshot_id for snapshot in ancestry(iceberg, head)]
            if head is None or erased not in line:
                break  # another erasure has taken it out already
            stay = set(line[: line.index(erased) + 1])
            going = [each.snapshot_id for each in iceberg.metadata.snapshots if each.snapshot_id not in stay]
            tags = sorted(
                name for name, ref in iceberg.metadata.refs.items() if name != MAIN_BRANCH and ref.snapshot_id in going
            )
            if not going:
                break
            files = TableFiles(iceberg)
            leaving = [files.path(location) for location in departing(iceberg, set(going))]
            updates: list[TableUpdate] = [RemoveSnapshotRefUpdate(ref_name=name) for name in tags]
            updates.append(RemoveSnapshotsUpdate(snapshot_ids=going))
            try:
                turn.wait()
                # No snapshot is made, so an answer that is lost counts as landed; the loop looks again.
                commit(context.catalog, iceberg, Staged(table.name, head, head, tuple(updates), 0, 0))
            except CommitRefusedError:
                if not turn.again():
                    raise
                continue
            removed = sum(files.remove(path) for path in leaving)
            gone = Gone(gone.snapshots + len(going), (*gone.tags, *tags), gone.files + removed)
    return Gone(gone.snapshots, gone.tags, gone.files + _orphans(erasing, table))


def _orphans(erasing: Erasing, table: Table) -> int:
    """Remove what no snapshot refers to and the car is in: a writer that is refused by the erasure needs it no more."""
    iceberg = erasing.context.load(table.name)
    files = TableFiles(iceberg)
    listed = [stored.path for folder in ("data", "metadata") for stored in files.below(folder)]
    needed = referenced(erasing.context.load(table.name), files)
    loose = [path for path in listed if path not in needed]
    return sum(files.remove(path) for path in loose if _is_in(path, iceberg, erasing.needle))


def _is_in(path: str, iceberg: IcebergTable, needle: Needle) -> bool:
    """Whether a table's file holds the name."""
    if not is_remote(path):
        return any(search_file(Path(path), needle))
    with tempfile.TemporaryDirectory(prefix="carlake-searching-") as folder:
        local = Path(folder, path.rpartition("/")[2])
        local.write_bytes(places_of(iceberg.io).read(path))
        return any(search_file(local, needle))


# --- objects ----------------------------------------------------------------------------------------------------------


def clean_objects(
    house: Lakehouse,
    erasing: Erasing,
    screen: Screen,
    paths: frozenset[str] = frozenset(),
) -> list[str]:
    """Write archived and landed objects that hold the car anew, without it. Gives their paths; what would lose bytes by
    that stays as it is, for the search to name.

    paths  further objects to look at; the others are found by what bronze has forgotten
    """
    lake, needle = house.lake, erasing.needle
    done: list[str] = []

    with archive_lock(lake, alone=True):
        for half in list(halves(lake.archive)):
            if half.is_file():  # of a process that died: nobody else is at work there
                half.unlink(missing_ok=True)
        archived = [path for path in _archived(lake, forgotten_objects(house)) if _holds(path, needle)]
        # What a run takes out of landing it lands without the car; only what stays there is written anew in its place.
        stays = list_landing(lake.landing).objects if house.settings.after_landing == "leave" else []
        landed = [Path(local) for each in stays if (local := path_of(each.uri))]
        archived += [Path(path) for path in paths if Path(path).is_relative_to(lake.archive) and Path(path).is_file()]
        for path in dict.fromkeys([*archived, *(each for each in landed if _holds(each, needle))]):
            name = needle.replaced(path.name, erasing.instead) if needle.in_text(path.name) else path.name
            to = path.with_name(name)
            if rewrite_object(path, _cleaned(erasing, screen, path), erasing.context.engine.max_record_bytes, to):
                done.append(str(to))
        _remove_empty_folders(lake.landing, needle)
    return done


def _cleaned(erasing: Erasing, screen: Screen, path: Path) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    """What becomes of the records of an object in the archive or in landing."""
    landed = local_object(str(path), path.stat())
    rewrite = screen.rewriting(cache(partial(is_own, landed.uri, partial(hash_object, landed))))
    return lambda batch: erasing.cleaned(rewrite(batch))


def _remove_empty_folders(landing: Path, needle: Needle) -> None:
    """Folders of that name, which objects were landed from."""
    for folder, _, _ in os.walk(landing, topdown=False):
        if needle.in_text(folder.removeprefix(str(landing))):
            with suppress(OSError):  # something is in it: the search will say so
                Path(folder).rmdir()


def _holds(path: Path, needle: Needle) -> bool:
    return needle.in_text(path.name) or any(search_file(path, needle))


def _archived(lake: Lake, ids: set[str]) -> Iterator[Path]:
    for day in sorted(lake.archive.iterdir()) if lake.archive.is_dir() else ():
        for folder in sorted(day.iterdir()) if day.is_dir() else ():
            if folder.name in ids and folder.is_dir():
                yield from sorted(path for path in folder.iterdir() if path.is_file() and not path.is_symlink())


# --- logs and the search ----------------------------------------------------------------------------------------------


def clean_logs(lake: Lake, needle: Needle) -> list[str]:
    """Overwrite the name in what the lake's own folder holds: logs, notes. In place, since others may be writing."""
    done = []
    for place in search(lake.lock.parent, needle, Searched(), skip=lambda path: path == str(lake.scratch)):
        if place.kind != "text":
            continue
        with Path(place.path).open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
            content[:] = b"".join(_masked(line, needle) for line in bytes(content).splitlines(keepends=True))
            content.flush()
        done.append(place.path)
    return done


def _masked(line: bytes, needle: Needle) -> bytes:
    """A line with the name overwritten, so that a line of JSON stays one: in its texts, but when it was said and in which
    run.
    """
    if not line.lstrip().startswith((b"{", b'"')):
        return needle.masked(line)

    def masked(found: re.Match[bytes]) -> bytes:
        return found[0] if found["time"] or found["key"] else needle.masked(found[0])

    return _TEXT.sub(masked, line)


def search_lake(lake: Lake, needle: Needle, searched: Searched) -> list[Place]:
    """Every place in the lake's folder that holds the name, but the temporary files of processes that are running."""
    busy = {f"{_SESSION}{process}-" for process in running(lake)}
    return list(search(lake.root, needle, searched, skip=lambda path: Path(path).name.startswith(tuple(busy))))


def running(lake: Lake) -> tuple[int, ...]:
    """The other processes that have temporary files of their own in the lake."""
    owners = {folder.name.split("-")[1] for folder in lake.scratch.glob(f"{_SESSION}*-*")}
    alive = {int(owner) for owner in owners if owner.isdigit() and Path("/proc", owner).exists()}
    return tuple(sorted(alive - {os.getpid()}))
