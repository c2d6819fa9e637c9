"""The jobs of maintenance: each looks at the lake, changes nothing, and gives what is due with what does it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable

from carlake.engines.manifests import live_files
from carlake.refresh.context import Context
from carlake.refresh.plan import Bookmark, head_of
from carlake.tables.declare import BRONZE, OPS_RUNS
from carlake.tables.table import Table
from carlake.upkeep.maintenance import (
    compaction,
    departed,
    expiry,
    metadata_files,
    old_runs,
    orphans,
    retention,
    scratch,
)
from carlake.upkeep.maintenance.due import Done, Due, Found, MoreTime
from carlake.upkeep.maintenance.files import TableFiles
from carlake.words import count, number

if TYPE_CHECKING:
    from carlake.opened import OpenLake

# What one compaction of a slice may take on, for each second that is left: it cannot be broken off.
_ROWS_PER_SECOND = 40_000
_BYTES_PER_SECOND = 8 << 20
# A compaction as a whole writes at most so many rows, so that its files are not long in danger of a writer's correction.
_MOST_ROWS = 2_000_000
# Snapshots are expired when so many more than are to be kept have come, not one by one.
_SNAPSHOTS_AT_ONCE = 10


@dataclass
class Upkeep:
    """What the jobs look at: an open lake, and the tables as they were loaded last.

    thorough  everything that can be done, whatever it takes; else little and often
    seconds   the time that is left for a compaction
    expired   tables whose snapshots were expired in this pass
    """

    house: OpenLake
    context: Context
    folder: Path
    thorough: bool
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.settings = self.house.settings
        self.grace = self.settings.reader_grace_minutes * 60
        self.expired: set[str] = set()
        self._loaded: dict[str, IcebergTable | None] = {}

    def table(self, name: str) -> IcebergTable | None:
        """A table as it was loaded last."""
        if name not in self._loaded:
            self._loaded[name] = self.context.find(name)
        return self._loaded[name]

    def fresh(self, name: str) -> IcebergTable | None:
        """A table as the catalog has it now."""
        self._loaded.pop(name, None)
        return self.table(name)

    def moved(self, name: str) -> None:
        """A table was changed: load it anew when it is needed next."""
        self._loaded.pop(name, None)

    def readers(self, name: str) -> dict[str, IcebergTable | None]:
        """The tables that are made from a table."""
        return {table.name: self.table(table.name) for table in self.context.tables.values() if table.source == name}

    def own(self, table: Table) -> bool:
        """Whether the table was built by the definition of this process; else it leaves the table's rows alone."""
        iceberg = self.table(table.name)
        mark = Bookmark.of(iceberg.current_snapshot()) if iceberg else None
        return mark is not None and mark.definition == table.definition


def expire(upkeep: Upkeep, table: Table, every: bool = False) -> Iterator[Found]:
    """Snapshots that nobody needs; with `every`, also few of them, and those that a retention makes superfluous."""
    iceberg = upkeep.table(table.name)
    settings = upkeep.settings
    every = every or upkeep.thorough
    if iceberg is None or (
        not every and len(iceberg.metadata.snapshots) < settings.keep_snapshots + _SNAPSHOTS_AT_ONCE
    ):
        return
    going = _expirable(upkeep, table.name, iceberg)
    if len(going) < (1 if every else _SNAPSHOTS_AT_ONCE):
        return

    def do(more_time: MoreTime) -> Done:
        now = upkeep.fresh(table.name)
        # Looked at again, with the bookmarks of this moment: what waits since then may be needed now.
        ids = _expirable(upkeep, table.name, now) if now is not None else []
        upkeep.moved(table.name)
        if not ids:
            return Done("expire", table.name)
        expiry.expire(upkeep.context, table.name, ids, upkeep.folder, settings.keep_metadata_files)
        upkeep.expired.add(table.name)
        return Done("expire", table.name, snapshots=len(ids))

    needed = f"{number(len(going))} {'is' if len(going) == 1 else 'are'} needed by no reader and no release"
    why = f"{count(len(iceberg.metadata.snapshots), 'snapshot')}, of which {needed}"
    yield Found(Due("expire", table.name, why, snapshots=len(going)), do)


