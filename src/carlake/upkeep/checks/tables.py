"""Checks of the tables: their metadata and files, their bookmarks, who wrote them."""

from __future__ import annotations

from collections.abc import Iterator

from pyiceberg.table.snapshots import Snapshot

from carlake.engines.manifests import ancestry
from carlake.engines.schemas import ICEBERG
from carlake.refresh.circuits import circuits_of
from carlake.refresh.hold import Hold
from carlake.refresh.plan import Bookmark, changed_parts
from carlake.tables.declare import BRONZE, OPS_FORGOTTEN
from carlake.tables.table import Table
from carlake.upkeep.checks.finding import Check, Found
from carlake.upkeep.inspection.examined import ExaminedTable
from carlake.upkeep.inspection.graves import are_lost, unknown
from carlake.upkeep.inspection.lake import Inspection
from carlake.upkeep.inspection.lineage import MetadataFile
from carlake.words import count

_RECOVER = ("carlake recover --dry-run", "carlake recover")
_NAMED = 5


def _heads(lake: Inspection) -> Iterator[tuple[Table, ExaminedTable, MetadataFile, Snapshot]]:
    """Every declared table whose metadata can be read and that has a snapshot."""
    for name, table in lake.declared.items():
        examined = lake.tables[name]
        # What the catalog should name, where it does not: what follows is about the table, not about the catalog.
        file = lake.best(name)
        snapshot = examined.snapshot(file)
        if file is not None and snapshot is not None:
            yield table, examined, file, snapshot


def _missing(lake: Inspection) -> Iterator[Found]:
    if lake.catalog.state != "well":
        return
    for name, examined in lake.tables.items():
        if examined.pointer is None and examined.paths:
            yield name, f"is not in the catalog, though {examined.folder} holds its metadata"
    made = {name for name in lake.declared if lake.tables[name].exists}
    for table in lake.declared.values():
        if table.name not in made and any(name in made for name in lake.made_from(table.name)):
            yield table.name, "is gone with all its files, and tables that are made from it are there"


def _metadata(lake: Inspection) -> Iterator[Found]:
    for name, examined in lake.tables.items():
        if examined.trouble:
            yield name, examined.trouble.rstrip(".")


def schema_differences(table: Table, file: MetadataFile) -> list[str]:
    """The declared columns that a table's schema does not have as they are declared."""
    there = {field.name: field.field_type for field in file.metadata.schema().fields}
    mark = Bookmark.of(file.metadata.current_snapshot())
    wrong = [
        f"column {column.name} is {there[column.name]} and is declared {column.type}"
        for column in table.columns
        if column.name in there and there[column.name] != ICEBERG[column.type]
    ]
    # A table that was built by another definition lacks what `carlake rebuild` will add: that is no damage.
    if mark is not None and mark.definition == table.definition:
        wrong += [f"column {column.name} is gone" for column in table.columns if column.name not in there]
    return wrong


def _schema(lake: Inspection) -> Iterator[Found]:
    for table, _, file, _ in _heads(lake):
        if wrong := schema_differences(table, file):
            yield table.name, "; ".join(wrong[:_NAMED])


def _manifests(lake: Inspection) -> Iterator[Found]:
    for table, examined, _, snapshot in _heads(lake):
        for path, why in examined.snapshot_files(snapshot).broken:
            yield table.name, f"{path} {why}"


def _data(lake: Inspection) -> Iterator[Found]:
    for table, examined, _, snapshot in _heads(lake):
        for path, why in examined.damaged(examined.snapshot_files(snapshot).data, deep=lake.deep):
            yield table.name, f"{path} {why}"


def _old_snapshots(lake: Inspection) -> Iterator[Found]:
    for table, examined, file, _ in _heads(lake):
        for snapshot, why in examined.broken_snapshots(file):
            yield table.name, f"snapshot {snapshot.snapshot_id}: {why}"


def _deletes(lake: Inspection) -> Iterator[Found]:
    for table, examined, _, snapshot in _heads(lake):
        deletes = examined.snapshot_files(snapshot).deletes
        if deletes:
            some = f" (for one, {examined.place.path(deletes[0].file_path)})"
            yield table.name, f"has {count(len(deletes), 'delete file')}, written by another engine{some}"


