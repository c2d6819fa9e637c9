"""Tables that are computed from no other (bronze, ops_*) and their declaration: columns that came since they were made.

Such a column changes no row that is there (it is null in them), so whoever writes next adds it, and two processes of
different versions cannot undo each other's rows. `carlake rebuild` adds it without waiting for the next writer.
"""

from __future__ import annotations

import time
from dataclasses import replace

from pyiceberg.table import Table as IcebergTable

from carlake.engines.schemas import check_schema
from carlake.errors import CommitRefusedError
from carlake.refresh.causes import cause
from carlake.refresh.context import Context
from carlake.refresh.lease import Turn
from carlake.refresh.plan import Bookmark, Refresh, changed_parts, head_of
from carlake.refresh.refresh import publish
from carlake.refresh.report import Step
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
    started_at, started = context.clock(), time.perf_counter()
    step = Step(table.name, "succeeded", why="definition", started_at=started_at)
    with Turn(context.lease_folder, table.name) as turn:
        while True:
            try:
                turn.wait()
                refresh = plan_declaration(context, table)
                if refresh is None:
                    return None
                mark = Bookmark.of(ready(context, table.name).current_snapshot())
                assert mark is not None
                own = replace(mark, definition=table.definition, parts=table.parts)
                properties = context.properties(table, "rebuild", own, why="definition")
                staged = context.engine.stage(table, refresh.base, None, None, properties)
                publish(context, staged)
                step = replace(step, snapshot_id=staged.snapshot_id)
                break
            except CommitRefusedError as refused:
                if not turn.again():
                    step = replace(step, status="failed", error=str(refused))
                    break
            except Exception as error:  # noqa: BLE001  (whatever is wrong with one table stays with it)
                step = replace(step, status="failed", error=cause(error))
                break
    return replace(step, refusals=turn.refusals, seconds=time.perf_counter() - started)