def _expirable(upkeep: Upkeep, name: str, iceberg: IcebergTable) -> list[int]:
    heads: list[int | None] = []
    beside: list[int | None] = []
    for reader in upkeep.readers(name).values():
        for snapshot in reader.metadata.snapshots if reader is not None else ():
            mark = Bookmark.of(snapshot)
            is_head = reader is not None and snapshot.snapshot_id == head_of(reader)
            (heads if is_head else beside).append(mark.source if mark else None)
    settings = upkeep.settings
    # What was made from records that are to go would have to be made again after a return to it, so it does not stay.
    days = settings.bronze_retention_days if upkeep.context.tables[name].source in upkeep.context.tables else 0
    not_before = old_runs.cutoff(upkeep.house.clock(), days) if days else None
    return expiry.expirable(iceberg, settings.keep_snapshots, settings.keep_snapshots_behind, heads, beside, not_before)


def compact(upkeep: Upkeep, table: Table) -> Iterator[Found]:
    """Small files that are worth a merge."""
    iceberg = upkeep.table(table.name)
    least = 2 if upkeep.thorough else upkeep.settings.compact_files
    if iceberg is None or not (upkeep.thorough or compaction.due_for_a_look(iceberg, least)) or not upkeep.own(table):
        return
    aim = upkeep.context.engine.target_file_rows
    found = compaction.merges(live_files(iceberg, head_of(iceberg)), aim, least, all_small=upkeep.thorough)
    chosen = _affordable(found, upkeep, least)
    if not chosen:
        return

    def do(more_time: MoreTime) -> Done:
        with upkeep.context.engine.session():
            merged = compaction.compact(upkeep.context, table, chosen)
        upkeep.moved(table.name)
        if merged is None:
            return Done("compact", table.name, again=True)
        return Done("compact", table.name, files=merged.files_before, files_written=merged.files_after)

    files = sum(len(merge.files) for merge in chosen)
    why = f"{count(files, 'small file')} in {count(len(chosen), 'partition')}"
    yield Found(Due("compact", table.name, why, files=files, size=sum(merge.size for merge in chosen)), do)


def _affordable(found: Sequence[compaction.Merge], upkeep: Upkeep, least: int) -> list[compaction.Merge]:
    """As many merges as one commit may take on; of one that is too large, as many of its files, the shortest first.

    All of it or nothing would leave a partition alone for good, once more files have come than a slice can merge.
    """
    rows = _MOST_ROWS if upkeep.thorough else int(upkeep.seconds * _ROWS_PER_SECOND)
    size = 1 << 62 if upkeep.thorough else int(upkeep.seconds * _BYTES_PER_SECOND)
    chosen: list[compaction.Merge] = []
    for merge in found:
        part = merge if upkeep.thorough and not chosen else _beginning(merge, rows, size)
        if len(part.files) >= least:
            chosen.append(part)
            rows, size = rows - part.rows, size - part.size
    return chosen


def _beginning(merge: compaction.Merge, rows: int, size: int) -> compaction.Merge:
    """The files of a merge, in its order, of no more rows and bytes than that."""
    taken: list[DataFile] = []
    for file in merge.files:
        rows, size = rows - int(file.record_count), size - int(file.file_size_in_bytes)
        if rows < 0 or size < 0:
            break
        taken.append(file)
    return compaction.Merge(tuple(taken))


def remove_expired(upkeep: Upkeep, table: Table) -> Iterator[Found]:
    """Files that expired snapshots left behind, past the grace for readers."""
    notes = departed.ripe(upkeep.folder, table.name, upkeep.grace)
    if not notes:
        return

    def do(more_time: MoreTime) -> Done:
        removed = departed.remove(upkeep.fresh(table.name), notes, more_time)
        return Done("remove expired", table.name, files=removed, again=any(note.path.exists() for note in notes))

    files = sum(len(note.files) for note in notes)
    yield Found(Due("remove expired", table.name, "only expired snapshots needed them", files=files), do)


def trim_metadata(upkeep: Upkeep, table: Table) -> Iterator[Found]:
    """Former metadata files."""
    iceberg = upkeep.table(table.name)
    if iceberg is None:
        return
    files = TableFiles(iceberg)
    old = metadata_files.old_metadata(iceberg, files, upkeep.grace)
    if not old.files:
        return

    def do(more_time: MoreTime) -> Done:
        return Done("trim metadata", table.name, files=metadata_files.remove_old(files, old))

    why = f"former metadata files beyond the newest {upkeep.settings.keep_metadata_files}"
    yield Found(Due("trim metadata", table.name, why, files=len(old.files), size=old.size), do)


