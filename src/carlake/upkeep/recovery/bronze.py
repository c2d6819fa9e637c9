"""Bronze put together again: every object whole, once, from whatever data files hold it; the archive gives the rest.

An object is either whole or not. It stays where the newest snapshot's files hold it whole; else its rows are taken from
other data files in bronze's folder (of older snapshots, of commits that were lost with their metadata) where these hold
it for certain whole; else the archive has it, and it is landed again by the next step; else what is left of it is landed
as an object of its own, under a name that says so, and it is named as lost in part. The rows of one snapshot change at
once.

Files that no snapshot names may be of a landing that was broken off, or that goes on. An object whose end may be yet to
come is not taken in from them: bronze would know it, and it could not be landed again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile
from pyiceberg.typedef import Record
from pyiceberg.types import StringType

from carlake.engines.bronze_files import may_go_on
from carlake.engines.data_files import data_file, described
from carlake.engines.duckdb.engine import DuckDBEngine
from carlake.engines.duckdb.files import quoted, read_files
from carlake.engines.protocol import Relation
from carlake.engines.schemas import arrow_schema
from carlake.landing.archived import archived, is_named_rightly, put_into
from carlake.landing.forgotten import FORGOTTEN_HASH, cars_in
from carlake.refresh.context import Context
from carlake.refresh.forgotten import tombstones
from carlake.refresh.plan import Bookmark
from carlake.refresh.refresh import publish
from carlake.storage.store_paths import AnyPath, StorePath, named_below, parquet
from carlake.tables.declare import BRONZE, QUARANTINE, SILVER
from carlake.upkeep.checks.landing import bronze_files, outside, withdrawn
from carlake.upkeep.inspection.examined import SnapshotFiles, file_trouble
from carlake.upkeep.inspection.lake import Inspection
from carlake.upkeep.inspection.ledger import HeldObject, objects_in, source_ids, together
from carlake.upkeep.recovery.tables import Lost, Toll, publish_afresh, write_rows
from carlake.words import count

SALVAGED = "salvaged-"
"""How the names of objects begin that hold what was left of another."""
_ROWS = 20_000


@dataclass
class Assembly:
    """What bronze's next snapshot is made of.

    keep     data files that stay as they are
    cut      data files of which only the rows of objects in `whole` stay
    whole    objects that stay in `cut`
    bring    objects whose rows come from other files: where they lie
    again    objects that the archive has, which are landed again
    partial  objects of which only a part is left, and where it lies
    begun    objects that no snapshot holds and whose end may be missing: they stay where they are
    lost     data files that cannot be read, with why
    records  how many the data files of the newest snapshot held, as its manifests say
    lost_records  how many of these the files in `lost` held
    here     how many are in `keep`, `whole` and `bring`
    """

    keep: dict[AnyPath, DataFile | None] = field(default_factory=dict)
    cut: set[AnyPath] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)
    bring: dict[str, set[AnyPath]] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)
    partial: dict[str, HeldObject] = field(default_factory=dict)
    begun: dict[str, HeldObject] = field(default_factory=dict)
    lost: list[tuple[AnyPath, str]] = field(default_factory=list)
    records: int = 0
    lost_records: int = 0
    here: int = 0


def assemble(lake: Inspection) -> Assembly:
    """Look at every data file of bronze, and decide."""
    found = Assembly()
    files = bronze_files(lake)
    listed: dict[AnyPath, DataFile | None] = {}
    if not files.broken and not files.deletes:
        listed = {lake.place.path(file.file_path): file for file in files.data}
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
    archive = dict(archived(lake.archive))

    def in_archive(source_id: str) -> bool:
        """Whether the archive has it as it was landed; a damaged copy gives nothing back."""
        return any(is_named_rightly(landed) for landed in archive.get(source_id, ()))

    for source_id, here in held.items():
        if here.whole and not (source_id in doubtful and in_archive(source_id)):
            found.whole.add(source_id)
    # What was taken back lies in files of older snapshots yet; it stays away, unless it landed anew.
    for source_id in {*held, *others} - found.whole - (withdrawn(lake) - {*held}):
        there = others.get(source_id)
        whole = there is not None and there.whole
        alone = there is not None and _may_lack_its_end(there, others)
        if there is not None and whole and not alone and source_id not in last:
            found.bring[source_id] = there.files
        elif in_archive(source_id):
            found.again.add(source_id)
        elif there is not None and whole and (not alone or _has_its_end(there)):
            found.bring[source_id] = there.files
        elif there is not None and whole and source_id not in held and _is_told(lake, files):
            found.begun[source_id] = there
        else:
            found.partial[source_id] = together_loosely([*filter(None, (held.get(source_id), there))])[source_id]
    unreadable = {path for path, _ in found.lost}
    described = {path: file.record_count for path, file in listed.items() if file is not None}
    found.records = sum(described.values())
    found.lost_records = sum(rows for path, rows in described.items() if path in unreadable)
    found.here = sum(len(held[source_id].rows) for source_id in found.whole)
    found.here += sum(len(others[source_id].rows) for source_id in found.bring)
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
        yield from objects_in(path, hashes=True)


def together_loosely(parts: Iterable[HeldObject]) -> dict[str, HeldObject]:
    """As `together`, where several files may hold the same rows: one of them is taken."""
    found: dict[str, HeldObject] = {}
    for part in parts:
        held = found.setdefault(part.source_id, HeldObject(part.source_id, part.uri))
        held.rows |= part.rows
        held.files |= part.files
        held.wrong |= part.wrong
    return found


def _doubtful(
    lake: Inspection,
    held: Mapping[str, HeldObject],
    lost: Sequence[tuple[AnyPath, str]],
    listed: Mapping[AnyPath, DataFile | None],
) -> set[str]:
    """Objects whose last rows may have been in a file that is lost: a long object has files of its own, and a merge cuts
    the last object of a file.
    """
    ranges = [_range(lake, listed.get(path)) for path, _ in lost]
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


def _range(lake: Inspection, file: DataFile | None) -> tuple[str, str]:
    """The first and the last object that a data file may hold, by its description."""
    best = lake.best(BRONZE)
    if file is None or best is None:
        return "", "~"
    field_id = best.metadata.schema().find_field("source_id").field_id
    first, last = (file.lower_bounds or {}).get(field_id), (file.upper_bounds or {}).get(field_id)
    if first is None or last is None:
        return "", "~"
    return str(from_bytes(StringType(), first)), str(from_bytes(StringType(), last))


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
    return lake.best(BRONZE) is not None and not files.broken and not files.deletes


def _begun(found: Assembly) -> list[Lost]:
    """The objects whose end may be missing, in words."""
    return [
        Lost(
            f"object {one.uri} ({source_id})",
            f"no snapshot holds it, and its end may be missing: {count(len(one.rows), 'record')} of a landing that was "
            f"broken off, or still goes on, stay in {', '.join(sorted(map(str, one.files)))}; land the object again",
        )
        for source_id, one in sorted(found.begun.items())
    ]


def put_together(context: Context, lake: Inspection, landing: str) -> Toll:
    """Commit bronze's next snapshot, if it must differ; gives what is damaged, and how much of it is yet to come.

    landing  where the remains of objects are put, to be landed by the next run
    Raises CommitRefusedError when main moved meanwhile: look again, and put together again.
    """
    table = context.tables[BRONZE]
    found = assemble(lake)
    damaged = [Lost(f"data file {path}", why) for path, why in found.lost]
    toll = Toll(damaged, _begun(found), held=found.lost_records)
    salvaged = 0
    for source_id, one in found.partial.items():
        records, lost = _salvage(context, lake, source_id, one, landing)
        salvaged += records
        toll.lost.append(lost)
    if found.lost:
        toll.missing = max(found.records - found.here - salvaged, 0)
    iceberg = context.load(BRONZE)
    if any(column.name not in {one.name for one in iceberg.schema().fields} for column in table.columns):
        context.evolve(BRONZE)
        iceberg = context.load(BRONZE)
    rows = _rows(context, found, _without_records(context, lake, found))
    files = [file or _described(context, path) for path, file in found.keep.items()]
    if rows is not None:
        files += write_rows(context, table, rows)
    publish_afresh(context, table, files, Bookmark(None, table.definition, None, table.parts), lake.head(BRONZE))
    return toll


def _without_records(context: Context, lake: Inspection, found: Assembly) -> set[str]:
    """Objects whose records retention had removed, and whose marker row is lost: silver and quarantine still have rows of
    them, which nothing could make again.
    """
    if not lake.settings.bronze_retention_days:
        return set()
    known: set[str] = set()
    for name in (SILVER, QUARANTINE):
        table = lake.tables[name]
        snapshot = table.snapshot(lake.best(name))
        paths = [table.place.path(f.file_path) for f in table.snapshot_files(snapshot).data] if snapshot else []
        known |= source_ids(path for path in paths if not file_trouble(path, None, deep=True))
    return known - found.whole - found.bring.keys() - found.again - found.partial.keys() - found.begun.keys()


def _rows(context: Context, found: Assembly, markers: Collection[str]) -> Relation | None:
    """The rows that are written anew: what stays of files that are cut, and the objects that come from others."""
    engine, table = context.engine, context.tables[BRONZE]
    names = ", ".join(table.column_names)
    parts = []
    if found.cut:
        whole = engine.table(pa.table({"kept": pa.array(sorted(found.whole), pa.string())}))
        parts.append(f"SELECT {names} FROM ({_read(context, found.cut)}) AS s SEMI JOIN {whole} ON source_id = kept")
    if found.bring:
        parts.append(f"SELECT {names} FROM {_brought(context, found.bring)}")
    if markers:
        now = context.clock()
        empty = dict.fromkeys(table.column_names)
        rows = [
            {**empty, "source_uri": "lost", "source_id": source_id, "source_row": 0, "ingested_at": now}
            for source_id in sorted(markers)
        ]
        kept = engine.table(pa.Table.from_pylist(rows, schema=arrow_schema(table.columns)))
        parts.append(f"SELECT {names} FROM {kept}")
    return engine.keep(" UNION ALL ".join(parts)) if parts else None


def _brought(context: Context, objects: Mapping[str, Collection[AnyPath]]) -> Relation:
    """The rows of objects in other files, each once, as they were landed; those of forgotten cars stay forgotten."""
    engine = context.engine
    paths = {path for files in objects.values() for path in files}
    wanted = engine.table(pa.table({"wanted": pa.array(sorted(objects), pa.string())}))
    # A record's own hash tells the right one of several: a file of an older snapshot may have been edited since.
    rows = engine.keep(
        f"SELECT * FROM ({_read(context, paths)}) AS s SEMI JOIN {wanted} ON source_id = wanted "
        "QUALIFY row_number() OVER (PARTITION BY source_id, source_row "
        f"ORDER BY (record_hash IS NOT DISTINCT FROM {quoted(FORGOTTEN_HASH)}) DESC, ingested_at) = 1"
    )
    graves = tombstones(context)
    if not graves.marks:
        return rows
    schema = arrow_schema(context.tables[BRONZE].columns)
    kept = engine.view(f"SELECT * FROM {rows} WHERE false")
    for batch in engine.batches(f"SELECT * FROM {rows}", _ROWS):
        screened = []
        for row in batch.to_pylist():
            record = row["raw"].encode() if row["raw"] is not None else row["raw_bytes"]
            if record is not None and graves.any_of(cars_in(record, context.contracts)[0]):
                hints = ("raw", "raw_bytes", "event_id", "car_chassis", "event_timestamp")
                row = {**row, **dict.fromkeys(hints), "record_hash": FORGOTTEN_HASH}
            screened.append(row)
        more = engine.table(pa.Table.from_pylist(screened, schema=schema))
        kept = engine.view(f"SELECT * FROM {kept} UNION ALL SELECT * FROM {more}")
    return kept


def _read(context: Context, paths: Iterable[AnyPath]) -> str:
    """SQL that reads data files of bronze as its declared columns."""
    table, engine = context.tables[BRONZE], context.engine
    assert isinstance(engine, DuckDBEngine)
    named = sorted(paths, key=str)
    for path in named:
        if isinstance(path, StorePath):
            engine.reach_file(str(path), path.size, path.places)
    return read_files(table, [str(path) for path in named], context.load(BRONZE).schema())


def _salvage(context: Context, lake: Inspection, source_id: str, one: HeldObject, landing: str) -> tuple[int, Lost]:
    """Put what is left of an object into landing as an object of its own; the name is the same at every try.

    Gives how many records that are.
    """
    rows = context.engine.rows(
        f"SELECT DISTINCT ON (source_row) source_row, raw, raw_bytes FROM ({_read(context, one.files)}) "
        f"WHERE source_id = {quoted(source_id)} AND (raw IS NOT NULL OR raw_bytes IS NOT NULL) ORDER BY source_row"
    )
    records = [raw.encode() if isinstance(raw, str) else raw_bytes for _, raw, raw_bytes in rows]
    name = f"{SALVAGED}{source_id[:16]}.ndjson"
    if records:
        put_into(landing, name, b"".join(bytes(record) + b"\n" for record in records if isinstance(record, bytes)))
    what = f"object {one.uri} ({source_id})"
    if not records:
        return 0, Lost(what, "no record of it can be read, and neither the archive nor another data file has it")
    can = count(len(records), "record of it can be read", "records of it can be read")
    why = f"only {can}, and neither the archive nor another data file has the rest"
    return len(records), Lost(what, f"{why}; what is left was landed as {name}")


def _described(context: Context, path: AnyPath) -> DataFile:
    """A data file that no manifest describes."""
    ingested: datetime = pc.min(pq.read_table(parquet(path), columns=["ingested_at"])["ingested_at"]).as_py()
    day = (ingested.astimezone(UTC).date() - datetime(1970, 1, 1, tzinfo=UTC).date()).days
    iceberg = context.load(BRONZE)
    if isinstance(path, StorePath):
        return described(iceberg, str(path), path.size, pq.ParquetFile(parquet(path)).metadata, Record(day))
    return data_file(iceberg, str(path), Record(day))


def take_in(context: Context, lake: Inspection) -> tuple[int, Toll]:
    """Take in the objects that lie whole in data files outside of bronze's newest snapshot, and nowhere in it.

    Gives their number, and what stays there. Raises CommitRefusedError when main moved meanwhile.
    """
    table = context.tables[BRONZE]
    found = assemble(lake)
    if not found.bring:
        return 0, Toll(lost=_begun(found))
    files = [file for file in found.keep.values() if file is not None]
    if found.cut or found.lost or len(files) != len(found.keep):
        return len(found.bring), put_together(context, lake, lake.landing)
    # Main as it was looked at: an object that another process has landed since would be there twice.
    base = lake.head(BRONZE)
    mark = Bookmark(None, table.definition, None, table.parts)
    properties = context.properties(table, "land", mark, why="recover", files=len(found.bring))
    added = context.engine.keep(f"SELECT * FROM {_brought(context, found.bring)}")
    staged = context.engine.stage(table, base, None, added, properties)
    publish(context, staged)
    return len(found.bring), Toll(lost=_begun(found))
