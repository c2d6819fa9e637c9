"""Bronze put together again: every object whole, once, from whatever data files hold it; the archive gives the rest.

What becomes of each object is decided in `assembly`. What is left of one that nothing gives back is landed as an object
of its own, under a name that says so, and it is named as lost in part. The rows of one snapshot change at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.manifest import DataFile
from pyiceberg.typedef import Record

from carlake.engines.data_files import data_file, described
from carlake.engines.duckdb.engine import DuckDBEngine
from carlake.engines.duckdb.files import quoted, read_files
from carlake.engines.protocol import Relation
from carlake.engines.schemas import arrow_schema
from carlake.engines.snapshots import total_records
from carlake.landing.forgotten import FORGOTTEN_HASH, cars_in
from carlake.refresh.context import Context
from carlake.refresh.forgotten import tombstones
from carlake.refresh.plan import Bookmark
from carlake.refresh.refresh import publish
from carlake.storage.store_paths import AnyPath, StorePath, parquet
from carlake.tables.declare import BRONZE
from carlake.upkeep.checks.landing import withdrawn
from carlake.upkeep.inspection.lake import Inspection
from carlake.upkeep.recovery.assembly import Assembly, assemble
from carlake.upkeep.recovery.markers import Known, bounds_of, known_objects, markers_in, without_records
from carlake.upkeep.recovery.salvage import salvage
from carlake.upkeep.recovery.tables import Lost, Toll, publish_afresh, write_rows
from carlake.words import count

_ROWS = 20_000


def _begun(found: Assembly) -> list[Lost]:
    """The objects whose end may be missing, in words."""
    return [
        Lost(
            f"object {one.uri} ({source_id})",
            f"no snapshot holds it, and its end may be missing: {count(len(one.rows), 'record')} of a landing that was "
            f"broken off, or still goes on, stay in {', '.join(sorted(map(str, one.files)))}; land the object again",
            source_id,
        )
        for source_id, one in sorted(found.begun.items())
    ]


def put_together(context: Context, lake: Inspection, landing: str, note: Callable[[Toll], object]) -> Toll:
    """Commit bronze's next snapshot, if it must differ; gives what is damaged, and how much of it is yet to come.

    landing  where the remains of objects are put, to be landed
    note     told of what it gives before the commit
    Raises CommitRefusedError when main moved meanwhile: look again, and put together again.
    """
    table = context.tables[BRONZE]
    found = assemble(lake)
    files = lake.files(BRONZE)
    toll = Toll([Lost(f"data file {path}", why) for path, why in found.lost], _begun(found))
    toll.damaged += [Lost(f"manifest {path}", why) for path, why in files.broken]
    for one in found.partial.values():
        left = salvage(context, lake, one, _read(context, one.files), landing)
        left.salvaged = max(left.salvaged - found.here.get(one.source_id, 0), 0)
        toll.add(left)
    known = known_objects(lake)
    # By name, for landing may wait for a marker, or until they have settled.
    toll.land += found.copies.only_in_landing(found.again | _not_found(lake, found, known))
    absent = _absent(lake, found, known)
    markers = without_records(lake, absent, found.lost_files, told=found.told)
    gone = {source_id: absent[source_id] for source_id in absent if source_id not in markers}
    toll.lost += _gone(found, gone)
    toll.gone = {source_id: one.rows for source_id, one in gone.items()}
    iceberg = context.load(BRONZE)
    if any(column.name not in {one.name for one in iceberg.schema().fields} for column in table.columns):
        context.evolve(BRONZE)
        iceberg = context.load(BRONZE)
    rows = _rows(context, found, markers)
    _count(context, lake, found, known, rows, toll)
    kept = [file or _described(context, path) for path, file in found.keep.items()]
    if rows is not None:
        kept += write_rows(context, table, rows)
    note(toll)
    publish_afresh(context, table, kept, Bookmark(None, table.definition, None, table.parts), lake.head(BRONZE))
    return toll


def _count(
    context: Context, lake: Inspection, found: Assembly, known: Mapping[str, Known], rows: Relation | None, toll: Toll
) -> None:
    """Count what bronze's damaged files held, and say which objects may bring it back. Marker rows are no records."""
    toll.held = sum(file.record_count - markers_in(lake, file) for file in found.lost_files)
    snapshot = lake.newest(BRONZE)
    if lake.files(BRONZE).broken and snapshot is not None and snapshot.summary is not None:
        empty = f"(SELECT * FROM {rows} WHERE record_hash IS NULL)"
        total = total_records(snapshot) or 0
        toll.held = max(total - (context.engine.count(empty) if rows is not None else 0), 0)
        toll.every = True
    if not toll.held:
        return
    ranges = [("", "~")] if toll.every else [bounds_of(lake, file) for file in found.lost_files]
    copies = {*found.copies.archive, *found.copies.landing} - found.whole - withdrawn(lake)
    for source_id in {*found.bring, *found.again, *copies}:
        # What bronze never held takes nothing off its loss.
        inside = any(first <= source_id <= last for first, last in ranges)
        if inside or source_id in found.here or source_id in known:
            toll.back[source_id] = found.here.get(source_id, 0)
    # A backup of the archive may bring them yet, should this be broken off.
    toll.back |= dict.fromkeys(toll.gone, 0)


