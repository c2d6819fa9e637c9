"""The one rule: a refresh replaces, whole, each key that its source touched.

touched = the keys of source rows that came or went, and of own rows that time alone made wrong
before  = own rows of the touched keys
after   = the table's SELECT over the source rows and the own rows of the touched keys
A refresh takes out what is only in `before` and puts in what is only in `after`. Append, newest-wins merge, aggregates
and alerts that vanish are cases of this, not code paths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from carlake.engines.protocol import Changed, Engine, Relation, anti_join, semi_join
from carlake.refresh.plan import Refresh
from carlake.refresh.retained import gone_sources, renewable, retained, uses_itself
from carlake.tables.table import Table

ChangesOf = Callable[[Table, int | None, int | None], Changed | None]
"""The row changes of a table's source between two snapshots, parsed where the table parses; None without a history."""

RowsOf = Callable[[Table, int | None], Relation]
"""All rows of a table's source at a snapshot, parsed where the table parses."""


_FEW_ROWS = 20_000


@dataclass(frozen=True)
class Computed:
    """What a refresh changes: relations of rows to take out (`_file`, `_pos`) and to put in (the table's columns).

    None is no rows; a relation may turn out to have none either.
    """

    removed: Relation | None
    added: Relation | None
    rows_in: int


def fill(sql: str, values: Mapping[str, str]) -> str:
    """Put relations and literals where the declared SQL has {names}."""
    for name, value in values.items():
        sql = sql.replace("{" + name + "}", value)
    return sql


def literals(refresh: Refresh, now: datetime) -> dict[str, str]:
    """`{today}` and `{now}` as SQL literals."""
    moment = now.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
    return {"today": f"DATE '{refresh.day.isoformat()}'", "now": f"TIMESTAMP WITH TIME ZONE '{moment}'"}


def compute(
    engine: Engine,
    table: Table,
    refresh: Refresh,
    now: datetime,
    changes_of: ChangesOf,
    rows_of: RowsOf,
    anew: bool = False,
) -> Computed:
    """Compute one refresh. Nothing is written; the relations live in the engine's session.

    anew  all rows are added, and none of the table's own are read but those whose record retention has removed, so that
          files that cannot be read are no hindrance where all records are there
    """
    values = literals(refresh, now)
    if anew:
        source = rows_of(table, refresh.until)
        own = engine.scan(table.name, None, located=True)
        gone = gone_sources(engine, table, refresh.until) if refresh.base is not None else None
        if gone is not None:
            own = engine.view(retained(engine.scan(table.name, refresh.base, located=True), gone))
        after = _select(engine, table, source, own, values)
        if gone is not None and not uses_itself(table):
            after = engine.view(f"SELECT * FROM {after} UNION ALL SELECT {', '.join(table.column_names)} FROM {own}")
        return Computed(None, after, engine.count(source))
    changed = None if refresh.full else changes_of(table, refresh.since, refresh.until)
    if changed is None:
        # Every key counts as touched: all own rows are compared with what all source rows give.
        source = rows_of(table, refresh.until)
        before, own = _remade(engine, table, refresh, engine.find(table, refresh.base, None))
        return _difference(engine, table, before, _select(engine, table, source, own, values), engine.count(source))

    touched = _touched(engine, table, refresh, changed, values)
    rows_in = changed.rows_added + changed.rows_gone
    if touched is None:
        return Computed(None, None, rows_in)
    nothing = engine.scan(table.name, None, located=True)
    before = engine.find(table, refresh.base, touched)
    if table.reads == "delta" and not changed.rows_gone:
        after = _select(engine, table, changed.added, before or nothing, values)
    elif table.reads == "delta" and changed.complete:
        before, own = _remade(engine, table, refresh, before)
        after = _select(engine, table, changed.added, own, values)
    elif refresh.since is None and not changed.rows_gone:
        # Nothing was read before: what came is all there is.
        after = _select(engine, table, changed.added, nothing, values)
    elif table.resume is not None and not changed.rows_gone:
        after = _resumed(engine, table, refresh, touched, changed, before or nothing, values)
    else:
        # A delta table whose source lost rows may owe its own rows to them: it is made again from what is left.
        before, own = _remade(engine, table, refresh, before)
        after = _select(engine, table, _source(engine, table, refresh, touched, changed, rows_of), own, values)
    return _difference(engine, table, before, after, rows_in)


def _source(
    engine: Engine, table: Table, refresh: Refresh, keys: Relation, changed: Changed, rows_of: RowsOf
) -> Relation:
    """All source rows of the keys."""
    if table.parses:
        return engine.view(semi_join("s.*", rows_of(table, refresh.until), keys, table.scope))
    assert table.source is not None
    within = _span(engine, table, keys, changed)
    return engine.scan(table.source, refresh.until, keys, table.scope, within=within, only=table.words)


def _span(engine: Engine, table: Table, keys: Relation, changed: Changed) -> tuple[str, datetime, datetime] | None:
    """Where the source rows of the keys lie: a column and its bounds; None where the table does not say."""
    if table.span is None or table.stale:
        return None
    column, unit = table.span
    parts = [
        f"SELECT * FROM {side}"
        for side, rows in ((changed.added, changed.rows_added), (changed.gone, changed.rows_gone))
        if rows
    ]
    rows = semi_join(column, f"({' UNION ALL '.join(parts)})", keys, table.scope)
    [(first, last)] = engine.rows(
        f"SELECT CAST(date_trunc('{unit}', min({column})) AS TIMESTAMP WITH TIME ZONE), "
        f"CAST(date_trunc('{unit}', max({column})) + INTERVAL 1 {unit} AS TIMESTAMP WITH TIME ZONE) FROM ({rows}) AS r"
    )
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return None
    return column, first, last


