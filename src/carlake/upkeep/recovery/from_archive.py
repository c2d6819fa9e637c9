"""Bronze made again from the archive: every object that lies there as it was landed is read again, all as one snapshot.

Nothing can be lost by it. What the archive does not hold, or not as it was landed, keeps the rows that bronze has; so
do objects with rows that must not come back (records of forgotten cars, records that retention removed). When an object
was landed, from where, and its modification time then are bronze's to say: so silver's versions stay what they were.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, partial

import pyarrow as pa

from carlake.engines.bronze_rows import bronze_rows
from carlake.engines.manifests import quiet_between
from carlake.engines.protocol import Relation, Source
from carlake.engines.schemas import arrow_schema
from carlake.errors import CarlakeError, CommitRefusedError, LakeError, ReadError
from carlake.landing.archived import archived, is_named_rightly, is_own
from carlake.landing.forgotten import FORGOTTEN_HASH, Screen
from carlake.landing.landed import LandedObject
from carlake.landing.objects import hash_object, open_object
from carlake.landing.records import split
from carlake.refresh.causes import cause
from carlake.refresh.context import Context
from carlake.refresh.forgotten import one_writing, tombstones
from carlake.refresh.land import hints
from carlake.refresh.lease import Turn
from carlake.refresh.plan import Bookmark, head_of
from carlake.refresh.refresh import publish
from carlake.refresh.report import Step
from carlake.refresh.withdrawn import withdrawn_ids
from carlake.tables.declare import BRONZE
from carlake.words import count

# Rows that are held in memory at once, and relations that are read by one statement.
_ROWS = 30_000
_LARGE_BYTES = 64 << 20
_RELATIONS = 100
_NAMED = 20
# Snapshots of these kinds take no record out of bronze: what the archive gave before them may still come back.
_ONLY_MORE = frozenset({"land", "compaction"})


@dataclass(frozen=True)
class Held:
    """One object as bronze has it: where it came from, its rows, and when it was landed."""

    source: Source
    ingested_at: datetime
    rows: int


@dataclass(frozen=True)
class ArchivePlan:
    """What a rebuild from the archive would do.

    again    objects that are read again, with where they lie in the archive
    missing  archived objects that bronze does not hold, where they lie: they are landed
    kept     how many objects keep the rows that bronze has, for the archive does not have them
    closed   how many keep them since some of their records must not come back
    empty    how many of these were empty from the first, and lack nothing
    withdrawn  how many were taken back out of bronze: they stay away
    damaged  archived objects that bronze does not hold, and of which no copy is what was archived: they are left alone
    seen     the snapshot of bronze that says so
    """

    again: tuple[tuple[Held, LandedObject], ...] = ()
    missing: tuple[LandedObject, ...] = ()
    kept: int = 0
    closed: int = 0
    empty: int = 0
    withdrawn: int = 0
    damaged: tuple[str, ...] = ()
    seen: int | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What of bronze does not come from the archive, in words."""
        found = []
        if self.kept:
            found.append(
                f"{count(self.kept, 'object is', 'objects are')} not in the archive: bronze kept the rows that it had."
            )
        if closed := self.closed - self.empty:
            found.append(
                f"{count(closed, 'object has', 'objects have')} records that were forgotten or removed by retention: "
                "bronze kept its rows."
            )
        if self.withdrawn:
            found.append(
                f"{count(self.withdrawn, 'object was', 'objects were')} taken back out of bronze: not landed again."
            )
        if self.damaged:
            what = count(len(self.damaged), "archived object", "archived objects")
            found.append(
                f"{what} that bronze does not hold cannot be read as archived: {_some(self.damaged)}. "
                "`carlake recover` lands what can be read of them."
            )
        return tuple(found)


@dataclass
class Remade:
    """What a rebuild from the archive did. `notes` say what it could not, for people."""

    step: Step
    notes: list[str] = field(default_factory=list)


def plan_from_archive(context: Context, archive: str) -> ArchivePlan:
    """Compare the archive with bronze, by source ids. Changes nothing."""
    with context.engine.session(), _readable():
        iceberg = context.find(BRONZE)
        seen = head_of(iceberg)
        held, closed, empty = _ledger(context, seen)
    withdrawn = withdrawn_ids(iceberg.metadata) if iceberg is not None else set()
    again, missing, damaged, met, away = [], [], [], set(), 0
    for source_id, files in archived(archive):
        if source_id in met:
            continue
        met.add(source_id)
        if source_id in held:
            # Most have one copy, and that is looked at when it is read.
            right = _right(files) if len(files) > 1 else None
            again.append((held[source_id], right or files[0]))
        elif source_id in withdrawn - closed:
            away += 1
        elif source_id not in closed:
            right = _right(files)
            if right is not None:
                missing.append(right)
            else:
                damaged.append(files[0].uri)
    kept = len(held.keys() - met)
    return ArchivePlan(tuple(again), tuple(missing), kept, len(closed), empty, away, tuple(damaged), seen)


