"""Take the rows of one landed object back out of bronze, as if it had never landed; the other tables follow by their rule."""

from __future__ import annotations

import pyarrow as pa

from carlake.refresh.context import Context
from carlake.refresh.plan import head_of
from carlake.refresh.refresh import in_turn, publish
from carlake.refresh.report import Step
from carlake.refresh.withdrawn import taking_back
from carlake.tables.declare import BRONZE
from carlake.upkeep.maintenance.compaction import carried_on

WITHDRAWAL = "withdrawal"
"""The kind of its snapshot. It changes what is in bronze, so that every reader of differences sees it."""


def withdraw(context: Context, uri: str) -> Step:
    """Remove every row of the object that bronze has under this uri, its entry in the ledger with them: the same content
    may land again. Where it has none, nothing is committed. What is wrong is in the step, not raised.

    Older snapshots keep the rows until maintenance expires them. The table names what was taken back until that lands
    again, so that no recovery takes it in from their files, or from the archive.
    """

    def once() -> Step:
        iceberg = context.find(BRONZE)
        head = iceberg.current_snapshot() if iceberg is not None else None
        if iceberg is None or head is None:
            return Step(BRONZE, "skipped", why=WITHDRAWAL)
        engine, table = context.engine, context.tables[BRONZE]
        keys = engine.table(pa.table({"source_uri": pa.array([uri], pa.string())}))
        rows = engine.scan(BRONZE, head_of(iceberg), keys, {"source_uri": "source_uri"}, located=True)
        gone = engine.keep(f"SELECT _file, _pos FROM {rows} AS s")
        count = engine.count(gone)
        if not count:
            return Step(BRONZE, "skipped", why=WITHDRAWAL)
        ids = [str(row[0]) for row in engine.rows(f"SELECT DISTINCT source_id FROM {rows} AS s")]
        properties = carried_on(context, table, WITHDRAWAL, head, rows=count)
        staged = engine.stage(table, head.snapshot_id, gone, None, properties)
        publish(context, taking_back(staged, iceberg, ids, context.clock()))
        return Step(BRONZE, "succeeded", why=WITHDRAWAL, rows_removed=count)

    with context.engine.session():
        return in_turn(context, BRONZE, once)
