"""Tables that are computed from no other (bronze, ops_*) and their declaration: columns that came since they were made.

Such a column changes no row that is there (it is null in them), so whoever writes next adds it, and two processes of
different versions cannot undo each other's rows. `carlake rebuild` adds it without waiting for the next writer.
"""

from __future__ import annotations

from dataclasses import replace

from pyiceberg.table import Table as IcebergTable

from carlake.engines.schemas import check_schema
from carlake.refresh.context import Context
from carlake.refresh.forgotten import one_writing
from carlake.refresh.plan import Bookmark, Refresh, changed_parts, head_of
from carlake.refresh.refresh import in_turn, publish
from carlake.refresh.report import Step
from carlake.tables.declare import BRONZE
from carlake.tables.table import Table


def ready(context: Context, name: str) -> IcebergTable:
    """A table to append to, made where it is missing, with every declared column.

    Raises SchemaError where another program dropped or changed one (its values would seem to be null), and
    CommitRefusedError where another writer was faster.
    """
    iceberg, table = context.load(name), context.tables[name]
    if not set(table.column_names) <= {field.name for field in iceberg.schema().fields}:
        check_schema(table, iceberg)
        context.evolve(name)
        iceberg = context.load(name)
    return iceberg


def plan_declaration(context: Context, table: Table) -> Refresh | None:
    """What `rebuild` would do to such a table; None where it is as declared, is not made yet, or another wrote it."""
    iceberg = context.find(table.name)
    mark = Bookmark.of(iceberg.current_snapshot()) if iceberg else None
    if mark is None or mark.definition == table.definition:
        return None
    base, day = head_of(iceberg), mark.day or context.day
    changed = changed_parts(table, mark)
    return Refresh(table.name, "definition", base, mark.source, mark.source, False, day, table.definition, changed)


def adopt_declaration(context: Context, table: Table) -> Step | None:
    """Bring such a table to its declaration: its columns, and a bookmark that says so; None where nothing is to do."""
    step = in_turn(context, table.name, lambda: _adopt(context, table))
    return None if step.status == "skipped" else step


def _adopt(context: Context, table: Table) -> Step:
    """One try: raises CommitRefusedError when main moved meanwhile, DefinitionChangedError where bronze has cars otherwise."""
    refresh = plan_declaration(context, table)
    if refresh is None:
        return Step(table.name, "skipped")
    if table.name == BRONZE:
        # Bronze's bookmark is what tells whether cars are in clear there: it must not say what the rows do not.
        one_writing(context, refresh.base)
    mark = Bookmark.of(ready(context, table.name).current_snapshot())
    assert mark is not None
    own = replace(mark, definition=table.definition, parts=table.parts)
    staged = context.engine.stage(
        table, refresh.base, None, None, context.properties(table, "rebuild", own, why="definition")
    )
    publish(context, staged)
    return Step(table.name, "succeeded", why="definition", snapshot_id=staged.snapshot_id)