def _foreign(lake: Inspection) -> Iterator[Found]:
    for table, _, _, snapshot in _heads(lake):
        if Bookmark.of(snapshot) is None:
            yield table.name, f"snapshot {snapshot.snapshot_id} carries no bookmark: another program wrote it"


def _bookmark(lake: Inspection) -> Iterator[Found]:
    for table, _, _, snapshot in _heads(lake):
        mark = Bookmark.of(snapshot)
        if mark is None or mark.source is None or table.source not in lake.declared:
            continue
        assert table.source is not None
        source = lake.best(table.source)
        if source is None:
            yield table.name, f"has read up to snapshot {mark.source} of {table.source}, which is gone"
            continue
        iceberg = lake.tables[table.source].iceberg(source)
        if mark.source not in {s.snapshot_id for s in ancestry(iceberg, source.head)}:
            known = source.metadata.snapshot_by_id(mark.source) is not None
            how = "is not on the way to its newest one" if known else "which is not there"
            yield table.name, f"has read up to snapshot {mark.source} of {table.source}, {how}"


def _definition(lake: Inspection) -> Iterator[Found]:
    for table, _, _, snapshot in _heads(lake):
        mark = Bookmark.of(snapshot)
        if mark is not None and mark.definition != table.definition:
            yield table.name, f"was built with another definition: {', '.join(changed_parts(table, mark))}"


def _day(lake: Inspection) -> Iterator[Found]:
    for table, _, _, snapshot in _heads(lake):
        mark = Bookmark.of(snapshot)
        if mark is not None and mark.day is not None and table.stale and mark.day > lake.today:
            yield table.name, f"was judged as of {mark.day}, and today is {lake.today}"


def _held(lake: Inspection) -> Iterator[Found]:
    for table, examined, file, _ in _heads(lake):
        if hold := Hold.of(examined.iceberg(file)):
            yield table.name, f"is held since {hold.since:%Y-%m-%d %H:%M}Z, rolled back to before run {hold.run}"


def _tombstones(lake: Inspection) -> Iterator[Found]:
    if buried := unknown(lake):
        what = count(buried, "tombstone lies", "tombstones lie")
        yield OPS_FORGOTTEN, f"{what} in its data files alone, and no run asks for them"
    if lake.may_read(BRONZE) and are_lost(lake):
        yield OPS_FORGOTTEN, f"has no tombstone at all, and {BRONZE} has records of forgotten cars"


def _circuits(lake: Inspection) -> Iterator[Found]:
    for circuit in circuits_of(lake.lake):
        if circuit.opened_at is not None:
            yield circuit.table, f"failed {circuit.failures} times in a row, the last time with: {circuit.error}"


