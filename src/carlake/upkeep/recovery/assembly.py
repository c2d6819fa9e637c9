"""Which object of bronze stays, which comes from other files, and which comes back whole from where it was landed.

An object is either whole or not. It stays where the newest snapshot's files hold it whole; else its rows are taken from
other data files in bronze's folder (of older snapshots, of commits that were lost with their metadata) where these hold
it for certain whole; else the archive has it, or landing yet, and it is landed again by a later step; else a part of it
is left.

Files that no snapshot names may be of a landing that was broken off, or that goes on. An object whose end may be yet to
come is not taken in from them: bronze would know it, and it could not be landed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.manifest import DataFile

from carlake.engines.bronze_files import may_go_on
from carlake.storage.store_paths import AnyPath, named_below, parquet
from carlake.tables.declare import BRONZE
from carlake.upkeep.checks.landing import outside, withdrawn
from carlake.upkeep.inspection.examined import SnapshotFiles, file_trouble
from carlake.upkeep.inspection.lake import Inspection
from carlake.upkeep.inspection.ledger import HeldObject, objects_in, together
from carlake.upkeep.recovery.copies import Copies
from carlake.upkeep.recovery.markers import bounds_of


@dataclass
class Assembly:
    """What bronze's next snapshot is made of.

    copies   what can be landed again
    keep     data files that stay as they are
    cut      data files of which only the rows of objects in `whole` stay
    whole    objects that stay in `cut`
    bring    objects whose rows come from other files: where they lie
    again    objects that the archive or landing has, which are landed again
    partial  objects of which only a part is left, and where it lies
    begun    objects that no snapshot holds and whose end may be missing: they stay where they are
    wrong    data files, and the objects in them whose records are not as they were landed
    lost     data files that cannot be read, with why
    lost_files  those of them that a manifest describes
    told     whether the newest snapshot says which files are its own; else every file in the folder counts the same
    here     how many rows of each object the files of the newest snapshot hold that can be read
    """

    copies: Copies
    keep: dict[AnyPath, DataFile | None] = field(default_factory=dict)
    cut: set[AnyPath] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)
    bring: dict[str, set[AnyPath]] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)
    partial: dict[str, HeldObject] = field(default_factory=dict)
    begun: dict[str, HeldObject] = field(default_factory=dict)
    wrong: set[tuple[AnyPath, str]] = field(default_factory=set)
    lost: list[tuple[AnyPath, str]] = field(default_factory=list)
    lost_files: list[DataFile] = field(default_factory=list)
    told: bool = False
    here: dict[str, int] = field(default_factory=dict)


def assemble(lake: Inspection) -> Assembly:
    """Look at every data file of bronze, and decide."""
    found = Assembly(Copies(lake))
    files = lake.files(BRONZE)
    listed: dict[AnyPath, DataFile | None] = {}
    if not files.broken and not files.deletes:
        listed = {lake.place.path(file.file_path): file for file in files.data}
    elif not files.broken:
        found.lost += lake.tables[BRONZE].damaged(files.data, deep=True)
    held = together(_parts(listed, found, judge=True))
    # Without manifests, or with another engine's deletes in them, every file in the folder counts the same.
    others = together_loosely(
        _parts(
            {path: None for path in outside(lake) if path not in listed} if listed else dict.fromkeys(_all(lake)),
            found,
            judge=False,
        )
    )
    doubtful = _doubtful(lake, held, found.lost, listed)
    last = _last_of_files(others)
    for source_id, here in held.items():
        if here.whole and not (source_id in doubtful and _is_elsewhere(found, here, others.get(source_id))):
            found.whole.add(source_id)
    # What was taken back lies in files of older snapshots yet; it stays away, unless it landed anew.
    for source_id in {*held, *others} - found.whole - (withdrawn(lake) - {*held}):
        own, there = held.get(source_id), others.get(source_id)
        whole = there is not None and there.whole and (own is None or own.wrong or own.rows <= there.rows)
        alone = there is not None and _may_lack_its_end(there, others)
        if there is not None and whole and not alone and source_id not in last:
            found.bring[source_id] = there.files
        elif found.copies.has(source_id):
            found.again.add(source_id)
        elif there is not None and whole and (not alone or source_id in doubtful or _has_its_end(there)):
            found.bring[source_id] = there.files
        elif there is not None and whole and source_id not in held and _is_told(lake, files):
            found.begun[source_id] = there
        else:
            found.partial[source_id] = together_loosely([*filter(None, (own, there))])[source_id]
    unreadable = {path for path, _ in found.lost}
    found.lost_files = [file for file in files.data if lake.place.path(file.file_path) in unreadable]
    found.told = _is_told(lake, files)
    found.here = {source_id: len(one.rows) for source_id, one in held.items()}
    for path in listed.keys() - unreadable:
        inside = {source_id for source_id, one in held.items() if path in one.files}
        if inside <= found.whole:
            found.keep[path] = listed[path]
        else:
            found.cut.add(path)
    return found


def _all(lake: Inspection) -> list[AnyPath]:
    return named_below(lake.tables[BRONZE].folder / "data", "*.parquet")


def _parts(files: Mapping[AnyPath, DataFile | None], found: Assembly, *, judge: bool) -> Iterable[HeldObject]:
    """What each readable file holds; those that cannot be read are noted where they should be (`judge`)."""
    for path, file in files.items():
        if trouble := file_trouble(path, file, deep=True):
            if judge:
                found.lost.append((path, trouble))
            continue
        for part in objects_in(path, hashes=True):
            if part.wrong:
                found.wrong.add((path, part.source_id))
            yield part


def together_loosely(parts: Iterable[HeldObject]) -> dict[str, HeldObject]:
    """As `together`, where several files may hold the same rows: one of them is taken.

    What was edited since it was landed is left out where the others hold all of the object's rows.
    """
    right: dict[str, HeldObject] = {}
    every: dict[str, HeldObject] = {}
    for part in parts:
        for found in (every,) if part.wrong else (right, every):
            held = found.setdefault(part.source_id, HeldObject(part.source_id, part.uri))
            held.rows |= part.rows
            held.files |= part.files
            held.wrong |= part.wrong
    return every | {source_id: one for source_id, one in right.items() if one.rows == every[source_id].rows}


def _is_elsewhere(found: Assembly, here: HeldObject, there: HeldObject | None) -> bool:
    """Whether another place has an object as it was landed, or more of it; no other is asked in vain."""
    more = there is not None and there.whole and here.rows < there.rows
    return more or found.copies.has(here.source_id)


def _doubtful(
    lake: Inspection,
    held: Mapping[str, HeldObject],
    lost: Sequence[tuple[AnyPath, str]],
    listed: Mapping[AnyPath, DataFile | None],
) -> set[str]:
    """Objects whose last rows may have been in a file that is lost: a long object has files of its own, and a merge cuts
    the last object of a file.
    """
    ranges = [bounds_of(lake, listed.get(path)) for path, _ in lost]
    cut = _last_of_files(held)
    return {
        source_id
        for source_id, one in held.items()
        if any(first <= source_id <= last for first, last in ranges)
        and (source_id in cut or _may_lack_its_end(one, held))
    }


def _last_of_files(objects: Mapping[str, HeldObject]) -> set[str]:
    """The last object of each file, in the order in which a merge writes: the next file may begin with its rest."""
    last: dict[AnyPath, str] = {}
    for source_id, one in objects.items():
        for path in one.files:
            last[path] = max(source_id, last.get(path, ""))
    return set(last.values())


def _may_lack_its_end(one: HeldObject, all_of_them: Mapping[str, HeldObject]) -> bool:
    """Whether no file of the object holds another, too: as landed, short objects share their file with their neighbours,
    and are in it whole; only a long one is cut into several.
    """
    return not any(other.files & one.files for other in all_of_them.values() if other is not one)


def _has_its_end(one: HeldObject) -> bool:
    """Whether the last row of an object with files of its own is certainly its last: a long landing ends file by file."""
    for path in one.files:
        with pq.ParquetFile(parquet(path)) as file:
            if not may_go_on(file.metadata):
                rows = file.read(["source_row"])["source_row"]
                if pc.max(rows).as_py() == max(one.rows):
                    return True
    return False


def _is_told(lake: Inspection, files: SnapshotFiles) -> bool:
    """Whether bronze itself says which files are its own; else any file may have been, and what is left is salvaged."""
    # Without a snapshot it says so while nothing was made from it; else a recovery has begun anew, and was broken off.
    begun = lake.head(BRONZE) is None and any(lake.head(other) for other in lake.made_from(BRONZE))
    return lake.best(BRONZE) is not None and not begun and not files.broken and not files.deletes