def _right(files: Sequence[LandedObject]) -> LandedObject | None:
    """The first copy that is what was archived; None where none is, or none can be read."""
    for landed in files:
        with suppress(CarlakeError, OSError):
            if is_named_rightly(landed):
                return landed
    return None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f", and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def remake_bronze(
    context: Context, archive: str, progress: Callable[[str, int], None] = lambda table, done: None
) -> Remade:
    """Commit bronze's new snapshot; objects that bronze does not hold are left to a run.

    Raises CarlakeError where bronze cannot be read (`carlake recover` is for that), CommitRefusedError where other
    writers were faster again and again.
    """
    started_at, started = context.clock(), time.perf_counter()
    with Turn(context.lease_folder, BRONZE) as turn:
        while True:
            turn.wait()
            plan = plan_from_archive(context, archive)
            remade = Remade(Step(BRONZE, "skipped", why="asked", started_at=started_at), list(plan.notes))
            if not plan.again:
                return remade
            with context.engine.session():
                try:
                    with _readable():
                        _write(context, plan, remade, turn, progress)
                except CommitRefusedError as refused:
                    if not turn.again():
                        raise CommitRefusedError(
                            f"Table {BRONZE} was written by others {turn.refusals} times in a row.", "Rebuild again."
                        ) from refused
                    continue
            return Remade(
                Step(
                    BRONZE,
                    "succeeded",
                    why="asked",
                    rows_in=remade.step.rows_in,
                    rows_out=remade.step.rows_out,
                    rows_removed=remade.step.rows_removed,
                    snapshot_id=remade.step.snapshot_id,
                    started_at=started_at,
                    seconds=time.perf_counter() - started,
                    refusals=turn.refusals,
                ),
                remade.notes,
            )


@contextmanager
def _readable() -> Iterator[None]:
    """Turn what is wrong with bronze's own files into an error that says what to do."""
    try:
        yield
    except CarlakeError:
        raise
    except Exception as error:
        raise LakeError(
            f"Table {BRONZE} cannot be read: {cause(error)}",
            "Nothing was changed. `carlake recover` makes it whole from the archive and every file that can be read.",
        ) from error


def _ledger(context: Context, seen: int | None) -> tuple[dict[str, Held], set[str], int]:
    """What bronze holds by source id: objects that can be read again, and those whose rows must stay as they are; and
    how many of these were empty from the first.
    """
    engine = context.engine
    rows = engine.scan(BRONZE, seen)
    held: dict[str, Held] = {}
    closed: set[str] = set()
    empty = 0
    for source_id, uri, size, modified, ingested, rows_held, emptied in engine.rows(
        "SELECT source_id, min(source_uri), min(source_size), min(source_modified_at), min(ingested_at), "
        "count(DISTINCT source_row), "
        f"count(*) FILTER (record_hash IS NULL OR record_hash = '{FORGOTTEN_HASH}') FROM {rows} GROUP BY source_id"
    ):
        if emptied:
            closed.add(str(source_id))
            empty += size == 0
        else:
            assert isinstance(modified, datetime)
            assert isinstance(ingested, datetime)
            source = Source(str(uri), str(source_id), int(str(size)), modified)
            held[source.source_id] = Held(source, ingested, int(str(rows_held)))
    return held, closed, empty


def _write(
    context: Context, plan: ArchivePlan, remade: Remade, turn: Turn, progress: Callable[[str, int], None]
) -> None:
    engine, table = context.engine, context.tables[BRONZE]
    base = _base(context, plan.seen)
    one_writing(context, base)
    graves = tombstones(context)
    # As on landing: an object that was written anew has lines in it that stand for other records.
    screen = Screen(context.contracts, graves, engine.max_record_bytes, context.pseudonyms)
    names = ", ".join(table.column_names)
    relations: list[Relation] = []
    ids: list[str] = []
    damaged: list[str] = []
    done = read_rows = 0
    for read, of, problems in _read(context, plan, screen):
        damaged += problems
        ids += [held.source.source_id for held in of]
        done += sum(held.source.size_bytes for held in of)
        read_rows += sum(engine.count(each) for each in read)
        progress(BRONZE, done)
        relations += read
        if len(relations) >= _RELATIONS:
            relations = [engine.keep(" UNION ALL ".join(f"SELECT * FROM {each}" for each in relations))]
    if damaged:
        what = count(len(damaged), "file of the archive is", "files of the archive are")
        kept = "not, or not wholly, what was landed: bronze kept the rows that it had"
        remade.notes.append(f"{what} {kept}: {_some(damaged)}.")
    if not relations:
        return
    again = engine.table(pa.table({"again": pa.array(ids, pa.string())}))
    anew = " UNION ALL ".join(f"SELECT {names} FROM {each}" for each in relations)
    while True:
        own = engine.scan(BRONZE, base)
        added = engine.view(f"SELECT {names} FROM {own} AS s ANTI JOIN {again} ON source_id = again UNION ALL {anew}")
        properties = context.properties(
            table, "rebuild", Bookmark(None, table.definition, None, table.parts), why="archive", rows_in=read_rows
        )
        try:
            staged = engine.stage(table, base, None, added, properties, everything=True)
            publish(context, staged)
            break
        except CommitRefusedError as refused:
            # What landed meanwhile is read with bronze's own rows; what was taken out may be among those read again.
            if not refused.surely_not_landed:
                raise
            base = _base(context, base)
            if tombstones(context).marks != graves.marks or not turn.again():
                raise
    remade.step = Step(
        BRONZE,
        "succeeded",
        rows_in=read_rows,
        rows_out=staged.rows_added,
        rows_removed=staged.rows_removed,
        snapshot_id=staged.snapshot_id,
    )


