"""Bring one table up to date: plan, compute, stage, commit; from the top again when another writer was faster."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from pyiceberg.table import Table as IcebergTable

from carlake.engines.manifests import quiet_between
from carlake.engines.protocol import Changed, Parsed, Relation, Staged
from carlake.errors import CommitRefusedError, ContractError, DefinitionChangedError
from carlake.refresh.appended import candidates, changes
from carlake.refresh.causes import cause
from carlake.refresh.commit import commit
from carlake.refresh.compute import compute
from carlake.refresh.context import Context
from carlake.refresh.forgotten import PSEUDONYMS, no_clear_values, one_writing
from carlake.refresh.lease import Turn
from carlake.refresh.plan import Bookmark, Refresh, head_of, plan
from carlake.refresh.report import DONE, Step
from carlake.tables.declare import BRONZE
from carlake.tables.table import Table


def refresh_table(context: Context, table: Table, *, adopt: bool = False, anew: bool = False) -> Step:
    """Refresh one table to its source's newest snapshot; the outcome is in the step, errors too.

    Never raises for what is wrong with this table alone, so that one failing table does not stop the others.
    """
    if (waits := waiting(context, table.name, context.clock())) is not None:
        return waits
    step = in_turn(context, table.name, lambda: _once(context, table, adopt, anew))
    noted(context, step)
    return step


def in_turn(context: Context, table: str, once: Callable[[], Step]) -> Step:
    """Try `once` until no other writer is faster, or the turn is over; whatever goes wrong stays with the table's step."""
    started_at, started = context.clock(), time.perf_counter()
    failed = Step(table, "failed", started_at=started_at)
    with Turn(context.lease_folder, table) as turn:
        while True:
            try:
                turn.wait()
                step = once()
                break
            except DefinitionChangedError as left:
                step = replace(failed, status="left", why="definition", error=str(left))
                break
            except CommitRefusedError as refused:
                if not turn.again():
                    step = replace(failed, error=str(refused))
                    break
            except Exception as error:  # noqa: BLE001  (whatever is wrong with one table stays with it)
                step = replace(failed, error=cause(error))
                break
    return replace(step, refusals=turn.refusals, started_at=started_at, seconds=time.perf_counter() - started)


def waiting(context: Context, table: str, now: datetime) -> Step | None:
    """The step of a table that is not tried now, for its circuit is open and this run backs off; None: try it."""
    if context.circuits is None or not context.backs_off or context.circuits.may_try(table):
        return None
    circuit = context.circuits.of(table)
    return Step(table, "waiting", started_at=now, error=circuit.error if circuit else "")


def noted(context: Context, step: Step) -> None:
    """Tell the table's circuit how a try ended."""
    if context.circuits is None:
        return
    if step.status == "failed":
        context.circuits.failed(step.table, step.error, context.run_id, step.started_at or context.clock())
    elif step.status in DONE or step.status == "left":  # what is left as it is does not fail, and is tried no more
        context.circuits.succeeded(step.table)


def plan_table(context: Context, table: Table, *, adopt: bool = False, anew: bool = False) -> Refresh | None:
    """What `table` needs now; None where it is right already."""
    assert table.source is not None
    return plan(
        table,
        context.find(table.name),
        context.find(table.source),
        context.day,
        asked=context.today is not None,
        adopt=adopt,
        anew=anew,
    )


def _once(context: Context, table: Table, adopt: bool, anew: bool) -> Step:
    """One try: raises CommitRefusedError when main moved meanwhile."""
    if table.broken:
        raise ContractError(table.broken)
    refresh = plan_table(context, table, adopt=adopt, anew=anew)
    if refresh is None:
        return Step(table.name, "skipped")
    if refresh.held:
        return Step(table.name, "held", held=refresh.held)
    if PSEUDONYMS in refresh.changed:
        # Nobody adopts another key than bronze's, and the advice to do so would lead astray.
        one_writing(context, head_of(context.find(BRONZE)))
    if refresh.blocked:
        raise blocked(refresh)
    if refresh.base is None:
        context.load(table.name)
    tried_again = None
    if refresh.why == "definition":
        tried_again = candidates(context, table, refresh)
    if refresh.changed:
        context.evolve(table.name)
        context.load(table.name)
    if tried_again is not None:
        refresh = replace(refresh, full=False)
    computed = compute(
        context.engine,
        table,
        refresh,
        context.clock(),
        lambda of, since, until: (
            changes(context, of, refresh, tried_again) if tried_again else _changes(context, of, since, until)
        ),
        lambda of, at: rows_of_source(context, of, at),
        anew=refresh.why == "asked",
    )
    if table.parses == "accepted" and refresh.why in ("definition", "asked"):
        no_clear_values(context, table, computed.added)
    mark = Bookmark(refresh.until, refresh.definition, refresh.day, table.parts)
    properties = context.properties(
        table,
        "rebuild" if refresh.why in ("definition", "asked") else "refresh",
        mark,
        why=refresh.why,
        rows_in=computed.rows_in,
    )
    staged = context.engine.stage(
        table, refresh.base, computed.removed, computed.added, properties, everything=refresh.why == "asked"
    )
    publish(context, staged)
    return Step(
        table.name,
        "succeeded",
        why=refresh.why,
        rows_in=computed.rows_in,
        rows_out=staged.rows_added,
        rows_removed=staged.rows_removed,
        snapshot_id=staged.snapshot_id,
        source_snapshot_id=refresh.until,
    )