CHECKS = (
    Check(
        "table-missing",
        "tables",
        "error",
        "A table that was there cannot be queried; `carlake verify` says that it is not in the catalog.",
        "The catalog's entry is gone, or the table's folder. What is made from it cannot be refreshed.",
        "The folders in the warehouse are compared with the catalog's entries, and the tables with each other.",
        "Its newest metadata file is entered again; a table whose files are gone is made again from its source.",
        _missing,
        _RECOVER,
    ),
    Check(
        "metadata-damaged",
        "tables",
        "error",
        "Every query of a table fails with an error about a metadata.json file.",
        "The metadata file that the catalog names is missing, cut short or damaged.",
        "It is read and taken apart.",
        "The table goes back to the newest metadata file that can be read; what the lost one held is made again, and "
        "what bronze had landed by it is taken in again from the archive and from its data files.",
        _metadata,
        _RECOVER,
    ),
    Check(
        "table-schema",
        "tables",
        "error",
        "A refresh fails and names columns that are not the declared ones.",
        "Another program has dropped or changed a column.",
        "The table's schema is compared with the declared columns.",
        "A silver or gold table is made anew from bronze, bronze from its data files and the archive.",
        _schema,
        _RECOVER,
    ),
    Check(
        "manifest-damaged",
        "tables",
        "error",
        "Queries and refreshes of a table fail with an error about an .avro file.",
        "A manifest or manifest list of the newest snapshot is missing, cut short or damaged: which data files the "
        "table has is not known from it.",
        "Every manifest of the newest snapshot is read.",
        "A silver or gold table is made again from bronze; bronze is put together again from the data files in its "
        "folder and the archive.",
        _manifests,
        _RECOVER,
    ),
    Check(
        "data-damaged",
        "tables",
        "error",
        "Queries of a table fail with an error about a .parquet file.",
        "A data file of the newest snapshot is missing, cut short or cannot be read.",
        "Every data file is there with the length that its manifest says; `--deep` reads each whole.",
        "A silver or gold table is made again from bronze. Bronze's lost objects come back from the archive and from "
        "other data files that hold them; what neither holds is named.",
        _data,
        _RECOVER,
    ),
    Check(
        "history-damaged",
        "tables",
        "warning",
        "Queries with `--as-of` or of an older snapshot fail; the tables of today are right.",
        "Files that only older snapshots need are missing or damaged.",
        "The manifests of every snapshot are read, and their data files looked for.",
        "The snapshots that have lost files are expired.",
        _old_snapshots,
        _RECOVER,
        deep=True,
    ),
    Check(
        "delete-files",
        "tables",
        "error",
        "Runs fail and say that a table has delete files.",
        "Another engine has deleted or updated rows by merge-on-read. carlake writes no delete files and reads none.",
        "The newest snapshot's manifests name them.",
        "A silver or gold table is made again from bronze. In bronze the other engine's change is undone: bronze is "
        "what was landed.",
        _deletes,
        _RECOVER,
    ),
    Check(
        "foreign-writer",
        "tables",
        "warning",
        "A table has rows that nobody landed, or the next run takes long for no visible reason.",
        "The newest snapshot carries no bookmark: another program wrote it. The next run compares every row.",
        "The bookmark in the newest snapshot's summary.",
        "A run makes a silver or gold table right again. Find out who writes: these tables are carlake's.",
        _foreign,
        ("carlake run", "carlake verify"),
    ),
    Check(
        "bookmark",
        "tables",
        "warning",
        "A run takes long for no visible reason.",
        "A table has read up to a snapshot that its source does not have, or not on the way to its newest one: the "
        "source was put back, or its history expired. The next run compares every row.",
        "The bookmark is looked for among the ancestors of the source's newest snapshot.",
        "A run reads all of the source and goes on from there.",
        _bookmark,
        ("carlake run",),
    ),
    Check(
        "definition",
        "tables",
        "warning",
        "Runs are partial and say that a table was built with another definition.",
        "Contracts, rules or carlake itself have changed since. The table stays as it was, and is not brought up to "
        "date until the change is adopted; bronze goes on.",
        "The definition in the table's bookmark is compared with this process's.",
        "Adopt the change, or go back to the settings that the table was built with.",
        _definition,
        ("carlake rebuild --dry-run", "carlake rebuild"),
    ),
    Check(
        "day-ahead",
        "tables",
        "warning",
        "Insurances are called expired that are not.",
        "A table was judged by a day that lies ahead: `--today` was given, or the machine's clock was wrong. The day "
        "never goes back by itself.",
        "The day in the table's bookmark is compared with today's.",
        "Give the day that it is: a day that is asked for may go back.",
        _day,
        ("carlake run --today $(date -u +%F)",),
    ),
    Check(
        "held",
        "tables",
        "warning",
        "Runs leave tables as they are, and say that they are held.",
        "A rollback holds them, so that nothing redoes the work that it undid.",
        "The hold in the newest snapshot's summary.",
        "When the cause is mended, let them go on.",
        _held,
        ("carlake resume",),
    ),
    Check(
        "tombstones-lost",
        "tables",
        "error",
        "Records of a forgotten car are taken in again.",
        "The table of the forgotten cars has lost rows, with its metadata or its files: a run knows of no such car.",
        "The tombstones in all of its data files are compared with those of its newest snapshot, and bronze is looked "
        "through for records of forgotten cars.",
        "Tombstones that any data file still holds are put back. Where there are none, nobody but you can tell which "
        "cars they were: `carlake forget` each again, before more lands.",
        _tombstones,
        _RECOVER,
    ),
    Check(
        "circuit-open",
        "tables",
        "warning",
        "A table is not brought up to date; `carlake status` says that it keeps failing.",
        "Its refresh failed several times in a row, so that what watches the lake tries it less and less often. Its last "
        "good snapshot stays readable, and the other tables go on.",
        "The failures that processes have written down.",
        "Mend the cause that the message names; a run tries the table at once, and a success closes the circuit.",
        _circuits,
        ("carlake run",),
    ),
)
