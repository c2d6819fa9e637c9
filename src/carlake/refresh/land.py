"""Landing: objects become bronze rows, each content once, all rows of an object in one snapshot."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from carlake.contracts.contract import ContractSet
from carlake.engines.protocol import LandingBatch, Source
from carlake.errors import CarlakeError, CommitRefusedError, ReadError
from carlake.landing.forgotten import Screen
from carlake.landing.objects import LandedObject, Unreadable, UnreadableError, hash_object, open_object, read_object
from carlake.landing.records import BATCH_BYTES, BATCH_RECORDS, lone_record, lone_records, split
from carlake.landing.rewriting import original_id
from carlake.refresh.adopted import ready
from carlake.refresh.context import Context
from carlake.refresh.forgotten import one_writing, tombstones
from carlake.refresh.lease import Turn
from carlake.refresh.plan import Bookmark, head_of
from carlake.refresh.refresh import publish
from carlake.refresh.report import Problem, Step
from carlake.tables.declare import BRONZE

_SMALL_BYTES = 1 << 20
_KEPT_BYTES = 64 << 20


@dataclass
class Batch:
    """What became of one batch of objects.

    ids      source id of every object that bronze now holds, by uri: these may be archived
    known    how many of them bronze held before
    spared   how many were not read: name, size and modification time are as landed before
    forgotten  records that were refused, of cars that were forgotten
    """

    step: Step
    ids: dict[str, str] = field(default_factory=dict)
    known: int = 0
    spared: int = 0
    records: int = 0
    forgotten: int = 0
    problems: list[Problem] = field(default_factory=list)


def batches(objects: Sequence[LandedObject], most_bytes: int, most_files: int) -> Iterable[list[LandedObject]]:
    """Cut the backlog into batches, each landed by one commit: at least one object, else no more than the limits."""
    batch: list[LandedObject] = []
    size = 0
    for landed in objects:
        if batch and (size + landed.size > most_bytes or len(batch) >= most_files):
            yield batch
            batch, size = [], 0
        batch.append(landed)
        size += landed.size
    if batch:
        yield batch


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
    spared = {} if shared else _spared(context, objects)
    batch.spared = len(spared)
    batch.ids.update(spared)
    fresh: dict[str, tuple[LandedObject, list[LandedObject]]] = {}
    contents = _Contents()
    for landed in objects:
        if landed.uri in spared:
            continue
        try:
            source_id = _hash(landed, contents)
        except UnreadableError as error:
            _unread(batch, error, shared)
            continue
        batch.ids[landed.uri] = source_id
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
                _write(context, new, base, contents, batch, turn, progress, shared)
                break
            except CommitRefusedError as refused:
                if not turn.again():
                    what = f"Table {BRONZE} was written by others {turn.refusals} times in a row."
                    raise CommitRefusedError(what, "Run again.") from refused
    batch.step = replace(batch.step, refusals=turn.refusals, seconds=time.perf_counter() - started)
    return batch


def _write(
    context: Context,
    new: Mapping[str, LandedObject],
    base: int | None,
    contents: _Contents,
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
    screen = Screen(context.contracts, graves, context.engine.max_record_bytes, context.pseudonyms)
    ready(context, BRONZE)
    landing = context.engine.land(bronze, context.clock(), hints(context.contracts))
    unread: list[str] = []
    try:
        lone = _Lone(landing, screen, context.engine.max_record_bytes)
        for source_id, landed in new.items():
            forgotten = screen.forgotten
            source = Source(screen.name(landed.uri), source_id, landed.size, landed.modified_at)
            try:
                if not lone.take(source, contents.get(landed.uri)):
                    landing.add(source, map(screen, _records(context, landed, contents)))
            except UnreadableError as error:
                screen.forgotten = forgotten
                unread.append(landed.uri)
                _unread(batch, error, shared)
            progress(landed.size)
        lone.flush()
        if len(unread) == len(new):
            landing.abandon()
            _forget(batch, unread)
            return
        mark = Bookmark(None, bronze.definition, None, bronze.parts)
        while True:
            properties = context.properties(bronze, "land", mark, files=len(new) - len(unread), records=landing.records)
            try:
                staged = landing.stage(base, properties)
                publish(context, staged, keep_files=True)
                break
            except OSError:
                landing.unstage()
                raise
            except CommitRefusedError as refused:
                # The files are good on another base too, unless another writer landed one of the objects, or they hold a
                # car that was forgotten since.
                known, base = _known(context, new)
                stale = tombstones(context).marks != graves.marks
                if not refused.surely_not_landed or known or stale or not turn.again():
                    if refused.surely_not_landed:
                        landing.abandon()
                    raise
        parsed = landing.parsed
        context.parsed[base, staged.snapshot_id] = parsed
        _forget(batch, unread)
        batch.records = landing.records
        batch.forgotten = screen.forgotten
        batch.step = replace(
            batch.step,
            status="succeeded",
            rows_in=landing.records,
            rows_out=staged.rows_added,
            snapshot_id=staged.snapshot_id,
        )
    except CommitRefusedError:
        batch.problems = [p for p in batch.problems if p.uri not in unread]
        raise
    except BaseException:
        landing.stop()
        raise
    finally:
        landing.close()


def _unread(batch: Batch, error: UnreadableError, shared: bool) -> None:
    """Note an object that could not be read. One that vanished from a shared folder was archived by another run."""
    if not (shared and error.vanished):
        batch.problems.append(Problem(error.unreadable.uri, error.unreadable.why, error.unreadable.advice))


def _forget(batch: Batch, uris: Iterable[str]) -> None:
    """Take out objects that were not landed, and with each its copies: bronze does not hold their content either."""
    contents = {batch.ids[uri] for uri in uris}
    batch.ids = {uri: source_id for uri, source_id in batch.ids.items() if source_id not in contents}


class _Contents(dict[str, bytes]):
    """Contents of small objects by uri, read once for hash and records; no more of them than memory should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def has_room(self, landed: LandedObject) -> bool:
        return landed.size <= _SMALL_BYTES and self.size + landed.size <= _KEPT_BYTES

    def keep(self, uri: str, content: bytes) -> None:
        self[uri] = content
        self.size += len(content)


