"""A run: land what arrived, refresh every table in order, archive, and write down what was done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa

from carlake.engines.landed_objects import batches
from carlake.engines.schemas import arrow_schema
from carlake.errors import CommitRefusedError
from carlake.landing.objects import LandedObject
from carlake.refresh.adopted import adopt_declaration, ready
from carlake.refresh.causes import cause
from carlake.refresh.context import Context
from carlake.refresh.land import Batch, land
from carlake.refresh.plan import Bookmark, head_of
from carlake.refresh.refresh import noted, publish, refresh_table, waiting
from carlake.refresh.report import DONE, Problem, RunReport, Status, Step
from carlake.tables.declare import BRONZE, OPS_RUNS, QUARANTINE, SILVER
from carlake.words import count

Archive = Callable[[Sequence[tuple[LandedObject, str]]], Iterable[Problem]]
"""Archives objects with their source ids, after the commit that holds them is known to have landed."""


def run(
    context: Context,
    objects: Sequence[LandedObject],
    problems: Sequence[Problem] = (),
    *,
    passed_over: Sequence[str] = (),
    archive: Archive | None = None,
    adopt: bool = False,
    only: frozenset[str] | None = None,
    anew: frozenset[str] = frozenset(),
    before: Step | None = None,
    batch_bytes: int = 8 << 30,
    batch_files: int = 200_000,
    progress: Callable[[str, int], None] = lambda step, done: None,
    told: Callable[[Step], None] = lambda step: None,
) -> RunReport:
    """Do one run and report it.

    objects   what lies in landing, or at the paths that were given; oldest first is best, any order is right
    problems  what the listing could not take; they make the run partial
    passed_over  names that were not looked at, since they are still being written or hidden
    archive   given where the objects lie in the lake's own landing folder, shared with other runs
    adopt     take over definitions that changed (`carlake rebuild`), for the tables of `only` where that is given
    anew      tables that are made again from their source, even if they are right
    before    what was done to a table before, as part of this run
    progress  called with (table, bytes landed so far or 0) as work goes on
    told      called with each table's step once it is done; in a run of several batches, once for each batch
    """
    started_at, started = context.clock(), time.perf_counter()
    steps = _Steps(told)
    if before is not None:
        _add(steps, before)
    found = list(problems)
    files = known = spared = records = forgotten = 0
    landed_bytes = 0
    oldest: datetime | None = None

    def counted(size: int) -> None:
        nonlocal landed_bytes
        landed_bytes += size
        progress(BRONZE, landed_bytes)

    for part in batches(objects, batch_bytes, batch_files):
        if (waits := waiting(context, BRONZE, context.clock())) is not None:
            _add(steps, waits)
            break
        with context.engine.session():
            context.parsed.clear()
            try:
                batch = land(context, part, counted, shared=archive is not None)
            except Exception as error:  # noqa: BLE001  (a full disk or a lost catalog: said, and the run ends orderly)
                failed = Step(BRONZE, "failed", why="landing", started_at=context.clock(), error=cause(error))
                noted(context, failed)
                _add(steps, failed)
                break
            noted(context, batch.step)
            _add(steps, batch.step)
            found += batch.problems
            files += len(batch.ids) - batch.spared
            known, spared, records = known + batch.known, spared + batch.spared, records + batch.records
            forgotten += batch.forgotten
            oldest = min((when for when in (oldest, batch.oldest) if when is not None), default=None)
            _refresh_all(context, steps, adopt=False, only=None, progress=progress)
        if archive is not None:
            found += [replace(problem, committed=True) for problem in _archived(archive, part, batch)]
    if adopt or not steps or steps[BRONZE].status in ("failed", "waiting"):
        # Where nothing can land, the other tables still take in what bronze has, and the new day.
        with context.engine.session():
            context.parsed.clear()
            if adopt:
                _adopt(context, steps, only)
            _refresh_all(context, steps, adopt=adopt, only=only, anew=anew, progress=progress)
    if found and BRONZE not in steps:
        # What could not be taken in is written down with bronze, whether or not anything else was landed.
        rest = dict(steps)
        steps.clear()
        steps.update({BRONZE: Step(BRONZE, "skipped", why="landing", started_at=started_at), **rest})
    silver, quarantine = steps.get(SILVER), steps.get(QUARANTINE)
    declared = list(context.tables)
    accepted = silver.rows_out - silver.rows_removed if silver else 0
    report = RunReport(
        run_id=context.run_id,
        trigger=context.trigger,
        status=_status(steps, found),
        started_at=started_at,
        seconds=time.perf_counter() - started,
        files=files,
        files_known=known,
        files_unchanged=spared,
        records=records,
        accepted=accepted,
        quarantined=quarantine.rows_out - quarantine.rows_removed if quarantine else 0,
        duplicates=(silver.rows_in if silver and silver.why == "source" else accepted) - accepted,
        forgotten=forgotten,
        steps=tuple(sorted(steps.values(), key=lambda step: declared.index(step.table))),
        problems=tuple(found),
        passed_over=tuple(passed_over),
        engine=context.engine.name,
        oldest=oldest,
    )
    return report


class _Steps(dict[str, Step]):
    """What the run did to each table so far. `told` hears of each step as it is added."""

    def __init__(self, told: Callable[[Step], None]) -> None:
        super().__init__()
        self.told = told


def joined(first: RunReport, again: RunReport) -> RunReport:
    """One run that was done in two goes: the second took up the tables that the first had left alone."""
    steps = _Steps(lambda step: None)
    second = {step.table: step for step in again.steps}
    for step in first.steps:
        steps[step.table] = second.pop(step.table, step) if step.status == "left" else step
    for step in second.values():
        _add(steps, step)
    return replace(
        first,
        status=_status(steps, first.problems),
        seconds=first.seconds + again.seconds,
        accepted=first.accepted + again.accepted,
        quarantined=first.quarantined + again.quarantined,
        duplicates=first.duplicates + again.duplicates,
        steps=tuple(steps.values()),
    )


def _archived(archive: Archive, part: Sequence[LandedObject], batch: Batch) -> list[Problem]:
    """Archive the objects of a batch that bronze holds."""
    objects = [(landed, batch.ids[landed.uri]) for landed in part if landed.uri in batch.ids]
    try:
        return list(archive(objects))
    except Exception as error:  # noqa: BLE001  (a full disk, say: what is committed is committed, and the run is told)
        advice = "Its rows are committed; it stays in landing, and the next run takes it out."
        return [
            Problem(landed.uri, f"cannot be archived: {cause(error).splitlines()[0]}", advice) for landed, _ in objects
        ]


def _adopt(context: Context, steps: _Steps, only: frozenset[str] | None) -> None:
    """Bring the tables that are computed from no other to their declaration."""
    for table in context.tables.values():
        if table.source not in context.tables and (only is None or table.name in only):
            step = adopt_declaration(context, table)
            if step is not None:
                _add(steps, step)


def _refresh_all(
    context: Context,
    steps: _Steps,
    *,
    adopt: bool,
    only: frozenset[str] | None,
    anew: frozenset[str] = frozenset(),
    progress: Callable[[str, int], None],
) -> None:
    """Refresh every table that has a source table, sources first; quarantine last, for no table reads it, and the moment
    that people wait for is gold's.
    """
    for table in sorted(context.tables.values(), key=lambda table: table.name == QUARANTINE):
        if table.source is None or table.source not in context.tables:
            continue
        progress(table.name, 0)
        adopts, asked = adopt and (only is None or table.name in only), table.name in anew
        _add(steps, refresh_table(context, table, adopt=adopts, anew=asked))


def _add(steps: _Steps, step: Step) -> None:
    """Fold a step into what the run says of its table: counts add up, the newest outcome stands."""
    steps.told(step)
    before = steps.get(step.table)
    if before is None:
        steps[step.table] = step
        return
    status = step.status if step.status != "skipped" else before.status
    steps[step.table] = Step(
        table=step.table,
        status=status,
        why=step.why if before.status == "skipped" or not before.why else before.why,
        rows_in=before.rows_in + step.rows_in,
        rows_out=before.rows_out + step.rows_out,
        rows_removed=before.rows_removed + step.rows_removed,
        snapshot_id=step.snapshot_id or before.snapshot_id,
        source_snapshot_id=step.source_snapshot_id or before.source_snapshot_id,
        started_at=before.started_at,
        seconds=before.seconds + step.seconds,
        refusals=before.refusals + step.refusals,
        error="" if status in DONE else step.error or before.error,
        held=step.held,
    )


def _status(steps: dict[str, Step], problems: Sequence[Problem]) -> Status:
    failed = [step for step in steps.values() if step.status == "failed"]
    if failed and (len(failed) == len(steps) or BRONZE in {step.table for step in failed}):
        return "failed"
    undone = [step for step in steps.values() if step.status not in DONE]
    return "partial" if undone or problems else "succeeded"


def write_down(context: Context, reports: Sequence[RunReport]) -> None:
    """Append runs to ops_runs. The tables are the receipt: a run that cannot be written down is still done."""
    table = context.tables[OPS_RUNS]
    rows = [_row(context, report, step) for report in reports for step in report.steps]
    with context.engine.session():
        for _ in range(20):
            try:
                base = head_of(ready(context, OPS_RUNS))
                added = context.engine.table(pa.Table.from_pylist(rows, schema=arrow_schema(table.columns)))
                mark = Bookmark(None, table.definition, None, table.parts)
                publish(context, context.engine.stage(table, base, None, added, context.properties(table, "log", mark)))
                return
            except CommitRefusedError:
                continue
            except Exception:  # noqa: BLE001  (see above)
                return


def _row(context: Context, report: RunReport, step: Step) -> dict[str, object]:
    start = (step.started_at or report.started_at).astimezone(UTC)
    bronze, silver, quarantine = step.table == BRONZE, step.table == SILVER, step.table == QUARANTINE
    error = step.error
    if bronze and report.problems:
        named = "; ".join(f"{problem.uri} {problem.why}" for problem in report.problems[:20])
        error = "\n".join(
            filter(None, [error, f"{count(len(report.problems), 'object')} could not be taken in: {named}"])
        )
    return {
        "run_id": report.run_id,
        "trigger": report.trigger,
        "engine": report.engine,
        "status": step.status,
        "step": step.table,
        "started_at": start,
        "ended_at": datetime.fromtimestamp(start.timestamp() + step.seconds, UTC),
        "rows_in": step.rows_in,
        "rows_out": step.rows_out,
        "rows_quarantined": report.quarantined if quarantine else None,
        "rows_duplicate": report.duplicates if silver else None,
        "files_in": report.files if bronze else None,
        "source_snapshot_id": step.source_snapshot_id,
        "snapshot_id": step.snapshot_id,
        "error": error or None,
    }
