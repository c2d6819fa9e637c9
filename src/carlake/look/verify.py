"""Verify: the one rule, run in full over each table at its own bookmark, must change nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import xxhash
from pyiceberg.table import Table as IcebergTable

from carlake.catalogs.by_name import forget_metadata
from carlake.engines.manifests import forget_cached, live_files, quiet_between
from carlake.engines.protocol import Changed, Relation
from carlake.engines.snapshots import hold_on
from carlake.errors import CarlakeError
from carlake.landing.archived import archived, is_named_rightly
from carlake.landing.forgotten import FORGOTTEN_HASH
from carlake.landing.listing import list_landing
from carlake.look.deep import catalog_damage, damaged_files
from carlake.refresh.compute import compute
from carlake.refresh.forgotten import PSEUDONYMS
from carlake.refresh.plan import Bookmark, Refresh, changed_parts, head_of
from carlake.refresh.refresh import rows_of_source
from carlake.refresh.retained import gone_sources
from carlake.refresh.retained import retained as retained_rows
from carlake.refresh.withdrawn import withdrawn_ids
from carlake.tables.declare import BRONZE, QUARANTINE, SILVER
from carlake.tables.table import Table
from carlake.words import count

if TYPE_CHECKING:
    from carlake.lakehouse import Lakehouse
    from carlake.refresh.context import Context

_MISSING = "it is not in the catalog, though the table that it is made from, or that is made from it, is"
# Differing rows that are named one by one; the rest are counted.
_NAMED = 5


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it must be: in which table, what, and which keys (as far as they are named)."""

    table: str
    kind: str
    what: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    files        distinct contents that bronze holds
    records      records that were landed; records = accepted + quarantined + duplicates + forgotten
    accepted     rows of silver
    quarantined  rows of quarantine
    duplicates   records that a contract accepts and that are not the silver row: repeats and superseded versions
    forgotten    records of forgotten cars: an empty row stands for each
    retained     rows of silver and quarantine whose records retention has removed from bronze; they are not in `records`
    pending      objects that wait in landing; they are no problem
    behind       tables that have not read all of their source yet; no problem either
    uncounted    tables that could not be read or judged, so that the records do not add up
    """

    files: int = 0
    records: int = 0
    accepted: int = 0
    quarantined: int = 0
    duplicates: int = 0
    forgotten: int = 0
    retained: int = 0
    pending: int = 0
    behind: tuple[str, ...] = ()
    uncounted: tuple[str, ...] = ()
    problems: tuple[Difference, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problems


def verify(house: Lakehouse, *, deep: bool = False) -> Verification:
    """Check the whole lake; changes nothing. Reads every row, so it takes about as long as landing them did.

    `deep` compares every file of every table, those of older snapshots too, with the checksum in its name, and every
    archived object with the hash in its place.
    """
    # What counts is what lies in the files now.
    forget_cached()
    forget_metadata(house.catalog)
    context = house.context(trigger="verify")
    engine = context.engine
    problems: list[Difference] = []
    behind: list[str] = []
    uncounted: list[str] = []
    counts = {"files": 0, "records": 0, "accepted": 0, "forgotten": 0}
    retained: dict[str, int] = {}
    counted = True  # every table has read up to the very snapshot that bronze is counted at
    with engine.session():
        ledger = _bronze(context, problems, counts)
        problems += _archive(house.archive, ledger | _withdrawn(context)) if ledger is not None else []
        uncounted += [BRONZE] if ledger is None else []
        for table in context.tables.values():
            if table.source is None or table.source not in context.tables:
                continue
            try:
                own, source = context.find(table.name), context.find(table.source)
                if own is None or source is None:
                    missing = Difference(table.name if own is None else table.source, "missing table", _MISSING)
                    problems += [missing] if (own or source) is not None and missing not in problems else []
                    uncounted += [table.name] if source is not None else []
                    continue
                counts[table.name] = _rows(own)
                problems += _doubles(context, table, own)
                found, accepted = _table(context, table, own, source)
                retained[table.name] = _retained(context, table, own, source)
            except Exception as error:  # noqa: BLE001  (a damaged file must not end the check of the others)
                problems.append(_unreadable(context, (table.name, table.source), error))
                uncounted.append(table.name)
                continue
            problems += found
            if table.name == SILVER and accepted is not None:
                counts["accepted"] = accepted
            elif table.name == SILVER and own.current_snapshot() is not None:
                uncounted.append(table.name)
            mark = Bookmark.of(own.current_snapshot())
            if quiet_between(source, mark.source if mark else None, head_of(source)) is None:
                behind.append(table.name)
            counted = counted and mark is not None and mark.source == head_of(source)
    silver, quarantined = counts.get(SILVER, 0), counts.get(QUARANTINE, 0)
    refused = quarantined - retained.get(QUARANTINE, 0)
    if not problems and counted and counts["records"] != counts["accepted"] + refused + counts["forgotten"]:
        problems.append(
            Difference(
                SILVER,
                "count",
                f"{counts['records']} records in bronze are not {counts['accepted']} accepted ones, {refused} quarantined "
                f"ones and {counts['forgotten']} forgotten ones",
            )
        )
    if deep:
        problems += [*_damage(house, context), *_damaged_archive(house.archive)]
    waiting = list_landing(house.landing).objects
    return Verification(
        files=counts["files"],
        records=counts["records"],
        accepted=silver,
        quarantined=quarantined,
        duplicates=max(counts["accepted"] - silver + retained.get(SILVER, 0), 0),
        retained=sum(retained.values()),
        forgotten=counts["forgotten"],
        pending=len(waiting),
        behind=tuple(behind),
        uncounted=tuple(name for name in uncounted if name in (BRONZE, SILVER, QUARANTINE)),
        problems=tuple(problems),
    )


def _damage(house: Lakehouse, context: Context) -> Iterator[Difference]:
    """Files that are not what was written, one difference each, and what the catalog's own check finds."""
    if house.settings.catalog == "sqlite" and (what := catalog_damage(house.lake.catalog_db)):
        yield Difference("catalog", "damaged file", what, (str(house.lake.catalog_db),))
    for name in context.tables:
        try:
            iceberg = context.find(name)
            found = list(damaged_files(iceberg)) if iceberg else []
            if found and iceberg and (now := context.find(name)) and now.metadata_location != iceberg.metadata_location:
                found = list(damaged_files(now))  # Files may have been expired meanwhile.
        except Exception as error:  # noqa: BLE001  (see verify)
            yield _unreadable(context, (name,), error)
            continue
        for location, what in found:
            yield Difference(name, "damaged file", f"{location} {what}", (location,))


