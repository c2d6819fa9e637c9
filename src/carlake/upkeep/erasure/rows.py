"""Rows of a forgotten car, taken out of each table by one commit that nobody who saw less can undo."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pyarrow as pa
from pyiceberg.table import Table as IcebergTable

from carlake.contracts.contract import ContractSet
from carlake.engines.manifests import ERASURE, quiet_between
from carlake.engines.protocol import Relation
from carlake.engines.schemas import ICEBERG, arrow_schema
from carlake.errors import CommitRefusedError
from carlake.landing.forgotten import FORGOTTEN_HASH, MARK, WRAPPED, cars_in, instead_of, readable, record_of, unwrap
from carlake.refresh.context import Context
from carlake.refresh.lease import Turn
from carlake.refresh.plan import BOOKMARK, Bookmark, head_of
from carlake.refresh.refresh import publish
from carlake.tables.declare import BRONZE, OPS_FORGOTTEN, OPS_RUNS, QUARANTINE
from carlake.tables.table import Column, Table
from carlake.upkeep.erasure.search import Needle, Place

_CAR = "car_chassis"
_BATCH_ROWS = 2000
# Of a forgotten record bronze keeps its place in the object, and nothing that it said.
_KEPT = ("source_uri", "source_id", "source_row", "source_size", "source_modified_at", "ingested_at")


@dataclass
class Erasing:
    """One erasure under way.

    names      what the car is called: as the tables hold it first, then in other words (its clear name)
    tombstone  its tombstone, from which what stands for its name in file names is made
    mentioned  source ids of objects in which records of other cars name it
    erased     the snapshot of each table that the erasure made
    moved      of tables whose bookmarks' source the erasure moved on: (the snapshot before it, the one it made)
    keys       (source_id, source_row) of the records in bronze that are the car's
    """

    context: Context
    names: tuple[str, ...]
    tombstone: str = ""
    mentioned: set[str] = field(default_factory=set)
    erased: dict[str, int] = field(default_factory=dict)
    moved: dict[str, tuple[int | None, int]] = field(default_factory=dict)
    keys: set[tuple[str, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        pseudonyms = self.context.pseudonyms
        self.needle = Needle(self.names, pseudonyms.open if pseudonyms is not None else None)

    @property
    def instead(self) -> str:
        """What stands in place of the car's name."""
        return instead_of(self.tombstone)

    def owns(self, record: bytes) -> bool | None:
        """Whether a record is the car's; None where it is another car's and names this one."""
        if record.startswith(WRAPPED.encode()):
            record = unwrap(record.decode("utf-8", "replace")) or record
        if self.needle.opener is not None and (opened := self.needle.opener(record)) is not None:
            record = opened
        return owns(record, self.needle, self.context.contracts)

    def cleaned(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A batch of an object's records with an empty row for each that is the car's."""
        gone = {
            row for row in range(batch.num_rows) if (record := record_of(batch, row)) is not None and self.owns(record)
        }
        if not gone:
            return batch
        columns = {name: batch.column(name).to_pylist() for name in batch.schema.names}
        for row in gone:
            for name in columns:
                columns[name][row] = FORGOTTEN_HASH if name == "record_hash" else None
        return pa.RecordBatch.from_pydict(columns, schema=batch.schema)

    def is_mention(self, place: Place) -> bool:
        """Whether a place where the name was found is in a record of another car."""
        if not self.mentioned:
            return False
        if place.kind == "parquet value":
            if place.owner is not None:
                return place.owner not in self.names and place.what != _CAR
            return place.source in self.mentioned
        if place.path.endswith((".parquet", ".avro")):
            return place.what != _CAR
        return any(part in self.mentioned for part in place.path.split("/"))


def owns(record: bytes, needle: Needle, contracts: ContractSet) -> bool | None:
    """Whether a record is about one of the names; None where it is another car's and only names it.

    The car that its contract reads decides; without a contract, or where it is broken, the name as a whole word does.
    """
    if not needle.in_bytes(record) and not needle.in_text(readable(record)):
        return False
    cars, sure = cars_in(record, contracts)
    return True if not sure or cars & set(needle.names) else None


def erase_table(erasing: Erasing, table: Table) -> int:
    """Take the car's rows out of one table and commit, even where there are none; gives their number.

    Raises CommitRefusedError where others are faster 200 times in a row, CarlakeError.
    """
    if table.name == OPS_FORGOTTEN:
        return 0
    context = erasing.context
    with Turn(context.lease_folder, table.name) as turn:
        while True:
            turn.wait()
            iceberg = context.load(table.name)
            stored = as_stored(table, iceberg)
            head = iceberg.current_snapshot()
            base = head_of(iceberg)
            picked = _pick(erasing, stored, base)
            mark = Bookmark.of(head) if head else Bookmark(None, table.definition, None, table.parts)
            if mark is not None and table.source in erasing.moved:
                mark = _moved(erasing, table.source, mark)
            properties = context.properties(table, ERASURE, mark or Bookmark(None, ""), rows=picked.rows)
            if mark is None:
                del properties[BOOKMARK]  # another program wrote the newest snapshot: it stays to be read in full
            try:
                staged = context.engine.stage(stored, base, picked.removed, picked.added, properties)
                publish(context, staged)
            except CommitRefusedError:
                if not turn.again():
                    raise
                continue
            erasing.erased[table.name] = staged.snapshot_id
            erasing.moved[table.name] = (base, staged.snapshot_id)
            return picked.rows


def _moved(erasing: Erasing, source: str, mark: Bookmark) -> Bookmark:
    """The bookmark after the erasure of a table's source: what the source lost is what the table loses, too. So it has
    read everything, if it had before; else it stays where it is, and reads what it lacks.
    """
    before, after = erasing.moved[source]
    iceberg = erasing.context.find(source)
    up_to_date = mark.source == before or (iceberg and quiet_between(iceberg, mark.source, before) is not None)
    return replace(mark, source=after) if up_to_date else mark


def holding(erasing: Erasing, table: Table) -> int:
    """How many rows of a table are the car's. Changes nothing."""
    iceberg = erasing.context.find(table.name)
    if iceberg is None or table.name == OPS_FORGOTTEN:
        return 0
    return _pick(erasing, as_stored(table, iceberg), head_of(iceberg)).rows


def as_stored(table: Table, iceberg: IcebergTable) -> Table:
    """The table with the columns that it has in the catalog: a definition may have changed and not be adopted yet."""
    declared = {column.name: column for column in table.columns}
    types = {kind: name for name, kind in ICEBERG.items()}
    columns = tuple(
        declared.get(each.name) or Column(each.name, types[each.field_type], each.doc or "")
        for each in iceberg.schema().fields
    )
    return replace(table, columns=columns)


@dataclass(frozen=True)
class _Picked:
    """Rows that go and rows that come, as `Engine.stage` takes them; `rows` counts those of the car."""

    removed: Relation | None = None
    added: Relation | None = None
    rows: int = 0


def _pick(erasing: Erasing, table: Table, base: int | None) -> _Picked:
    if base is None:
        return _Picked()
    if table.name == BRONZE:
        return _bronze(erasing, table, base)
    if table.name == OPS_RUNS:
        return _runs(erasing, table, base)
    engine = erasing.context.engine
    if table.name == QUARANTINE:
        rows = _quarantined(erasing, base)
    elif _CAR in table.column_names:
        keys = engine.table(pa.table({_CAR: pa.array(erasing.names, pa.string())}))
        rows = engine.scan(table.name, base, keys, {_CAR: _CAR}, located=True)
    else:
        return _Picked()
    removed = engine.keep(f"SELECT _file, _pos FROM {rows} AS s")
    count = engine.count(removed)
    return _Picked(removed if count else None, None, count)


def _bronze(erasing: Erasing, table: Table, base: int) -> _Picked:
    """The car's records, each replaced by an empty row, and its name in the names of objects by another."""
    engine = erasing.context.engine
    rows = engine.scan(BRONZE, base, located=True)
    sql = (
        f"SELECT _file, _pos, source_id, source_row, source_uri, raw, raw_bytes FROM {rows} AS s WHERE "
        f"{_likely(erasing)} OR raw_bytes IS NOT NULL OR {_named(erasing, 'source_uri')}"
    )
    found: dict[str, list[object]] = {"_file": [], "_pos": [], "gone": [], "uri": []}
    count = 0
    for batch in engine.batches(sql, _BATCH_ROWS):
        for row in batch.to_pylist():
            record = row["raw"].encode() if row["raw"] is not None else row["raw_bytes"]
            gone = erasing.owns(record) if record is not None else False
            if gone is None:
                erasing.mentioned.add(row["source_id"])
            elif gone:
                erasing.keys.add((row["source_id"], row["source_row"]))
            named_so = erasing.needle.in_text(row["source_uri"])
            if not gone and not named_so:
                continue
            count += bool(gone)
            uri = erasing.needle.replaced(row["source_uri"], erasing.instead) if named_so else None
            for name, value in zip(found, (row["_file"], row["_pos"], bool(gone), uri), strict=True):
                found[name].append(value)
    if not found["_file"]:
        return _Picked()
    kinds = {"_file": pa.string(), "_pos": pa.int64(), "gone": pa.bool_(), "uri": pa.string()}
    keys = engine.table(pa.table({name: pa.array(values, kinds[name]) for name, values in found.items()}))
    columns = {name: f"CASE WHEN k.gone THEN NULL ELSE s.{name} END" for name in table.column_names}
    columns |= {name: f"s.{name}" for name in _KEPT}
    columns["source_uri"] = "coalesce(k.uri, s.source_uri)"
    columns["record_hash"] = f"CASE WHEN k.gone THEN '{FORGOTTEN_HASH}' ELSE s.record_hash END"
    selected = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
    added = engine.keep(f"SELECT {selected} FROM {rows} AS s JOIN {keys} AS k ON s._file = k._file AND s._pos = k._pos")
    return _Picked(engine.keep(f"SELECT _file, _pos FROM {keys}"), added, count)


def _quarantined(erasing: Erasing, base: int) -> Relation:
    """The car's rows in quarantine: those that bronze has forgotten, and those that say it themselves.

    Of some bronze cannot tell any more: retention has removed their records there.
    """
    engine = erasing.context.engine
    place = {name: name for name in ("source_id", "source_row")}
    known = engine.scan(QUARANTINE, base, _forgotten_records(erasing), place, located=True)
    rows = engine.scan(QUARANTINE, base, located=True)
    sql = f"SELECT _file, _pos, source_id, car_chassis, raw FROM {rows} AS s WHERE {_likely(erasing)}"
    files: list[str] = []
    places: list[int] = []
    for batch in engine.batches(sql, _BATCH_ROWS):
        for row in batch.to_pylist():
            text = row["raw"]
            gone = erasing.owns(text.encode()) if text is not None else row[_CAR] in erasing.names
            if gone is None:
                erasing.mentioned.add(row["source_id"])
            elif gone:
                files.append(row["_file"])
                places.append(row["_pos"])
    own = engine.table(pa.table({"_file": pa.array(files, pa.string()), "_pos": pa.array(places, pa.int64())}))
    return engine.keep(f"SELECT _file, _pos FROM {known} AS s UNION SELECT _file, _pos FROM {own}")


def _likely(erasing: Erasing) -> str:
    """SQL for the rows of records that may be the car's: `Erasing.owns` tells of each."""
    names = ", ".join(map(_quoted, erasing.names))
    # UTF-16 of plain letters is UTF-8 too, with a NUL beside each.
    return (
        f"({_CAR} IN ({names}) OR contains(raw, '\\u') OR contains(raw, chr(0)) OR starts_with(raw, {_quoted(MARK)}) "
        f"OR {_named(erasing, 'raw')})"
    )


def _named(erasing: Erasing, column: str) -> str:
    """SQL for the rows whose text of a column may name the car."""
    return "(" + " OR ".join(f"contains({column}, {_quoted(form)})" for form in erasing.needle.forms) + ")"


def _forgotten_records(erasing: Erasing) -> Relation:
    """The places of all records that were forgotten, those of an erasure that broke off, too."""
    engine = erasing.context.engine
    head = head_of(erasing.context.find(BRONZE))
    ids, rows = (
        pa.array([key[at] for key in sorted(erasing.keys)], kind) for at, kind in ((0, pa.string()), (1, pa.int64()))
    )
    own = engine.table(pa.table({"source_id": ids, "source_row": rows}))
    there = engine.scan(BRONZE, head)
    return engine.keep(
        f"SELECT source_id, source_row FROM {own} UNION "
        f"SELECT source_id, source_row FROM {there} AS b WHERE record_hash = '{FORGOTTEN_HASH}'"
    )


def _runs(erasing: Erasing, table: Table, base: int) -> _Picked:
    """What the runs say of objects and values that name the car, with another name in its place."""
    engine = erasing.context.engine
    rows = engine.scan(table.name, base, located=True)
    # What carlake itself says in the other columns is never a car, though a short name may look so.
    texts = ["error"]
    named = " OR ".join(f"contains({name}, {_quoted(form)})" for name in texts for form in erasing.needle.forms)
    found = [
        row
        for batch in engine.batches(f"SELECT * FROM {rows} AS s WHERE {named}", _BATCH_ROWS)
        for row in batch.to_pylist()
    ]
    found = [row for row in found if any(row[name] and erasing.needle.in_text(row[name]) for name in texts)]
    if not found:
        return _Picked()
    for row in found:
        row.update({name: erasing.needle.replaced(row[name], erasing.instead) for name in texts if row[name]})
    keys = engine.table(pa.table({"_file": [row["_file"] for row in found], "_pos": [row["_pos"] for row in found]}))
    names = list(table.column_names)
    schema = arrow_schema(table.columns)
    added = engine.table(pa.Table.from_pylist([{name: row[name] for name in names} for row in found], schema=schema))
    return _Picked(keys, added, len(found))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