def remove_orphans(upkeep: Upkeep, table: Table) -> Iterator[Found]:
    """Files that nothing refers to. One that is seen for the first time is only noted."""
    name = table.name
    age = upkeep.settings.orphan_age_hours * 3600
    found = orphans.find_orphans(lambda: upkeep.fresh(name), upkeep.folder, name, age, upkeep.grace)
    if not found.ready and not found.noted:
        return

    def do(more_time: MoreTime) -> Done:
        removed = orphans.remove_orphans(lambda: upkeep.fresh(name), upkeep.folder, name, found, more_time)
        return Done("remove orphans", name, files=removed)

    hours = f"{upkeep.settings.orphan_age_hours:g} hours"
    if found.ready:
        why = f"nothing refers to them, seen twice, older than {hours}"
    else:
        why = f"{len(found.noted)} to which nothing refers, older than {hours}: noted now, removed by a later pass"
    yield Found(Due("remove orphans", name, why, files=len(found.ready), size=found.size), do)


def prune_runs(upkeep: Upkeep) -> Iterator[Found]:
    """Old rows of ops_runs."""
    iceberg = upkeep.table(OPS_RUNS)
    days = upkeep.settings.keep_runs_days
    before = old_runs.cutoff(upkeep.house.clock(), days)
    if iceberg is None or not upkeep.own(upkeep.context.tables[OPS_RUNS]) or not old_runs.due(iceberg, before):
        return

    def do(more_time: MoreTime) -> Done:
        with upkeep.context.engine.session():
            rows = old_runs.prune(upkeep.context, before)
        upkeep.moved(OPS_RUNS)
        return Done("prune runs", OPS_RUNS, rows=rows, again=not rows)

    yield Found(Due("prune runs", OPS_RUNS, f"rows of runs before {before:%Y-%m-%d} ({days} days)"), do)


def retain_records(upkeep: Upkeep) -> Iterator[Found]:
    """Records that bronze keeps no longer."""
    days = upkeep.settings.bronze_retention_days
    bronze = upkeep.table(BRONZE) if days else None
    if bronze is None or not upkeep.own(upkeep.context.tables[BRONZE]):
        return
    before = old_runs.cutoff(upkeep.house.clock(), days)
    found = retention.aged(bronze, before, upkeep.readers(BRONZE))
    if not found.files:
        return

    def do(more_time: MoreTime) -> Done:
        # Looked at again: a table may have been rolled back meanwhile.
        now = upkeep.fresh(BRONZE)
        for name in upkeep.readers(BRONZE):
            upkeep.moved(name)
        again = retention.aged(now, before, upkeep.readers(BRONZE)) if now is not None else found
        with upkeep.context.engine.session():
            rows = retention.drop_records(upkeep.context, again)
        upkeep.moved(BRONZE)
        return Done("retain records", BRONZE, files=len(again.files), rows=rows or 0, again=rows is None)

    why = f"records taken in before {before:%Y-%m-%d} ({days} days); a marker row of each object stays. {retention.PROMISE}"
    if found.waiting:
        why += f" {found.waiting} more files wait: a table, or a snapshot it may be returned to, has not read them."
    yield Found(Due("retain records", BRONZE, why, files=len(found.files), size=found.size, rows=found.rows), do)


def retain_archive(upkeep: Upkeep) -> Iterator[Found]:
    """Archived objects that are kept no longer."""
    days = upkeep.settings.archive_retention_days
    if not days:
        return
    before = retention.first_kept_day(upkeep.house.clock(), days)
    archive = upkeep.house.archive

    def known(ids: Iterable[str]) -> set[str]:
        context, head = upkeep.context, head_of(upkeep.fresh(BRONZE))
        with context.engine.session():
            wanted = context.engine.table(pa.table({"source_id": sorted(ids)}))
            found = context.engine.scan(BRONZE, head, wanted, {"source_id": "source_id"})
            return {str(row[0]) for row in context.engine.rows(f"SELECT DISTINCT source_id FROM {found}")}

    found = retention.aged_archive(archive, before, known)
    if not found.files:
        return

    def do(more_time: MoreTime) -> Done:
        return Done("retain archive", "", files=retention.drop_archived(found))

    why = (
        f"objects archived before {before:%Y-%m-%d} ({days} days) that bronze knows; bronze cannot be made anew of them"
    )
    if found.unknown:
        stay = "stays" if len(found.unknown) == 1 else "stay, for one"
        why += f". {count(len(found.unknown), 'object')} that bronze does not know {stay}: {found.unknown[0]}"
    yield Found(Due("retain archive", "", why, files=found.files, size=found.size), do)


def clear_scratch(upkeep: Upkeep) -> Iterator[Found]:
    """Temporary folders of processes that are gone."""
    found = scratch.leftovers(upkeep.house.lake.scratch)
    if not found:
        return

    def do(more_time: MoreTime) -> Done:
        return Done("clear scratch", "", files=scratch.clear(found))

    yield Found(Due("clear scratch", "", "temporary folders of processes that are gone", files=len(found)), do)