def _retained(context: Context, table: Table, own: IcebergTable, source: IcebergTable) -> int:
    """Rows of a table whose records its source does not have any more."""
    mark, engine = Bookmark.of(own.current_snapshot()), context.engine
    there = mark is not None and source.metadata.snapshot_by_id(mark.source or 0) is not None
    gone = gone_sources(engine, table, mark.source) if mark is not None and there else None
    rows = engine.scan(table.name, head_of(own))
    return engine.count(engine.view(retained_rows(rows, gone))) if gone is not None else 0


def _rows(iceberg: IcebergTable) -> int:
    return sum(file.record_count for file in live_files(iceberg, head_of(iceberg)))


def _unreadable(context: Context, names: Sequence[str], error: Exception) -> Difference:
    """A table that cannot be read, with the data files at fault: its own, else those of the table it is made from."""
    for name in names:
        if faults := _faults(context, name):
            kinds = sorted({fault for _, fault in faults})
            files = f"data file{'s' if len(faults) > 1 else ''} of {name}"
            what = f"{len(faults)} {files} {'are' if len(faults) > 1 else 'is'} {' or '.join(kinds)}"
            return Difference(names[0], "unreadable", what, tuple(path for path, _ in faults[:_NAMED]))
    what = error.what if isinstance(error, CarlakeError) else " ".join(str(error).split())[:500]
    return Difference(names[0], "unreadable", what or type(error).__name__)


