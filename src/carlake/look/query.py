"""SQL over the lake's tables, now or in the past: it can neither write nor reach anything but their data files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table as IcebergTable

from carlake.engines.duckdb.files import local_path, read_files
from carlake.engines.duckdb.query import QueryFailedError, QuerySession, View
from carlake.engines.manifests import live_files
from carlake.engines.schemas import iceberg_schema
from carlake.errors import CarlakeError, NotFoundError, QueryError
from carlake.look.names import unknown_column
from carlake.look.statement import read_statement
from carlake.refresh.causes import speaks_of_damage
from carlake.tables.table import Table

_UNKNOWN_COLUMN = re.compile(
    r'(?:Referenced column|have a column named|Column) "([^"]+)"'
    r"(?: not found| does not exist| in \w+ list not found|\s*$|\s*\n)"
)
_CANDIDATES = re.compile(r"Candidate bindings: (.*)")
_PLACE = re.compile(r"\n\s*(LINE \d+:.*)", re.DOTALL)
_CLASS_OF_ERROR = re.compile(r"^[A-Z][\w -]*? Error: ")


def query(
    catalog: Catalog,
    namespace: str,
    declared: Mapping[str, Table],
    sql: str,
    *,
    as_of: datetime | None = None,
    snapshot: int | None = None,
    together: Mapping[str, int | None] | None = None,
    timeout_seconds: float,
    memory_limit_bytes: int,
    scratch: Path,
    note: Callable[[str], None] = lambda text: None,
) -> pa.Table:
    """The rows of one reading statement; times come as timestamps in UTC.

    declared            the tables, by the bare names that the query knows them by (or `<namespace>.<name>`)
    as_of               read every table at its newest snapshot of that moment or before; a time without a zone is UTC;
                        a table that had none yet is empty
    snapshot            read the one table that has this snapshot at it, the others at their newest
    together            read these tables each at its snapshot (None: empty), the others at their newest
    timeout_seconds     the query is stopped after so long
    memory_limit_bytes  beyond it DuckDB spills to a folder of its own in `scratch`
    note                hears of each table that had no snapshot yet
    Raises QueryError where the query is refused, fails or takes too long; NotFoundError where it names a table, column
    or snapshot that does not exist.
    """
    views: list[View] = []
    try:
        with QuerySession(memory_limit_bytes, scratch) as session:
            statement = read_statement(session, sql, namespace, tuple(declared))
            views = views_of(catalog, namespace, declared, statement.tables, as_of, snapshot, together or {}, note)
            session.lock(views, namespace if statement.namespace else None)
            return session.run(statement.sql, timeout_seconds)
    except QueryFailedError as error:
        raise _in_words(error, declared, views, memory_limit_bytes) from None


# -- what is read ------------------------------------------------------------------------------------------------------


def views_of(
    catalog: Catalog,
    namespace: str,
    declared: Mapping[str, Table],
    names: Sequence[str],
    as_of: datetime | None,
    snapshot: int | None,
    together: Mapping[str, int | None] = MappingProxyType({}),
    note: Callable[[str], None] = lambda text: None,
) -> list[View]:
    """The tables that a query reads, each at its snapshot."""
    if snapshot is not None:
        _check_snapshot(catalog, namespace, declared, names, snapshot)
    views = []
    for name in names:
        table = declared[name]
        try:
            iceberg = _load(catalog, namespace, name)
            if iceberg is None:
                views.append(View(name, read_files(table, (), iceberg_schema(table)), ()))
                continue
            if snapshot is not None and iceberg.metadata.snapshot_by_id(snapshot) is not None:
                at: int | None = snapshot
            elif name in together:
                at = together[name]
            else:
                at = snapshot_at(iceberg, name, as_of)
                if at is None and as_of is not None:
                    note(_not_yet(iceberg, name, as_of))
            data = tuple(live_files(iceberg, at))
        except FileNotFoundError as gone:
            raise _missing(name, gone.filename or str(gone)) from gone
        files = tuple(local_path(file.file_path) for file in data)
        views.append(View(name, read_files(table, files, iceberg.schema()), files, data, iceberg.io))
    return views


def _not_yet(iceberg: IcebergTable, name: str, as_of: datetime) -> str:
    """That a table had no snapshot yet at a moment, and since when it has one."""
    moment = (as_of if as_of.tzinfo else as_of.replace(tzinfo=UTC)).isoformat(timespec="seconds")
    kept = min(iceberg.metadata.snapshots, key=lambda one: one.sequence_number or 0, default=None)
    if kept is None:
        return f"Table {name} has no snapshot yet."
    since = datetime.fromtimestamp(kept.timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds")
    first = "its first" if kept.sequence_number == 1 else "the first that is kept"
    return f"Table {name} had no snapshot yet at {moment}; {first} is of {since}."


def _load(catalog: Catalog, namespace: str, name: str) -> IcebergTable | None:
    try:
        return catalog.load_table(f"{namespace}.{name}")
    except NoSuchTableError:
        return None


def snapshot_at(iceberg: IcebergTable, name: str, as_of: datetime | None) -> int | None:
    """The snapshot that main pointed to at a moment (the newest if None); None where the table had none yet.

    Raises NotFoundError where the history of that moment has been removed.
    """
    head = iceberg.current_snapshot()
    if as_of is None or head is None:
        return int(head.snapshot_id) if head else None
    moment = as_of if as_of.tzinfo else as_of.replace(tzinfo=UTC)
    milliseconds = int(moment.timestamp() * 1000 // 1)
    if head.timestamp_ms <= milliseconds:
        return int(head.snapshot_id)
    log = iceberg.metadata.snapshot_log
    then = [entry.snapshot_id for entry in log if entry.timestamp_ms <= milliseconds]
    if then and iceberg.metadata.snapshot_by_id(then[-1]) is not None:
        return int(then[-1])
    oldest = min(iceberg.metadata.snapshots, key=lambda kept: kept.sequence_number or 0)
    created = iceberg.properties.get("carlake.created-at")
    if created is not None and moment < datetime.fromisoformat(created):
        return None
    # Expiry by other programs takes the parent's id and the log away, too: the first snapshot of a table is number 1.
    if not then and oldest.parent_snapshot_id is None and oldest.sequence_number == 1:
        return None
    since = datetime.fromtimestamp(oldest.timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds")
    raise NotFoundError(
        f"Table {name} is not kept as it was at {moment.isoformat()}: its history begins at {since}.",
        "Ask for a later moment.",
    )


def _check_snapshot(
    catalog: Catalog, namespace: str, declared: Mapping[str, Table], names: Sequence[str], snapshot: int
) -> None:
    for name in declared:
        iceberg = _load(catalog, namespace, name)
        if iceberg is None or iceberg.metadata.snapshot_by_id(snapshot) is None:
            continue
        if name not in names:
            raise QueryError(
                f"Snapshot {snapshot} is one of table {name}, which the query does not read.", f"Name {name} in it."
            )
        return
    raise NotFoundError(
        f"No table has a snapshot {snapshot}.",
        "`carlake tables` shows the newest snapshot of each, `carlake runs RUN` those of a run.",
    )


# -- errors in the user's words ----------------------------------------------------------------------------------------


def _in_words(
    error: QueryFailedError, declared: Mapping[str, Table], views: Sequence[View], memory: int
) -> CarlakeError:
    found = _PLACE.search(error.text)
    where = found.group(1) if found else ""
    if error.kind in ("files", "permission"):
        for view in views:
            for path in view.files:
                if _there(view, path) is False:
                    return _missing(view.name, path)
    if error.kind in ("files", "other") and (found_damaged := _damaged(error.text, views)):
        return found_damaged
    if error.kind == "memory":
        return QueryError(
            f"The query needs more memory than the {memory >> 20} MiB it may take.",
            "Read fewer columns or rows, or raise the setting memory_limit.",
        )
    if error.kind == "permission":
        return QueryError("\n".join(filter(None, ["A query may not reach files or the network.", where])))
    if error.kind == "names" and (column := _UNKNOWN_COLUMN.search(error.text)):
        from carlake.contracts.load import load  # only a mistake needs them

        candidates = _CANDIDATES.search(error.text)
        others = re.findall(r'"([^"]+)"', candidates.group(1)) if candidates else []
        return unknown_column(column.group(1), [declared[view.name] for view in views], declared, load(), where, others)
    return QueryError(_CLASS_OF_ERROR.sub("", error.text))


def _missing(name: str, path: str) -> QueryError:
    return QueryError(
        f"Table {name} cannot be read: its file {path} is missing.",
        "Put the file back from a copy, or have the table made whole: carlake recover",
    )


def _damaged(text: str, views: Sequence[View]) -> QueryError | None:
    """The error for a data file that is not what was written, where that is why the engine failed."""
    speaks = speaks_of_damage(text)
    for view in views:
        for path in view.files:
            named = path in text or "".join(f"[{c}]" if c in "*?[" else c for c in path) in text
            if not named and not speaks:
                continue
            whole = _whole(view, path)
            # A file of another writer has no checksum in its name: then the engine's word is all there is.
            if whole is False or (whole is None and named and speaks):
                return QueryError(
                    f"{view.name}: data file {path} is damaged.",
                    "`carlake doctor` says what is wrong in the whole lake, `carlake recover` makes the table whole.",
                )
    return None


def _whole(view: View, path: str) -> bool | None:
    try:
        return view.places.is_whole(path)
    except OSError:
        return None


def _there(view: View, path: str) -> bool | None:
    try:
        return view.places.exists(path)
    except OSError:
        return None
