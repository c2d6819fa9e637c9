"""ops_runs: what ran, for people. The tables are the receipt: nothing reads this to decide anything."""

from __future__ import annotations

from carlake.tables.table import Column, Table

COLUMNS = (
    Column("run_id", "string", "the run", required=True),
    Column("trigger", "string", "what started it: run, rebuild, watch, ..."),
    Column("engine", "string", "the engine that computed"),
    Column("status", "string", "succeeded, skipped or failed", required=True),
    Column("step", "string", "the table that was refreshed, or `landing`", required=True),
    Column("started_at", "timestamptz", "start of the step", required=True),
    Column("ended_at", "timestamptz", "end of the step"),
    Column("rows_in", "long", "source rows read as changed", unit="1"),
    Column("rows_out", "long", "rows added and removed", unit="1"),
    Column("rows_quarantined", "long", "records put in quarantine", unit="1"),
    Column("rows_duplicate", "long", "records that are not the newest version of their event", unit="1"),
    Column("files_in", "long", "objects landed", unit="1"),
    Column("source_snapshot_id", "long", "the source's snapshot that was read up to"),
    Column("snapshot_id", "long", "the snapshot that was committed; null when nothing changed"),
    Column("error", "string", "what went wrong and what to do next"),
)

TABLE = Table(
    name="ops_runs",
    doc="one row per run and step",
    source=None,
    scope={"run_id": "run_id"},
    key=("run_id", "step"),
    reads="delta",
    select="",
    columns=COLUMNS,
    partition=(("started_at", "month"),),
    sort=("started_at",),
)
