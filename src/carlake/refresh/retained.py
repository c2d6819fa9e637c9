"""Own rows that a full refresh cannot make again, as retention removed their records from bronze: they are kept.

Retention leaves one marker row, without a record, of each object; so an own row whose object has nothing but that is one
whose record went. (An object that never had a record has a marker row, too, and no rows come from it.)
"""

from __future__ import annotations

from carlake.engines.protocol import Engine, Relation
from carlake.tables.table import Table


def uses_itself(table: Table) -> bool:
    """Whether the table's SELECT reads the table's own rows."""
    return any("{self}" in sql for sql in (table.select, *table.steps.values()))


def gone_sources(engine: Engine, table: Table, until: int | None) -> Relation | None:
    """The objects, as `source_id`, whose records are not in the table's source any more; None where there are none."""
    if not table.parses or table.source is None or until is None:
        return None
    rows = engine.scan(table.source, until)
    found = engine.keep(f"SELECT DISTINCT source_id FROM {rows} WHERE record_hash IS NULL")
    return found if engine.count(found) else None


def retained(rows: Relation, gone: Relation) -> str:
    """SQL for the own rows that come from such objects."""
    return f"SELECT s.* FROM {rows} AS s SEMI JOIN {gone} AS g ON s.source_id = g.source_id"


def renewable(rows: Relation, gone: Relation) -> str:
    """SQL for the own rows that the source can make again."""
    return f"SELECT s.* FROM {rows} AS s ANTI JOIN {gone} AS g ON s.source_id = g.source_id"
