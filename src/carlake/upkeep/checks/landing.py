"""Checks of landing and the archive, and of what processes that died have left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from carlake.errors import CarlakeError
from carlake.lake import Lake
from carlake.landing.archived import archived, halves, is_named_rightly
from carlake.landing.landed import PROBE
from carlake.landing.listing import MOVING, list_landing
from carlake.landing.objects import path_of
from carlake.refresh.withdrawn import withdrawn_ids
from carlake.storage.store_paths import AnyPath, modified_at, named_below, size_of
from carlake.tables.declare import BRONZE
from carlake.upkeep.checks.finding import Check, Found
from carlake.upkeep.checks.machine import folders_of_runs
from carlake.upkeep.inspection.lake import Inspection
from carlake.upkeep.inspection.ledger import source_ids
from carlake.words import count

# An object that nothing took in for so long waits for nobody.
_OLD_SECONDS = 3600
# A file that no snapshot names may be of a commit under way for so long.
ORPHAN_SECONDS = 3600
_NAMED = 5

_RECOVER = ("carlake recover --dry-run", "carlake recover")


def held_ids(lake: Inspection) -> set[str] | None:
    """The objects that bronze holds, or that were taken back out of it; None where it cannot be read, or holds too many
    rows for a quick look.
    """
    files = lake.files(BRONZE)
    if files.broken or not lake.may_read(BRONZE):
        return None
    table = lake.tables.get(BRONZE)
    try:
        held = source_ids(table.place.path(file.file_path) for file in files.data) if table else set()
    except Exception:  # noqa: BLE001  (a damaged data file has a check of its own)
        return None
    return held | withdrawn(lake)


def withdrawn(lake: Inspection) -> set[str]:
    """The objects that were taken back out of bronze."""
    file = lake.best(BRONZE)
    return withdrawn_ids(file.metadata) if file else set()


def _unreadable(lake: Inspection) -> Iterator[Found]:
    if lake.landing_is_gone:
        return
    try:
        for item in list_landing(lake.landing).unreadable:
            yield item.uri, f"{item.why}. {item.advice}".strip()
    except CarlakeError as error:
        yield lake.landing, f"{error.what} {error.advice}".strip()


def _left(lake: Inspection) -> Iterator[Found]:
    if lake.landing_is_gone or lake.settings.after_landing == "leave":
        return
    now = lake.now.timestamp()
    try:
        listing = list_landing(lake.landing)
    except CarlakeError:
        return  # the check before says so
    old = []
    for landed in listing.objects:
        path = path_of(landed.uri)
        # The change time: a file that is moved here keeps its modification time. A store has one time alone.
        since = Path(path).stat().st_ctime if path is not None else landed.modified_at.timestamp()
        if now - since > _OLD_SECONDS:
            old.append(landed.uri)
    if old:
        some = ", ".join(old[:_NAMED])
        yield lake.landing, f"{count(len(old), 'object waits', 'objects wait')} for more than an hour: {some}"
    for uri in listing.passed_over:
        path = path_of(uri.rstrip("/"))
        if path is not None and Path(path).exists() and now - Path(path).stat().st_ctime > _OLD_SECONDS:
            yield uri, "is named like a file that is still being written, for more than an hour"


def _not_in_bronze(lake: Inspection) -> Iterator[Found]:
    held = held_ids(lake)
    if held is None:
        return
    try:
        for source_id, places in archived(lake.archive):
            if source_id not in held:
                right = is_named_rightly(places[0])
                damaged = "" if right else "; its content is not what was archived under this name"
                yield places[0].uri, f"is archived, and bronze does not hold it{damaged}"
    except CarlakeError as error:
        yield lake.archive, f"cannot be looked at: {error.what} {error.advice}".strip()


def only_outside(lake: Inspection) -> Iterator[Found]:
    """Data files in no snapshot that hold objects which bronze does not."""
    held = held_ids(lake)
    if held is None:
        return
    for path in outside(lake):
        try:
            unknown = source_ids([path]) - held
        except Exception:  # noqa: BLE001, S112  (half a file, of a process that died in writing it, holds nothing)
            continue
        if unknown:
            yield str(path), f"is in no snapshot, and holds {count(len(unknown), 'object')} that bronze does not"


def outside(lake: Inspection) -> list[AnyPath]:
    """Data files in bronze's folder that its newest snapshot does not name."""
    table = lake.tables.get(BRONZE)
    if table is None:
        return []
    live = {table.place.path(file.file_path) for file in lake.files(BRONZE).data}
    return [path for path in named_below(table.folder / "data", "*.parquet") if path not in live]


def leftovers(lake: Inspection) -> list[Path]:
    """What processes that died have left: scratch folders, halves of copies, unfinished files, tries of a folder.

    Of the folders by which objects leave landing only those that are empty: in others lies what the next run lists.
    """
    found = []
    own = lake.lake.scratch.parent
    probes = [path for folder in folders_of_runs(lake) for path in folder.glob(f"{PROBE}*")]
    for path in [*lake.lake.scratch.glob("*-*"), *own.glob("carlake.toml.*"), *probes]:
        owners = [part for part in path.name.replace(".", "-").split("-") if part.isdigit()]
        if owners and Path("/proc/self").exists() and not Path("/proc", owners[0]).exists():
            found.append(path)
    now = time.time()
    for path in lake.lake.landing.glob(f"**/{MOVING}*"):
        if path.is_dir() and _is_old(path, now) and not any(path.iterdir()):
            found.append(path)
    unfinished = [*halves(lake.lake.archive), *own.glob(".*.tmp"), *untold_folder(lake.lake).glob(".*.tmp")]
    found += [path for path in unfinished if _is_old(path, now)]
    return sorted(set(found))


