"""What ran: the rows of ops_runs, put together for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from carlake.engines.duckdb.files import quoted
from carlake.errors import NotFoundError
from carlake.refresh.context import VERSION_PROPERTY
from carlake.refresh.report import DONE, Status
from carlake.tables.declare import BRONZE, OPS_RUNS

if TYPE_CHECKING:
    from carlake.lakehouse import Lakehouse

NEWEST = "last"

_DONE = f"({', '.join(quoted(status) for status in DONE)})"

# A run's status by its steps', as the run itself reports it: failed where nothing went well or nothing could land,
# partial where a table failed or was left, or an object could not be taken in (bronze then says so in `error`).
# `run_status` says the same of the rows of one run.
_RUNS = f"""SELECT run_id,
       any_value("trigger") AS "trigger",
       CASE WHEN bool_and(status = 'failed') OR bool_or(status = 'failed' AND step = '{BRONZE}') THEN 'failed'
            WHEN bool_or(status NOT IN {_DONE} OR error IS NOT NULL) THEN 'partial'
            ELSE 'succeeded' END AS status,
       min(started_at) AS started_at,
       CAST(epoch_us(max(ended_at)) - epoch_us(min(started_at)) AS DOUBLE) / 1000000 AS seconds,
       CAST(coalesce(sum(files_in), 0) AS BIGINT) AS files,
       CAST(coalesce(sum(rows_in) FILTER (step = '{BRONZE}'), 0) AS BIGINT) AS records,
       CAST(coalesce(sum(rows_out), 0) AS BIGINT) AS rows_out,
       CAST(coalesce(sum(rows_quarantined), 0) AS BIGINT) AS quarantined,
       CAST(coalesce(sum(rows_duplicate), 0) AS BIGINT) AS duplicates,
       count(*) FILTER (status IN {_DONE}) || '/' || count(*) AS tables,
       string_agg(step || ': ' || error, chr(10) ORDER BY started_at) AS error
FROM {OPS_RUNS} GROUP BY run_id"""

# Where two runs began together, the one that ended later is the newer one.
_NEWEST_FIRST = "min(started_at) DESC, max(ended_at) DESC, run_id DESC"

_STEPS = f"""SELECT step AS "table", status,
       CAST(epoch_us(ended_at) - epoch_us(started_at) AS DOUBLE) / 1000000 AS seconds,
       rows_in, rows_out, rows_quarantined AS quarantined, rows_duplicate AS duplicates, files_in AS files,
       source_snapshot_id, snapshot_id, started_at, run_id, error
FROM {OPS_RUNS}"""


def recent_runs(house: Lakehouse, limit: int = 50) -> pa.Table:
    """The newest `limit` runs, newest first, one row each.

    Columns: run_id, trigger, status (succeeded, partial or failed), started_at, seconds (double), files, records,
    rows_out, quarantined, duplicates (long), tables (`succeeded/all`, as text; a table where nothing was to do counts as
    succeeded), error.
    """
    return house.query(f"{_RUNS} ORDER BY {_NEWEST_FIRST} LIMIT {int(limit)}")


def run_status(steps: Sequence[Mapping[str, Any]]) -> Status:
    """A run's status by the rows that `one_run` gives."""
    failed = [step for step in steps if step["status"] == "failed"]
    if len(failed) == len(steps) or any(step["table"] == BRONZE for step in failed):
        return "failed"
    return "partial" if any(step["status"] not in DONE or step["error"] is not None for step in steps) else "succeeded"


def one_run(house: Lakehouse, run_id: str, unknown: Callable[[str], NotFoundError]) -> pa.Table:
    """One run, one row for each table in the order in which they were done.

    run_id   the run's id, the beginning of it that no other run has, or `last`
    unknown  what to raise where ops_runs has no such run
    Columns: table, status (`StepStatus`), seconds (double), rows_in, rows_out, quarantined, duplicates,
    files, source_snapshot_id, snapshot_id (long), started_at, run_id, error, version (the carlake that wrote the
    snapshot, with the hash of its code where it was deployed; null where there is none, or it is no longer kept).
    Raises NotFoundError where no run or more than one is meant.
    """
    if run_id == NEWEST:
        sql = f"SELECT run_id FROM {OPS_RUNS} GROUP BY run_id ORDER BY {_NEWEST_FIRST} LIMIT 1"
    else:
        sql = f"SELECT DISTINCT run_id FROM {OPS_RUNS} WHERE starts_with(run_id, {quoted(run_id)}) ORDER BY 1 DESC"
    found = [str(value) for value in house.query(sql)["run_id"].to_pylist()]
    if run_id in found:
        found = [run_id]
    if not found:
        if run_id == NEWEST:
            raise NotFoundError(
                "No run has changed anything yet.", "`carlake run` lands what lies in the landing folder."
            )
        raise unknown(run_id)
    if len(found) > 1:
        some = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
        raise NotFoundError(f"{len(found)} runs begin with {run_id!r}: {some}.", "Give more of the id.")
    # A clock may give two steps the same time; tables are refreshed in the order in which they are declared.
    order = "".join(f" WHEN {quoted(name)} THEN {place}" for place, name in enumerate(house.declared))
    rows = house.query(
        f"{_STEPS} WHERE run_id = {quoted(found[0])} ORDER BY started_at, CASE step{order} ELSE {len(house.declared)} END"
    )
    return rows.append_column("version", pa.array(_versions(house, rows), pa.string()))


def _versions(house: Lakehouse, rows: pa.Table) -> Iterator[str | None]:
    """Which carlake wrote each row's snapshot, as the snapshot itself says."""
    peek = house.context(trigger="look").peek
    for name, snapshot_id in zip(rows["table"].to_pylist(), rows["snapshot_id"].to_pylist(), strict=True):
        iceberg = peek(name) if snapshot_id is not None else None
        snapshot = iceberg.metadata.snapshot_by_id(snapshot_id) if iceberg is not None else None
        summary = snapshot.summary if snapshot is not None else None
        yield summary.additional_properties.get(VERSION_PROPERTY) if summary is not None else None