def _faults(context: Context, name: str) -> list[tuple[str, str]]:
    """The data files of a table that cannot be read, each `damaged` or `missing`.

    None where the metadata is at fault, which the error names.
    """
    try:
        iceberg = context.find(name)
        if iceberg is None:
            return []
        files = live_files(iceberg, head_of(iceberg))
    except Exception:  # noqa: BLE001
        return []
    faults = []
    for file in files:
        try:
            with iceberg.io.new_input(file.file_path).open() as content, pq.ParquetFile(content) as parquet:
                for _ in parquet.iter_batches():
                    pass
        except FileNotFoundError:
            faults.append((str(file.file_path), "missing"))
        except Exception:  # noqa: BLE001  (whatever is wrong with a file, it is the one)
            faults.append((str(file.file_path), "damaged"))
    return faults


def _doubles(context: Context, table: Table, own: IcebergTable) -> Iterator[Difference]:
    """Keys that the newest snapshot has more than once.

    Computing the table anew does not show all of them: rows that retention keeps have no source to compare them with.
    """
    engine, columns = context.engine, ", ".join(table.key)
    rows = engine.scan(table.name, head_of(own))
    twice = engine.keep(f"SELECT {columns} FROM {rows} GROUP BY {columns} HAVING count(*) > 1")
    yield from _named(context, table, twice, "key more than once", "key more than once", "keys more than once")


def _bronze(context: Context, problems: list[Difference], counts: dict[str, int]) -> set[str] | None:
    """Check bronze against itself; gives the source ids it holds, None where it cannot be read."""
    engine = context.engine
    try:
        rows = engine.scan(BRONZE, head_of(context.find(BRONZE)))
        objects = engine.keep(
            "SELECT source_id, count(*) AS n, count(DISTINCT source_row) AS distinct_rows, min(source_row) AS first, "
            "max(source_row) AS last, count(record_hash) AS records, any_value(source_uri) AS uri, "
            f"count(*) FILTER (record_hash = '{FORGOTTEN_HASH}') AS forgotten "
            f"FROM {rows} GROUP BY source_id"
        )
        counts["files"] = engine.count(objects)
        sums = engine.rows(f"SELECT coalesce(sum(records), 0), coalesce(sum(forgotten), 0) FROM {objects}")[0]
        counts["records"], counts["forgotten"] = int(str(sums[0])), int(str(sums[1]))
        for source_id, n, distinct, first, last, uri in engine.rows(
            "SELECT source_id, n, distinct_rows, first, last, uri "
            f"FROM {objects} WHERE n <> distinct_rows OR first <> 0 OR last <> distinct_rows - 1 ORDER BY uri"
        ):
            what = f"rows {first} to {last} of the object should be there once each; there are {n}, {distinct} of them distinct"
            problems.append(Difference(BRONZE, "rows of an object", what, (f"{source_id} ({uri})",)))
        problems += _hashes(context, rows)
        return {str(row[0]) for row in engine.rows(f"SELECT source_id FROM {objects}")}
    except Exception as error:  # noqa: BLE001  (see verify)
        problems.append(_unreadable(context, (BRONZE,), error))
    return None


def _hashes(context: Context, rows: Relation) -> Iterator[Difference]:
    """Records whose text is not what was landed: their hash says so."""
    wrong: list[str] = []
    differing = 0
    sql = (
        f"SELECT source_id, source_row, record_hash, raw, raw_bytes FROM {rows} WHERE record_hash <> '{FORGOTTEN_HASH}'"
    )
    for batch in context.engine.batches(sql, 20_000):
        for source_id, source_row, landed, raw, raw_bytes in zip(*(c.to_pylist() for c in batch.columns), strict=True):
            content = raw_bytes if raw is None else raw.encode()
            if content is None or xxhash.xxh3_128_hexdigest(content) != landed:
                differing += 1
                wrong += [f"{source_id} row {source_row}"] if differing <= _NAMED else []
    if differing:
        what = f"{count(differing, 'record is', 'records are')} not the text that was landed"
        yield Difference(BRONZE, "changed record", what, tuple(wrong))


def _withdrawn(context: Context) -> set[str]:
    """The objects that were taken back out of bronze: their copies in the archive are to stay out of it."""
    iceberg = context.find(BRONZE)
    return withdrawn_ids(iceberg.metadata) if iceberg is not None else set()