def _not_found(lake: Inspection, found: Assembly, known: Mapping[str, Known]) -> set[str]:
    """The objects that silver and quarantine have rows of, and that no file of bronze has."""
    there = {*found.whole, *found.again, *found.bring, *found.partial, *found.begun}
    return known.keys() - there - withdrawn(lake)


def _absent(lake: Inspection, found: Assembly, known: Mapping[str, Known]) -> dict[str, Known]:
    """Those of them that can be landed again from nowhere."""
    absent = sorted(_not_found(lake, found, known))
    return {source_id: known[source_id] for source_id in absent if not found.copies.has(source_id)}


def _gone(found: Assembly, objects: Mapping[str, Known]) -> list[Lost]:
    """Objects that are lost whole, in words. A damaged copy in the archive is named where what it holds is landed."""
    where = "no file that can be read, nor the archive or landing, has it"
    return [
        Lost(
            f"object {source_id}", f"{where}; silver and quarantine had {count(known.rows, 'record')} of it", source_id
        )
        for source_id, known in objects.items()
        if source_id not in found.copies.archive
    ]


def _rows(context: Context, found: Assembly, markers: Collection[str]) -> Relation | None:
    """The rows that are written anew: what stays of files that are cut, and the objects that come from others."""
    engine, table = context.engine, context.tables[BRONZE]
    names = ", ".join(table.column_names)
    parts = []
    if found.cut:
        whole = engine.table(pa.table({"kept": pa.array(sorted(found.whole), pa.string())}))
        parts.append(f"SELECT {names} FROM ({_read(context, found.cut)}) AS s SEMI JOIN {whole} ON source_id = kept")
    if found.bring:
        parts.append(f"SELECT {names} FROM {_brought(context, found)}")
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


def _brought(context: Context, found: Assembly) -> Relation:
    """The rows of objects in other files, each once, as they were landed; those of forgotten cars stay forgotten."""
    engine = context.engine
    paths = {path for files in found.bring.values() for path in files}
    wanted = engine.table(pa.table({"wanted": pa.array(sorted(found.bring), pa.string())}))
    # A file of an older snapshot may have been edited since; it may be read for another object's sake.
    edited = sorted((str(path), source_id) for path, source_id in found.wrong if path in paths)
    wrong = engine.table(pa.table(dict(zip(("file", "object"), _columns(edited, 2), strict=True))))
    rows = engine.keep(
        f"SELECT * EXCLUDE (_file, _pos) FROM ({_read(context, paths, located=True)}) AS s "
        f"SEMI JOIN {wanted} ON source_id = wanted "
        "QUALIFY row_number() OVER (PARTITION BY source_id, source_row "
        f"ORDER BY (record_hash IS NOT DISTINCT FROM {quoted(FORGOTTEN_HASH)}) DESC, "
        f"(_file, source_id) IN (SELECT (file, object) FROM {wrong}), ingested_at) = 1"
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


def _columns(rows: Sequence[tuple[str, ...]], width: int) -> list[pa.Array]:
    """Rows of texts as Arrow columns."""
    return [pa.array([row[place] for row in rows], pa.string()) for place in range(width)]


def _read(context: Context, paths: Iterable[AnyPath], *, located: bool = False) -> str:
    """SQL that reads data files of bronze as its declared columns; `located` adds `_file` and `_pos`."""
    table, engine = context.tables[BRONZE], context.engine
    assert isinstance(engine, DuckDBEngine)
    named = sorted(paths, key=str)
    for path in named:
        if isinstance(path, StorePath):
            engine.reach_file(str(path), path.size, path.places)
    return read_files(table, [str(path) for path in named], context.load(BRONZE).schema(), located)


def _described(context: Context, path: AnyPath) -> DataFile:
    """A data file that no manifest describes."""
    ingested: datetime = pc.min(pq.read_table(parquet(path), columns=["ingested_at"])["ingested_at"]).as_py()
    day = (ingested.astimezone(UTC).date() - datetime(1970, 1, 1, tzinfo=UTC).date()).days
    iceberg = context.load(BRONZE)
    if isinstance(path, StorePath):
        return described(iceberg, str(path), path.size, pq.ParquetFile(parquet(path)).metadata, Record(day))
    return data_file(iceberg, str(path), Record(day))


def take_in(context: Context, lake: Inspection, note: Callable[[Toll], object]) -> tuple[int, Toll]:
    """Take in the objects that lie whole in data files outside of bronze's newest snapshot, and nowhere in it.

    Gives their number, and what stays there, which the next recovery finds as well. `note`: as in `put_together`.
    Raises CommitRefusedError when main moved meanwhile.
    """
    table = context.tables[BRONZE]
    found = assemble(lake)
    if not found.bring:
        note(toll := Toll(lost=_begun(found)))
        return 0, toll
    files = [file for file in found.keep.values() if file is not None]
    if found.cut or found.lost or len(files) != len(found.keep):
        return len(found.bring), put_together(context, lake, lake.landing, note)
    # Main as it was looked at: an object that another process has landed since would be there twice.
    base = lake.head(BRONZE)
    mark = Bookmark(None, table.definition, None, table.parts)
    properties = context.properties(table, "land", mark, why="recover", files=len(found.bring))
    added = context.engine.keep(f"SELECT * FROM {_brought(context, found)}")
    staged = context.engine.stage(table, base, None, added, properties)
    note(toll := Toll(lost=_begun(found)))
    publish(context, staged)
    return len(found.bring), toll