def _is_old(path: Path, now: float) -> bool:
    try:
        return now - path.stat().st_mtime > _OLD_SECONDS
    except FileNotFoundError:
        return False  # its process goes on, and has given it its name


def _crashed(lake: Inspection) -> Iterator[Found]:
    for path in leftovers(lake):
        yield str(path), "was left by a process that died"


def untold_folder(lake: Lake) -> Path:
    """Where recoveries write down what they find, until they tell it."""
    return lake.scratch.parent / "recovery"


def _broken_off(lake: Inspection) -> Iterator[Found]:
    for file in sorted(untold_folder(lake.lake).glob("*.json")):
        yield str(file), "has what a recovery found that was broken off, or goes on, and that it has told nobody yet"


def _orphans(lake: Inspection) -> Iterator[Found]:
    for name, table in lake.tables.items():
        file = lake.best(name)
        if file is None:
            continue
        known, size, files = table.known_files(file), 0, 0
        oldest = lake.now.timestamp() - ORPHAN_SECONDS
        for path in named_below(table.folder, "*"):
            is_file = not isinstance(path, Path) or path.is_file()
            if path not in known and is_file and modified_at(path) < oldest:
                files, size = files + 1, size + size_of(path)
        if files:
            what = count(files, "file"), count(size, "byte"), "belongs" if files == 1 else "belong"
            yield name, "{} of {} {} to no snapshot".format(*what)


CHECKS = (
    Check(
        "landing-unreadable",
        "landing",
        "warning",
        "Runs are partial and name an object that could not be taken in.",
        "An object in landing cannot be read: rights, a broken link, a pipe. It stays there, and the others go on.",
        "Landing is listed as a run lists it.",
        "Do what the message says. The next run takes in what can be read then.",
        _unreadable,
        ("carlake run",),
    ),
    Check(
        "landing-waits",
        "landing",
        "warning",
        "Files lie in landing, and their records are in no table.",
        "Nothing has taken them in for an hour: nothing watches the lake, or they are named as if they were still "
        "being written (`.part`, `.tmp`, a leading `.` or `_`).",
        "Objects in landing whose change time is more than an hour ago.",
        "Run, or start what watches. A file with such a name is taken once it is renamed, or named itself.",
        _left,
        ("carlake run",),
    ),
    Check(
        "archive-ahead",
        "landing",
        "error",
        "An object lies in the archive, and its records are in no table.",
        "Bronze has lost objects that it held: the catalog or the warehouse was put back from a backup, or a commit was "
        "undone. The archive has them whole.",
        "The source ids in the archive's paths are looked for in bronze.",
        "They are landed again from the archive.",
        _not_in_bronze,
        _RECOVER,
    ),
    Check(
        "records-outside",
        "landing",
        "warning",
        "A run was killed; its files are in the warehouse, and no table shows their rows.",
        "Data files of bronze that no snapshot names hold objects that bronze does not: a commit that never landed, or "
        "one that was lost with its metadata. While the object is in landing or the archive, nothing is lost.",
        "The objects in such files are looked for in bronze.",
        "A run takes in what still waits in landing; what then is in those files alone, and whole, is taken in from "
        "them. An object whose end may be missing is named: land it again.",
        only_outside,
        ("carlake run", *_RECOVER),
        deep=True,
    ),
    Check(
        "crashed-runs",
        "landing",
        "notice",
        "Folders `duckdb-...` in .carlake/scratch, `.part` files in the archive, files `.carlake-try-...`.",
        "A process was killed. What it had not committed is done by the next run.",
        "Names that carry the id of a process that is not there any more, or that are older than an hour.",
        "The next run removes its scratch files and goes on; `carlake recover` removes the rest.",
        _crashed,
        ("carlake run", "carlake recover"),
    ),
    Check(
        "recovery-broken-off",
        "landing",
        "warning",
        "`carlake recover` ended before it said what is lost.",
        "It was killed, or goes on yet. What it has mended is right; which files were damaged, and what nothing gives "
        "back, is in .carlake/recovery until it is told (of a lake in a store: in the state folder, on the machine that "
        "recovered).",
        "A file is in that folder.",
        "Recover again: it does the rest, and tells what both have found.",
        _broken_off,
        ("carlake recover",),
    ),
    Check(
        "orphan-files",
        "landing",
        "notice",
        "The warehouse is larger than its tables.",
        "Files that no snapshot names: of commits that were refused, or of processes that died. They cost space alone.",
        "The files in each table's folder, older than an hour, are compared with those that its snapshots name.",
        "Maintenance removes them.",
        _orphans,
        deep=True,
    ),
)