def _archive(archive: str, ledger: set[str]) -> Iterator[Difference]:
    """Archived objects, `<day>/<source_id>/<name>`, whose content bronze does not hold, and did not give back."""
    for source_id, places in archived(archive):
        if source_id not in ledger:
            names = tuple(landed.uri for landed in places[:_NAMED])
            yield Difference(BRONZE, "archived object missing", "an archived object is not in bronze", names)


def _damaged_archive(archive: str) -> Iterator[Difference]:
    """Archived objects whose content is not what was landed. One that is rewritten meanwhile is looked at twice."""
    what = "an archived object is not what was landed; bring it back from a backup, for a rebuild from the archive"
    suspects = {landed.uri for _, places in archived(archive) for landed in places if not is_named_rightly(landed)}
    if not suspects:
        return
    for _, places in archived(archive):
        for landed in places:
            if landed.uri in suspects and not is_named_rightly(landed):
                yield Difference(BRONZE, "archived object damaged", what, (landed.uri,))


def _table(
    context: Context, table: Table, own: IcebergTable, source: IcebergTable
) -> tuple[list[Difference], int | None]:
    """Compute a table anew as of its own bookmark: what would change is what is wrong. Gives its source rows, too."""
    head = own.current_snapshot()
    mark = Bookmark.of(head)
    if head is None:
        return [], None
    if mark is None:
        what = f"snapshot {head.snapshot_id} carries no bookmark: another program wrote it; `carlake run` makes the table anew"
        return [Difference(table.name, "foreign writer", what)], None
    if table.broken:
        return [Difference(table.name, "definition", f"it cannot be judged: {table.broken}")], None
    if mark.definition != table.definition:
        changed = changed_parts(table, mark)
        advice = (
            f"open the lake with {BRONZE}'s own key" if PSEUDONYMS in changed else "`carlake rebuild` adopts this one"
        )
        what = f"built with another definition ({', '.join(changed)}); {advice}"
        return [Difference(table.name, "definition", what)], None
    if mark.source is not None and source.metadata.snapshot_by_id(mark.source) is None:
        what = f"its bookmark, snapshot {mark.source} of {table.source}, is not there any more"
        what += "; it is held: `carlake resume` lets a run bring it up to date" if hold_on(own) else ""
        return [Difference(table.name, "bookmark", what)], None
    refresh = Refresh(
        table.name, "history", head.snapshot_id, None, mark.source, True, mark.day or date.min, table.definition
    )

    def no_history(of: Table, since: int | None, until: int | None) -> Changed | None:
        return None

    computed = compute(
        context.engine,
        table,
        refresh,
        context.clock().astimezone(UTC),
        no_history,
        lambda of, at: rows_of_source(context, of, at),
    )
    found = []
    if computed.removed is not None:
        before = context.engine.scan(table.name, head.snapshot_id, located=True)
        rows = f"{before} AS s SEMI JOIN {computed.removed} AS r ON s._file = r._file AND s._pos = r._pos"
        found += _named(
            context,
            table,
            rows,
            "unfounded rows",
            "row that its source does not give",
            "rows that its source does not give",
        )
    if computed.added is not None:
        found += _named(
            context,
            table,
            computed.added,
            "missing rows",
            "row that its source gives is missing",
            "rows that its source gives are missing",
        )
    return found, computed.rows_in


def _named(context: Context, table: Table, rows: str, kind: str, one: str, many: str) -> list[Difference]:
    """The rows of a relation as one difference, the first of them by their keys; none where there are no rows."""
    engine = context.engine
    rows_found = int(str(engine.rows(f"SELECT count(*) FROM {rows}")[0][0]))
    keys = engine.rows(f"SELECT DISTINCT {', '.join(table.key)} FROM {rows} ORDER BY ALL LIMIT {_NAMED}")
    if not rows_found:
        return []
    named = tuple(" / ".join(str(part) for part in key) for key in keys)
    return [Difference(table.name, kind, count(rows_found, one, many), named)]