def _base(context: Context, before: int | None) -> int | None:
    """Bronze's snapshot as it is now. Raises CommitRefusedError where more than landings came after `before`.

    An erasure reaches bronze before the archive, so a copy that still has the records may have been listed or read.
    """
    iceberg = context.find(BRONZE)
    base = head_of(iceberg)
    if base != before and (iceberg is None or quiet_between(iceberg, before, base, _ONLY_MORE) is None):
        raise CommitRefusedError(f"Table {BRONZE} changed since snapshot {before}, by more than what landed.")
    return base


def _read(
    context: Context, plan: ArchivePlan, screen: Screen
) -> Iterator[tuple[list[Relation], list[Held], list[str]]]:
    """Bronze's rows of the archived objects, some objects at a time; and the files that are not what was landed."""
    pending: list[tuple[Source, int, pa.RecordBatch]] = []
    of: list[Held] = []
    rows = 0
    for held, place in sorted(plan.again, key=lambda pair: (pair[0].ingested_at, pair[0].source.source_id)):
        if of and (of[-1].ingested_at != held.ingested_at or rows >= _ROWS):
            yield [_keep(context, pending, of[-1].ingested_at)], of, []
            pending, of, rows = [], [], 0
        if held.source.size_bytes > _LARGE_BYTES:
            relations = _large(context, held, place, screen)
            yield (relations, [held], []) if relations is not None else ([], [], [place.uri])
            continue
        try:
            batches = list(_records(context, held, place, screen))
        except (CarlakeError, OSError):
            yield [], [], [place.uri]
            continue
        pending += _numbered(held, batches)
        rows += sum(batch.num_rows for batch in batches)
        of.append(held)
    if of:
        yield [_keep(context, pending, of[-1].ingested_at)], of, []


def _large(context: Context, held: Held, place: LandedObject, screen: Screen) -> list[Relation] | None:
    """The rows of an object that is not held in memory as a whole; None where it is not what was landed."""
    relations: list[Relation] = []
    pending: list[tuple[Source, int, pa.RecordBatch]] = []
    rows = 0
    try:
        for numbered in _numbered(held, _records(context, held, place, screen)):
            pending.append(numbered)
            rows += numbered[2].num_rows
            if rows >= _ROWS:
                relations.append(_keep(context, pending, held.ingested_at))
                pending, rows = [], 0
    except (CarlakeError, OSError):
        return None
    return [*relations, _keep(context, pending, held.ingested_at)] if pending else relations


def _records(context: Context, held: Held, place: LandedObject, screen: Screen) -> Iterator[pa.RecordBatch]:
    """The records of an archived object. Raises ReadError where it is not what was landed, or has fewer than bronze."""
    if not is_named_rightly(place):
        raise ReadError(f"{place.uri} is not what was landed.")
    rows = 0
    own = cache(partial(is_own, place.uri, partial(hash_object, place)))
    with open_object(place) as stream:
        for batch in split(stream, max_record_bytes=context.engine.max_record_bytes):
            rows += batch.num_rows
            yield screen(batch, own)
    if rows < held.rows:
        raise ReadError(f"{place.uri} has {rows} records, and bronze {held.rows}.")


def _numbered(held: Held, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[Source, int, pa.RecordBatch]]:
    first = 0
    for batch in batches:
        yield held.source, first, batch
        first += batch.num_rows


def _keep(context: Context, pending: Sequence[tuple[Source, int, pa.RecordBatch]], ingested_at: datetime) -> Relation:
    schema = arrow_schema(context.tables[BRONZE].columns)
    rows = bronze_rows(pending, hints(context.contracts), ingested_at)
    return context.engine.table(rows.select(schema.names).cast(schema))