def _resumed(
    engine: Engine,
    table: Table,
    refresh: Refresh,
    touched: Relation,
    changed: Changed,
    before: Relation,
    values: Mapping[str, str],
) -> Relation:
    """What the keys' rows are now: from the own rows and what came, where that is enough, else from all source rows."""
    assert table.resume is not None
    nothing = engine.scan(table.name, None, located=True)
    came = ", ".join(f"{expression} AS _key_{key}" for key, expression in table.scope.items())
    match = " AND ".join(f"s._key_{key} = o.{key}" for key in table.scope)
    barred = engine.keep(
        f"SELECT DISTINCT {', '.join(f's._key_{key} AS {key}' for key in table.scope)} "
        f"FROM (SELECT *, {came} FROM {changed.added}) AS s LEFT JOIN {before} AS o ON {match} "
        f"WHERE NOT coalesce({table.resume.when}, false)"
    )
    same = {key: key for key in table.scope}
    rows_barred = engine.count(barred)
    added, own = changed.added, before
    if rows_barred:
        if rows_barred == engine.count(touched):
            return _select(engine, table, _source(engine, table, refresh, barred, changed, _no_rows), nothing, values)
        added = engine.view(anti_join("s.*", added, barred, table.scope))
        own = engine.view(anti_join("s.*", own, barred, same))
    filled = {"added": added, "self": own, **values}
    fresh = _select(engine, table, fill(table.resume.source, filled), nothing, values)
    after = engine.view(fill(table.resume.select, {**filled, "fresh": fresh}))
    if not rows_barred:
        return after
    rest = _select(engine, table, _source(engine, table, refresh, barred, changed, _no_rows), nothing, values)
    return engine.view(f"SELECT * FROM {after} UNION ALL SELECT * FROM {rest}")


def _no_rows(table: Table, snapshot: int | None) -> Relation:
    raise AssertionError(f"{table.name} reads its source's rows as they are")


def _remade(
    engine: Engine, table: Table, refresh: Refresh, before: Relation | None
) -> tuple[Relation | None, Relation]:
    """Own rows of a table that is made again from its source: those that the outcome is compared with, and those that
    go into its SELECT. None go in, so that a foreign edit is undone, except rows whose record retention has removed.
    """
    nothing = engine.scan(table.name, None, located=True)
    gone = gone_sources(engine, table, refresh.until) if before is not None else None
    if before is None or gone is None:
        return before, nothing
    if uses_itself(table):
        return before, engine.view(retained(before, gone))
    # A SELECT that does not read its own rows would lose them: they are left out of the comparison.
    return engine.view(renewable(before, gone)), nothing


def _touched(
    engine: Engine, table: Table, refresh: Refresh, changed: Changed, values: Mapping[str, str]
) -> Relation | None:
    """The keys that the refresh replaces, as a relation of the scope's columns; None where there are none."""
    keys = ", ".join(f"{expression} AS {key}" for key, expression in table.scope.items())
    parts = [f"SELECT {keys} FROM {changed.added}"] if changed.rows_added else []
    # Without the keys of rows that went, a correction would leave the old row behind.
    if changed.rows_gone:
        parts.append(f"SELECT {keys} FROM {changed.gone}")
    if table.stale and refresh.base is not None:
        own = engine.scan(table.name, refresh.base)
        parts.append(f"SELECT {', '.join(table.scope)} FROM {own} WHERE {fill(table.stale, values)}")
    if not parts:
        return None
    touched = engine.keep(" UNION ".join(parts))
    return touched if engine.count(touched) else None


def _select(engine: Engine, table: Table, source: Relation, own: Relation, values: Mapping[str, str]) -> Relation:
    """The table's SELECT over its source and itself, as the declared columns in their order."""
    filled = {"source": source, "self": own, **values}
    for name, sql in table.steps.items():
        filled[name] = engine.keep(fill(sql, filled))
    return engine.view(fill(table.select, filled))


def _difference(engine: Engine, table: Table, before: Relation | None, after: Relation, rows_in: int) -> Computed:
    """What is only in `before` goes, what is only in `after` comes; rows that differ in volatile columns only stay.

    `before` has a number in `_copy`: a row that is there twice (a foreign writer's doing) goes down to one.
    """
    if before is None:
        # Many rows stream into their files; few are kept, since planning a query again would cost more than they do.
        return Computed(None, engine.keep(f"SELECT * FROM {after}") if rows_in <= _FEW_ROWS else after, rows_in)
    now = engine.keep(f"SELECT * FROM {after}")
    same = " AND ".join(f"w.{name} IS NOT DISTINCT FROM n.{name}" for name in table.identity)
    removed = engine.keep(f"SELECT w._file, w._pos FROM {before} AS w ANTI JOIN {now} AS n ON {same} AND w._copy = 1")
    added = engine.keep(f"SELECT n.* FROM {now} AS n ANTI JOIN {before} AS w ON {same} AND w._copy = 1")
    return Computed(removed if engine.count(removed) else None, added if engine.count(added) else None, rows_in)
