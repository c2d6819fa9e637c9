"""Landing: objects become bronze rows, each content once, all rows of an object in one snapshot."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import pyarrow as pa

from carlake.contracts.contract import ContractSet
from carlake.engines.protocol import Landing, Reading
from carlake.errors import CommitRefusedError
from carlake.landing.forgotten import Screen
from carlake.landing.landed import LandedObject, UnreadableError, shown
from carlake.landing.objects import RETRY, path_of
from carlake.refresh.adopted import ready
from carlake.refresh.context import Context
from carlake.refresh.forgotten import one_writing, tombstones
from carlake.refresh.lease import Turn
from carlake.refresh.plan import Bookmark, head_of
from carlake.refresh.refresh import publish
from carlake.refresh.report import Problem, Step
from carlake.refresh.withdrawn import landing_again
from carlake.tables.declare import BRONZE

# An object of a store is known by its time and size once it had been there for so long when it was read.
_SURE_MICROSECONDS = 900 * 1_000_000


@dataclass
class Batch:
    """What became of one batch of objects.

    ids      source id of every object that bronze now holds, by uri: these may be archived
    known    how many of them bronze held before
    spared   how many were not read: name, size and modification time are as landed before
    forgotten  records that were refused, of cars that were forgotten
    oldest   when the oldest of the objects was put where it lay whose rows were committed; None without any
    """

    step: Step
    ids: dict[str, str] = field(default_factory=dict)
    known: int = 0
    spared: int = 0
    records: int = 0
    forgotten: int = 0
    oldest: datetime | None = None
    problems: list[Problem] = field(default_factory=list)


def land(
    context: Context,
    objects: Sequence[LandedObject],
    progress: Callable[[int], None] = lambda done: None,
    *,
    shared: bool = False,
) -> Batch:
    """Land one batch: read each object that bronze does not hold, and commit their rows as one snapshot.

    `progress` is called with the bytes taken in. An object that cannot be read is a problem of its own and stops no
    other. `shared` says that other runs take objects from the same folder and archive them: one that has vanished is no
    problem then. Relations made here live until the engine's session ends, so that the tables can read the parsed records.
    """
    started_at, started = context.clock(), time.perf_counter()
    batch = Batch(Step(BRONZE, "skipped", why="landing", started_at=started_at))
    # In a shared folder nothing is spared: an object that is there was not archived, perhaps since it has changed.
    # An older version was not read yet, or nobody would name it; its time says little of it.
    newest = [landed for landed in objects if not landed.version_id]
    spared = {} if shared or not newest else _spared(context, newest)
    batch.spared = len(spared)
    batch.ids.update(spared)
    fresh: dict[str, tuple[LandedObject, list[LandedObject]]] = {}
    landing = context.engine.land()
    identified = landing.identify([landed for landed in objects if landed.uri not in spared])
    batch.ids.update(identified.ids)
    batch.problems += _problems(identified.unread, shared)
    for landed in objects:
        if landed.uri in spared or landed.uri not in identified.ids:
            continue
        source_id = identified.ids[landed.uri]
        # Of equal contents in one batch the oldest is the one that is landed, whatever their order here.
        first, same = fresh.get(source_id, (landed, []))
        first = min(first, landed, key=lambda o: (o.modified_at, o.uri))
        fresh[source_id] = (first, [*same, landed])

    with Turn(context.lease_folder, BRONZE) as turn:
        while True:
            known, base = _known(context, fresh)
            batch.known = sum(len(fresh[source_id][1]) for source_id in known)
            new = {source_id: first for source_id, (first, _) in fresh.items() if source_id not in known}
            batch.known += sum(len(fresh[source_id][1]) - 1 for source_id in new)
            if not new:
                break
            try:
                turn.wait()
                _write(context, landing, new, base, batch, turn, progress, shared)
                break
            except CommitRefusedError as refused:
                if not turn.again():
                    what = f"Table {BRONZE} was written by others {turn.refusals} times in a row."
                    raise CommitRefusedError(what, "Run again.") from refused
    batch.step = replace(batch.step, refusals=turn.refusals, seconds=time.perf_counter() - started)
    return batch


def _write(
    context: Context,
    landing: Landing,
    new: Mapping[str, LandedObject],
    base: int | None,
    batch: Batch,
    turn: Turn,
    progress: Callable[[int], None],
    shared: bool,
) -> None:
    """Read the objects, stage and commit on `base`, the snapshot that was seen not to hold them.

    Raises CommitRefusedError when another writer landed one of them, or a car was forgotten, meanwhile.
    """
    bronze = context.tables[BRONZE]
    one_writing(context, base)
    # Read after the base: an erasure that they do not tell of yet moves main before this can be committed.
    graves = tombstones(context)
    limit = context.engine.max_record_bytes
    screen = Screen(context.contracts, graves, limit, context.pseudonyms)
    ready(context, BRONZE)
    reading = Reading(context.clock(), hints(context.contracts), screen, limit)
    read = landing.read(bronze, new, reading, progress)
    try:
        if len(read.unread) == len(new):
            read.abandon()
            _forget(batch, read.unread, shared)
            return
        mark = Bookmark(None, bronze.definition, None, bronze.parts)
        while True:
            properties = context.properties(
                bronze, "land", mark, files=len(new) - len(read.unread), records=read.records
            )
            try:
                staged = landing_again(read.stage(base, properties), context.engine.load(BRONZE), new)
                publish(context, staged, keep_files=True)
                break
            except OSError:
                read.unstage()
                raise
            except CommitRefusedError as refused:
                # The files are good on another base too, unless another writer landed one of the objects, or they hold a
                # car that was forgotten since.
                known, base = _known(context, new)
                stale = tombstones(context).marks != graves.marks
                if not refused.surely_not_landed or known or stale or not turn.again():
                    if refused.surely_not_landed:
                        read.abandon()
                    raise
        parsed = read.parsed
        if parsed is not None:
            context.parsed[base, staged.snapshot_id] = parsed
        _forget(batch, read.unread, shared)
        batch.records = read.records
        batch.forgotten = read.forgotten
        unread = {error.unreadable.uri for error in read.unread}
        batch.oldest = min(landed.modified_at for landed in new.values() if landed.uri not in unread)
        batch.step = replace(
            batch.step,
            status="succeeded",
            rows_in=read.records,
            rows_out=staged.rows_added,
            snapshot_id=staged.snapshot_id,
        )
    except CommitRefusedError:
        raise
    except BaseException:
        read.stop()
        raise
    finally:
        read.close()


def _problems(unread: Iterable[UnreadableError], shared: bool) -> list[Problem]:
    """Objects that could not be read. One that vanished from a shared folder was archived by another run: no problem."""
    return [
        Problem(error.unreadable.uri, error.unreadable.why, error.unreadable.advice)
        for error in unread
        if not (shared and error.vanished)
    ]


def _forget(batch: Batch, unread: Sequence[UnreadableError], shared: bool) -> None:
    """Take out objects that could not be read, and with each its copies: bronze does not hold their content either.

    Each copy is a problem too: what is none counts as landed, so that its message would go and it would not be looked at
    again.
    """
    batch.problems += _problems(unread, shared)
    first = {batch.ids[error.unreadable.uri]: error for error in unread}
    for uri, source_id in list(batch.ids.items()):
        if (error := first.get(source_id)) is None:
            continue
        del batch.ids[uri]
        if uri != error.unreadable.uri:
            batch.known -= 1
            # In a shared folder the run that archived the other one has most likely landed the content of both.
            if not (shared and error.vanished):
                why = f"has the content of {shown(error.unreadable.uri)}, which could not be read"
                batch.problems.append(Problem(uri, why, RETRY))


def hints(contracts: ContractSet) -> dict[str, list[str]]:
    """The JSON keys that bronze's hints are looked for under: where the contracts have the event's id, car and time."""
    found: dict[str, list[str]] = {"event_id": [], "car_chassis": [], "event_timestamp": []}
    for contract in contracts.contracts:
        for landed in contract.fields:
            if landed.column.name in found:
                found[landed.column.name] += [path[-1] for path in landed.paths]
    return found


def _known(context: Context, ids: Iterable[str]) -> tuple[set[str], int | None]:
    """Which of the contents bronze holds, and the snapshot that says so: the only base that the others may land on."""
    head = head_of(context.find(BRONZE))
    wanted = list(ids)
    if head is None or not wanted:
        return set(), head
    engine = context.engine
    keys = engine.table(pa.table({"source_id": wanted}))
    found = engine.scan(BRONZE, head, keys, {"source_id": "source_id"}, only={"source_id"})
    return {str(row[0]) for row in engine.rows(f"SELECT DISTINCT source_id FROM {found}")}, head


def _spared(context: Context, objects: Sequence[LandedObject]) -> dict[str, str]:
    """Source ids, by uri, of objects that were landed before under the same name, size and modification time.

    Rows of older versions do not count: bronze has them under uris of their own.
    """
    head = head_of(context.find(BRONZE))
    if head is None:
        return {}
    engine = context.engine
    uri = context.pseudonyms.uri if context.pseudonyms is not None else str
    keys = engine.table(pa.table({"source_uri": [uri(landed.uri) for landed in objects]}))
    wanted = {"source_uri", "source_size", "source_modified_at", "source_id", "ingested_at"}
    found = engine.scan(BRONZE, head, keys, {"source_uri": "source_uri"}, only=wanted)
    rows = engine.rows(
        "SELECT source_uri, source_size, epoch_us(source_modified_at), source_id, epoch_us(max(ingested_at)) "
        f"FROM {found} GROUP BY ALL"
    )
    ledger = {(row[0], row[1], row[2]): (str(row[3]), row[4]) for row in rows}
    spared = {}
    for landed in objects:
        modified = round(landed.modified_at.timestamp() * 1_000_000)
        known = ledger.get((uri(landed.uri), landed.size, modified))
        # Times in a store are those of a second: what was read in the second of its put may have been put over in it.
        if known and (path_of(landed.uri) is not None or int(str(known[1])) - modified > _SURE_MICROSECONDS):
            spared[landed.uri] = known[0]
    return spared