def publish(context: Context, staged: Staged, *, keep_files: bool = False) -> None:
    """Commit what is staged, as part of the run's release; the files of a commit that was surely refused are removed,
    unless they are to be kept.
    """
    iceberg = context.engine.load(staged.table)
    if context.releases is not None and context.tables[staged.table].source is not None:
        staged = context.releases.tagged(staged, iceberg, context.run_id, context.tables, context.peek)
    try:
        commit(context.catalog, iceberg, staged)
    except CommitRefusedError as refused:
        if refused.surely_not_landed and not keep_files:
            context.engine.remove_files(staged.data_files)
        raise
    except OSError:
        if not keep_files:
            context.engine.remove_files(staged.data_files)
        raise


def blocked(refresh: Refresh) -> DefinitionChangedError:
    """The refusal to refresh a table by another definition than it was built with."""
    return DefinitionChangedError(
        f"Table {refresh.table} was built with another definition; what differs: {', '.join(refresh.changed)}.",
        "It was left as it is. `carlake rebuild` adopts the definition of this process's settings; "
        "or start this process with the settings that the table was built with.",
    )


# -- what a table's source says ----------------------------------------------------------------------------------------


def _side(table: Table, parsed: Parsed) -> tuple[Relation, int]:
    if table.parses == "accepted":
        return parsed.accepted, parsed.rows_accepted
    return parsed.quarantined, parsed.rows_quarantined


def _changes(context: Context, table: Table, since: int | None, until: int | None) -> Changed | None:
    """The changes of the table's source, as its SELECT reads them."""
    assert table.source is not None
    engine = context.engine
    if not table.parses:
        return engine.diff(table.source, since, until)
    at_hand = _parsed(context, engine.load(table.source), since, until)
    if at_hand is not None:
        added, rows = _side(table, at_hand)
        return Changed(added, engine.view(f"SELECT * FROM {added} WHERE false"), rows, 0)
    changed = engine.diff(table.source, since, until)
    if changed is None:
        return None
    parsed = engine.parse(changed.added)
    added, rows_added = _side(table, parsed)
    if not changed.rows_gone:
        context.parsed[since, until] = parsed
        return Changed(added, engine.view(f"SELECT * FROM {added} WHERE false"), rows_added, 0)
    gone, rows_gone = _side(table, engine.parse(changed.gone))
    return Changed(added, gone, rows_added, rows_gone)


def _parsed(context: Context, source: IcebergTable, since: int | None, until: int | None) -> Parsed | None:
    """What the contracts said of the changes in between, where that is at hand.

    A batch that was landed on a compaction counts for a table that has read up to the snapshot before that.
    """
    for (start, end), parsed in context.parsed.items():
        if end == until and (start == since or quiet_between(source, since, start) is not None):
            return parsed
    return None


def rows_of_source(context: Context, table: Table, snapshot: int | None) -> Relation:
    """All rows of the table's source at a snapshot, as its SELECT reads them."""
    assert table.source is not None
    if not table.parses:
        return context.engine.scan(table.source, snapshot, only=table.words)
    rows = context.engine.scan(table.source, snapshot)
    # The key is one that no diff has: all rows up to a snapshot.
    parsed = context.parsed.get((-1, snapshot)) or context.engine.parse(rows)
    context.parsed[-1, snapshot] = parsed
    return _side(table, parsed)[0]