class _Lone:
    """Objects of one record each, gathered: a batch of rows for each alone would cost ten times as much."""

    def __init__(self, landing: LandingBatch, screen: Screen, max_record_bytes: int) -> None:
        self._landing, self._screen, self._limit = landing, screen, max_record_bytes
        self._sources: list[Source] = []
        self._records: list[bytes] = []
        self._size = 0

    def take(self, source: Source, content: bytes | None) -> bool:
        """Take the object if it is known to be one record."""
        record = lone_record(content) if content else None
        if record is None:
            return False
        if self._sources and (self._size + len(record) > BATCH_BYTES or len(self._records) >= BATCH_RECORDS):
            self.flush()
        self._sources.append(source)
        self._records.append(record)
        self._size += len(record)
        return True

    def flush(self) -> None:
        """Pass on what is gathered."""
        if self._sources:
            batch = self._screen(lone_records(self._records, max_record_bytes=self._limit))
            self._landing.add_lone(self._sources, batch)
        self._sources, self._records, self._size = [], [], 0


def _hash(landed: LandedObject, contents: _Contents) -> str:
    """The object's source id; its content is kept where it is small. Raises UnreadableError."""
    if not contents.has_room(landed):
        return original_id(landed.uri, hash_object(landed))
    content = read_object(landed)
    contents.keep(landed.uri, content)
    return original_id(landed.uri, hashlib.sha256(content).hexdigest())


def _records(context: Context, landed: LandedObject, contents: _Contents) -> Iterable[pa.RecordBatch]:
    """The object's records; raises UnreadableError where it vanished, changed or cannot be read, before or meanwhile."""
    with io.BytesIO(contents[landed.uri]) if landed.uri in contents else open_object(landed) as stream:
        try:
            yield from split(stream, max_record_bytes=context.engine.max_record_bytes)
        except UnreadableError:
            raise
        except (ReadError, OSError) as error:
            # The object's name is known here, and only here: it stays alone with what is wrong with it.
            what = (error.strerror or str(error)) if isinstance(error, OSError) else error.what
            why = f"could not be read to its end ({what})"
            raise UnreadableError(Unreadable(landed.uri, why, "It stays where it is and is tried again.")) from error
        except CarlakeError:
            raise
        except Exception as error:
            why = f"could not be taken apart ({type(error).__name__}: {error})"
            raise UnreadableError(
                Unreadable(landed.uri, why, "It stays where it is; this is a fault of carlake's.")
            ) from error


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
    found = engine.scan(BRONZE, head, keys, {"source_id": "source_id"})
    return {str(row[0]) for row in engine.rows(f"SELECT DISTINCT source_id FROM {found}")}, head


def _spared(context: Context, objects: Sequence[LandedObject]) -> dict[str, str]:
    """Source ids, by uri, of objects that were landed before under the same name, size and modification time."""
    head = head_of(context.find(BRONZE))
    if head is None:
        return {}
    engine = context.engine
    uri = context.pseudonyms.uri if context.pseudonyms is not None else str
    keys = engine.table(pa.table({"source_uri": [uri(landed.uri) for landed in objects]}))
    found = engine.scan(BRONZE, head, keys, {"source_uri": "source_uri"})
    rows = engine.rows(f"SELECT DISTINCT source_uri, source_size, epoch_us(source_modified_at), source_id FROM {found}")
    ledger = {(row[0], row[1], row[2]): str(row[3]) for row in rows}
    spared = {}
    for landed in objects:
        key = (uri(landed.uri), landed.size, round(landed.modified_at.timestamp() * 1_000_000))
        if key in ledger:
            spared[landed.uri] = ledger[key]
    return spared
