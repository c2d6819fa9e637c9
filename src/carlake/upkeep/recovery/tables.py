"""Tables made whole again: bronze from every data file that can be read, the others from what they are made from.

What is damaged is not read to mend it: a new snapshot has new files alone, and no parent. So whoever reads a table's
changes finds no way from the snapshot it knows, and reads all of the table: no row that the damage took can stay in
what was made from it, and a crash between two tables leaves nothing that the next run would not see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.update import AssertRefSnapshotId, RemoveSnapshotsUpdate

from carlake.engines.duckdb.engine import DuckDBEngine
from carlake.engines.manifests import HOLD
from carlake.engines.protocol import Relation, Staged
from carlake.engines.snapshots import hold_on, stage_snapshot, total_records
from carlake.errors import CommitRefusedError
from carlake.refresh.compute import compute
from carlake.refresh.context import RUN_PROPERTY, Context
from carlake.refresh.plan import Bookmark, Refresh, head_of
from carlake.refresh.refresh import publish, rows_of_source
from carlake.refresh.retained import gone_sources
from carlake.tables.table import Table
from carlake.words import count

KIND = "recover"


@dataclass(frozen=True)
class Lost:
    """What a recovery found damaged, or could not bring back: which file, object or rows, and what is known of it.

    source_id  of an object: it is not lost once bronze has records of it
    """

    what: str
    why: str
    source_id: str = ""


@dataclass
class Toll:
    """What the steps of a recovery found.

    damaged  files that cannot be read; what they held may have come back from elsewhere
    lost     what could not be brought back
    held     records that bronze's damaged data files held
    every    which these are is not known: `held` are all records of bronze, as its last snapshot counts them
    back     objects of which some of these may come back, each with how many records of it bronze did not lose
    gone     objects that are lost whole, each with the records that silver and quarantine knew of it: so many are missing
             at the least
    land     objects that are to be landed, by where they lie
    salvaged  records in those of them that hold what was left of others, beyond what bronze did not lose
    rows     of tables of which retention may have left rows without a record: how many there were, and how many of
             these in files that cannot be read
    short    how many rows of such tables could not be made again, where that is known
    """

    damaged: list[Lost] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    held: int = 0
    every: bool = False
    back: dict[str, int] = field(default_factory=dict)
    gone: dict[str, int] = field(default_factory=dict)
    land: list[str] = field(default_factory=list)
    salvaged: int = 0
    rows: dict[str, tuple[int, int]] = field(default_factory=dict)
    short: dict[str, int] = field(default_factory=dict)

    def missing(self, records: Mapping[str, int]) -> int:
        """How many of the records that were held have not come back; `records` of each object in `back` are in bronze."""
        came = sum(max(records.get(source_id, 0) - had, 0) for source_id, had in self.back.items())
        gone = sum(rows for source_id, rows in self.gone.items() if not records.get(source_id))
        return min(max(self.held - came - self.salvaged, gone), self.held)

    def not_made_again(self, rows: Callable[[str], int], missing: int) -> list[Lost]:
        """What no record was left for: `rows` says how many a table has now; bronze has lost `missing` records itself."""
        why = "their data files are lost, and retention has removed their records from its source"
        why += ", or they are of the records that are missing there" if missing else ""
        found = []
        for name in {**self.rows, **self.short}:
            had, bad = self.rows.get(name, (0, 0))
            unknown, few = max(min(bad, had - rows(name)), 0), self.short.get(name, 0)
            if unknown or few:
                found.append(Lost(f"{'up to ' if unknown else ''}{count(unknown + few, 'row')} of {name}", why))
        return found

    def add(self, other: Toll) -> None:
        """Take in what another step found."""
        self.damaged += [one for one in other.damaged if one not in self.damaged]
        self.lost += [one for one in other.lost if one not in self.lost]
        self.held += other.held
        self.every |= other.every
        self.back = other.back | self.back
        self.gone = other.gone | self.gone
        self.land += [one for one in other.land if one not in self.land]
        self.salvaged += other.salvaged
        for name, (had, bad) in other.rows.items():
            before = self.rows.get(name, (had, 0))
            self.rows[name] = before[0], before[1] + bad
        for name, rows in other.short.items():
            self.short[name] = self.short.get(name, 0) + rows


def stage_afresh(
    context: Context, table: Table, files: Sequence[DataFile], mark: Bookmark, rows: int, seen: int | None
) -> tuple[IcebergTable, Staged]:
    """Stage a snapshot of these files alone, in place of `seen`; nothing of the snapshots before it is read.

    Raises CommitRefusedError where main is another snapshot than that already.
    """
    iceberg = context.load(table.name)
    if head_of(iceberg) != seen:
        # Nothing of main is carried over: what another process has committed since would be gone.
        raise CommitRefusedError(f"Table {table.name} moved on from snapshot {seen} while its files were looked at.")
    refs = {name: ref for name, ref in iceberg.metadata.refs.items() if name != "main"}
    # To the stager the table is empty, but for its sequence numbers, which go on.
    empty = IcebergTable(
        iceberg.name(),
        iceberg.metadata.model_copy(update={"current_snapshot_id": None, "refs": refs}),
        iceberg.metadata_location,
        iceberg.io,
        iceberg.catalog,
    )
    properties = context.properties(table, KIND, mark, why="damage", rows_in=rows)
    if hold := hold_on(iceberg):
        properties[HOLD] = hold
    staged = stage_snapshot(empty, table.name, files, [], properties, base=None, rows_added=rows, rows_removed=0)
    return iceberg, replace(staged, base=seen)


def publish_afresh(context: Context, table: Table, files: Sequence[DataFile], mark: Bookmark, seen: int | None) -> int:
    """Commit a snapshot of these files alone; gives its id.

    seen  the snapshot that main was when the files were chosen
    Raises CommitRefusedError when main moved since.
    """
    rows = sum(file.record_count for file in files)
    iceberg, staged = stage_afresh(context, table, files, mark, rows, seen)
    context.engine.remember(table.name, iceberg)
    publish(context, staged, keep_files=True)
    return staged.snapshot_id


def write_rows(context: Context, table: Table, rows: Relation) -> list[DataFile]:
    """Write the rows of a relation as data files of the table."""
    engine = context.engine
    assert isinstance(engine, DuckDBEngine)
    return engine.write(table, context.load(table.name), rows)


def _unread_rows(context: Context, table: Table, good: Sequence[DataFile], until: int | None) -> tuple[int, int] | None:
    """As in `Toll.rows`, of a table whose records retention may have removed; None where it has not, or nothing is lost."""
    had = total_records(context.load(table.name).current_snapshot()) or 0
    bad = had - sum(file.record_count for file in good)
    return (had, bad) if bad > 0 and gone_sources(context.engine, table, until) is not None else None


def remake(
    context: Context,
    table: Table,
    good: Sequence[DataFile],
    seen: int | None,
    toll: Toll,
    note: Callable[[Toll], object],
    *,
    whole: bool,
) -> None:
    """Make a table again from all rows of its source. Its own rows are not read, but for those in its `good` files whose
    record retention has removed from the source: nothing else could give them back.

    toll   what is lost is added to it, and told to `note`, before each commit
    whole  the source has everything already that it will have
    Raises CommitRefusedError when main moved since it was `seen`.
    """
    assert table.source is not None
    own = context.load(table.name)
    known = {one.name for one in own.schema().fields}
    if any(column.name not in known for column in table.columns):
        context.evolve(table.name)
        own = context.load(table.name)
    mark = Bookmark.of(own.current_snapshot())
    day = max(mark.day, context.day) if mark is not None and mark.day is not None and not context.today else context.day
    source = context.find(table.source)
    until = head_of(source)
    if unread := _unread_rows(context, table, good, until):
        toll.rows[table.name] = unread

    def before_commit(rows: int | None) -> None:
        if unread and rows is not None and whole:
            toll.rows.clear()
            toll.short[table.name] = max(min(unread[1], unread[0] - rows), 0)
        note(toll)

    if hold_on(own) and mark is not None and source is not None and source.metadata.snapshot_by_id(mark.source or 0):
        # What a rollback undid stays undone.
        try:
            _remake(context, table, good, mark.source, day, seen, before_commit)
            return
        except CommitRefusedError:
            raise
        except Exception:  # noqa: BLE001  (of the source's older snapshot something may be lost, too)
            why = f"what {table.source} held then cannot be read any more; the table has all of it, and is held still"
            toll.lost.append(Lost(f"the rollback of table {table.name}", why))
            _remake(context, table, good, until, day, _after_own(context, table, seen), before_commit)
            return
    if hold_on(own) and source is not None and not hold_on(source):
        why = f"the snapshot of {table.source} that it was held at is gone; the table has all of it, and is held still"
        toll.lost.append(Lost(f"the rollback of table {table.name}", why))
    _remake(context, table, good, until, day, seen, before_commit)


def _after_own(context: Context, table: Table, seen: int | None) -> int | None:
    """Main, where this step itself has put it in place of `seen` before it broke off; else `seen`."""
    head = context.load(table.name).current_snapshot()
    told = head.summary.additional_properties if head is not None and head.summary is not None else {}
    return head.snapshot_id if head is not None and told.get(RUN_PROPERTY) == context.run_id else seen


def _remake(
    context: Context,
    table: Table,
    good: Sequence[DataFile],
    until: int | None,
    day: date,
    seen: int | None,
    before_commit: Callable[[int | None], None],
) -> None:
    """As `remake`. `before_commit` is told of how many rows the table will have; of None where that is not known yet."""
    base = None
    if good and gone_sources(context.engine, table, until) is not None:
        before_commit(None)
        # The bookmark is nobody's ancestor, so that a crash before the next commit leaves a table that a run makes again.
        base = publish_afresh(context, table, good, Bookmark(0, table.definition, day, table.parts), seen)
        context.load(table.name)
    computed = compute(
        context.engine,
        table,
        Refresh(table.name, "asked", base, None, until, True, day, table.definition),
        context.clock(),
        lambda of, since, until: None,
        lambda of, at: rows_of_source(context, of, at),
        anew=True,
    )
    files = write_rows(context, table, computed.added) if computed.added is not None else []
    before_commit(sum(file.record_count for file in files))
    publish_afresh(
        context, table, files, Bookmark(until, table.definition, day, table.parts), seen if base is None else base
    )


def keep_readable(context: Context, table: Table, good: Sequence[DataFile], seen: int | None) -> None:
    """A snapshot of the data files that can be read. Raises CommitRefusedError when main moved since it was `seen`."""
    publish_afresh(context, table, good, Bookmark(None, table.definition, None, table.parts), seen)


def expire(context: Context, name: str, snapshots: Sequence[int]) -> None:
    """Forget snapshots, with the tags that name them; files are left to maintenance. Main's own is never among them.

    Raises CommitRefusedError when main moved meanwhile.
    """
    iceberg = context.load(name)
    head = head_of(iceberg)
    there = {snapshot.snapshot_id for snapshot in iceberg.metadata.snapshots} - {head}
    going = [snapshot for snapshot in snapshots if snapshot in there]
    if not going:
        return
    try:
        context.catalog.commit_table(
            iceberg,
            (AssertRefSnapshotId(ref="main", snapshot_id=head),),
            (RemoveSnapshotsUpdate(snapshot_ids=going),),
        )
    except NoSuchTableError as gone:
        raise CommitRefusedError(f"Table {name} went while its snapshots were expired.") from gone
