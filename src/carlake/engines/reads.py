"""Reading Iceberg tables: all rows, those of some keys, and what changed between two snapshots, from no file too many."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.types import StringType

from carlake.engines.bounds import admitting, overlapping, within_bounds
from carlake.engines.manifests import file_changes, live_files
from carlake.engines.protocol import Changed, Relation, semi_join
from carlake.engines.schemas import DUCKDB
from carlake.tables.table import Table

if TYPE_CHECKING:
    from carlake.engines.table_engine import TableEngine

# Up to this many keys, each is compared with the bounds of the files; of more only the least and the greatest.
_PRUNE_KEYS = 2000
# Up to this many rows, keeping them is cheaper than planning a read of their files again.
_FEW_ROWS = 20_000


def scan(
    engine: TableEngine,
    table: Table,
    snapshot: int | None,
    keys: Relation | None,
    on: Mapping[str, str] | None,
    located: bool,
    within: tuple[str, datetime, datetime] | None,
    only: Collection[str] | None,
) -> Relation:
    """See `Engine.scan`."""
    if snapshot is None:
        return engine.empty(table, located)
    iceberg = engine.at(table.name, snapshot)
    files = live_files(iceberg, snapshot)
    if keys is None or on is None:
        return engine.view(engine.files(table, files, iceberg, located, only, snapshot))
    bounds = ""
    if within is not None:
        column, first, last = within
        files = within_bounds(files, iceberg, column, first, last)
        bounds = f" WHERE {column} >= {_moment(first)} AND {column} < {_moment(last)}"
    files = _pruned(engine, files, iceberg, keys, on)
    names = ", ".join(name for name in table.column_names if only is None or name in only)
    names += ", _file, _pos" if located else ""
    rows = f"(SELECT * FROM ({engine.files(table, files, iceberg, located, only)}) AS f{bounds})"
    return engine.view(semi_join(names, rows, keys, on))


def find(engine: TableEngine, table: Table, snapshot: int | None, keys: Relation | None) -> Relation | None:
    """See `Engine.find`. The narrow columns of the key are read first, and wide rows only where there is a hit."""
    if snapshot is None:
        return None
    iceberg = engine.at(table.name, snapshot)
    files = live_files(iceberg, snapshot)
    on = {column: column for column in table.scope}
    if keys is not None:
        files = _pruned(engine, files, iceberg, keys, on)
    if not files:
        return None
    only = {*table.scope, *table.key}
    narrow = f"({engine.files(table, files, iceberg, located=True, only=only)})"
    if keys is not None:
        narrow = f"({semi_join('s.*', narrow, keys, on)})"
    copy = f"row_number() OVER (PARTITION BY {', '.join(table.key)} ORDER BY _file, _pos) AS _copy"
    hits = engine.keep(f"SELECT _file, _pos, {copy} FROM {narrow} AS n")
    places = {str(row[0]) for row in engine.rows(f"SELECT DISTINCT _file FROM {hits}")}
    hit = sorted((file for file in files if engine.place(file) in places), key=engine.place)
    if not hit:
        return None
    wide = engine.files(table, hit, iceberg, located=True)
    return engine.keep(
        f"SELECT w.*, h._copy FROM ({wide}) AS w JOIN {hits} AS h ON w._file = h._file AND w._pos = h._pos"
    )


def diff(engine: TableEngine, table: Table, since: int | None, until: int | None) -> Changed | None:
    """See `Engine.diff`."""
    iceberg = engine.at(table.name, until)
    changes = file_changes(iceberg, since, until)
    if changes is None:
        return None
    whole = (
        until if since is None and not changes.gone and len(changes.added) == len(live_files(iceberg, until)) else None
    )
    added = engine.files(table, changes.added, iceberg, snapshot=whole)
    gone = engine.files(table, changes.gone, iceberg)
    if not changes.gone:
        rows = sum(file.record_count for file in changes.added)
        came = engine.keep(added) if 0 < rows <= _FEW_ROWS else engine.view(added)
        return Changed(came, engine.view(gone), rows, 0)
    # A file that was written anew carries most of its rows over: only the rest has changed.
    came, went = engine.keep(f"({added}) EXCEPT ALL ({gone})"), engine.keep(f"({gone}) EXCEPT ALL ({added})")
    return Changed(came, went, engine.count(came), engine.count(went))


def nothing(table: Table, located: bool = False, only: Collection[str] | None = None) -> str:
    """SQL for no rows of a table; `located` and `only` as in `TableEngine.files`."""
    columns = [column for column in table.columns if only is None or column.name in only]
    nulls = [f"CAST(NULL AS {DUCKDB[column.type]}) AS {column.name}" for column in columns]
    if located:
        nulls += [f"CAST(NULL AS {DUCKDB['string']}) AS _file", f"CAST(NULL AS {DUCKDB['long']}) AS _pos"]
    return f"SELECT * FROM (SELECT {', '.join(nulls)}) AS none WHERE false"


def _pruned(
    engine: TableEngine, files: list[DataFile], iceberg: IcebergTable, keys: Relation, on: Mapping[str, str]
) -> list[DataFile]:
    """The files whose bounds admit one of the keys in each text column that is one of theirs."""
    for key, expression in on.items():
        if len(files) < 2 or key != expression or not isinstance(iceberg.schema().find_type(key), StringType):
            continue
        some = engine.rows(f"SELECT DISTINCT {key} FROM {keys} LIMIT {_PRUNE_KEYS + 1}")
        values = sorted(str(row[0]) for row in some if row[0] is not None)
        if not values:
            return []
        if len(some) <= _PRUNE_KEYS:
            files = admitting(overlapping(files, iceberg, key, values[0], values[-1]), iceberg, key, values)
        else:
            [(first, last)] = engine.rows(f"SELECT min({key}), max({key}) FROM {keys}")
            files = overlapping(files, iceberg, key, first, last)
    return files


def _moment(moment: datetime) -> str:
    return f"TIMESTAMP WITH TIME ZONE '{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'"
