"""Rollback: silver, quarantine and gold return to what they were before a run, as new snapshots, and are then held.

Every step is one guarded commit, and the next step is always found from the tables alone: plan, do the first thing that
is missing, plan again. So a crash at any moment is finished by giving the command again, and a run that was faster is
just another state to plan from. The steps:

1. Each table is held, and the snapshot that it shall return to gets a tag, in one commit on main: from then on nobody
   refreshes the table, and no expiry takes the snapshot away.
2. Each table gets a snapshot with the files and the bookmark of that snapshot; main never moves backwards. The tag goes.

`resume` drops the holds; the next refresh reads on from the old bookmark. Bronze and the archive are not touched.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from carlake.engines.manifests import HOLD
from carlake.errors import CarlakeError, CommitRefusedError
from carlake.refresh.history import History, derived
from carlake.refresh.hold import Hold
from carlake.refresh.refresh import publish
from carlake.refresh.report import RunReport, Step
from carlake.upkeep.releases.returning import KINDS, RollbackPlan, Situation, UndoneRun, by_time, stage, unpinned

if TYPE_CHECKING:
    from carlake.refresh.context import Context

_MOST_STEPS = 500


@dataclass(frozen=True)
class Resumed:
    """What `resume` did: the tables that were held, and before which runs they had been rolled back."""

    tables: tuple[str, ...]
    runs: tuple[str, ...]


def plan_rollback(context: Context, run: str) -> RollbackPlan:
    """What a rollback would do now; changes nothing.

    run  a run's id, the beginning of it that no other run has, or `last`
    Raises NotFoundError where no kept snapshot is of that run, CarlakeError where what was before it is not kept.
    """
    with context.engine.session():
        situation = Situation(context, run)
        situation.check_files()
        return situation.plan


def rollback(context: Context, run: str) -> tuple[RollbackPlan, RunReport | None]:
    """Return silver, quarantine and gold to what they were before a run, and hold them.

    Gives what was done, and its report where a table moved.
    Landing goes on meanwhile and afterwards. May be repeated at any time, after a crash too.
    Raises as `plan_rollback` does; CommitRefusedError where other writers were faster again and again.
    """
    started = context.clock()
    first: RollbackPlan | None = None
    steps: dict[str, Step] = {}
    undoes: dict[str, UndoneRun] = {}
    for _ in range(_MOST_STEPS):
        with context.engine.session():
            situation = Situation(context, run)
            run = situation.plan.run
            if first is None:
                situation.check_files()
                first = situation.plan
            undoes = {undone.run: undone for undone in situation.plan.undoes} | undoes
            begun = time.perf_counter()
            try:
                staged = situation.next_step()
                if staged is None:
                    break
                publish(context, staged)
            except CommitRefusedError:
                continue
            except ValueError as error:
                # The snapshot to return to was expired just now: there may be another one.
                if "unknown snapshot" not in str(error):
                    raise
                continue
            if situation.moving:
                steps[staged.table] = Step(
                    staged.table,
                    "succeeded",
                    why="rollback",
                    rows_out=staged.rows_added,
                    rows_removed=staged.rows_removed,
                    snapshot_id=staged.snapshot_id,
                    source_snapshot_id=situation.reads(staged.table),
                    started_at=context.clock(),
                    seconds=time.perf_counter() - begun,
                )
    else:
        raise CommitRefusedError(
            f"Other writers were faster than the rollback before {run} again and again.", "Give the command again."
        )
    assert first is not None
    moves = tuple(
        replace(move, done=True, snapshot_id=steps[move.table].snapshot_id if move.table in steps else None)
        for move in first.moves
    )
    done = RollbackPlan(run, moves, by_time(undoes), situation.plan.held)
    return done, _report(context, started, steps)


def resume(context: Context) -> tuple[Resumed, RunReport | None]:
    """Drop the holds: the next run brings every table up to date from where it was rolled back to.

    May be repeated at any time, after a crash too. Raises CommitRefusedError where other writers were faster again and
    again.
    """
    started = context.clock()
    steps: dict[str, Step] = {}
    runs: dict[str, None] = {}
    for _ in range(_MOST_STEPS):
        with context.engine.session():
            held = [(name, hold) for name in derived(context.tables) if (hold := Hold.of(context.find(name)))]
            if not held:
                break
            name, hold = held[0]
            begun = time.perf_counter()
            try:
                staged = stage(context, name, "resume", {HOLD: ""}, unpinned(context.engine.load(name)))
                publish(context, staged)
            except CommitRefusedError:
                continue
            runs[hold.run] = None
            steps[name] = Step(
                name,
                "succeeded",
                why="resume",
                snapshot_id=staged.snapshot_id,
                started_at=context.clock(),
                seconds=time.perf_counter() - begun,
            )
    else:
        raise CommitRefusedError("Other writers were faster than resume again and again.", "Give the command again.")
    return Resumed(tuple(steps), tuple(runs)), _report(context, started, steps)


def holds(context: Context) -> dict[str, Hold]:
    """The tables that are held."""
    found = {name: Hold.of(context.peek(name)) for name in derived(context.tables)}
    return {name: hold for name, hold in found.items() if hold is not None}


def unfinished(context: Context) -> str | None:
    """The run whose rollback was begun and not finished, None where there is none.

    A resume that was broken off is none: there the tables that are not held any more were resumed.
    """
    held = holds(context)
    if not held:
        return None
    run = next(iter(held.values())).run
    for name in derived(context.tables):
        kept = History(name, context.peek(name)).kept
        own = next((each for each in kept if each.kind in KINDS), None)
        if name not in held and own is not None and own.kind == "resume":
            return None
    try:
        return None if plan_rollback(context, run).done else run
    except CarlakeError:
        return run


def _report(context: Context, started: datetime, steps: Mapping[str, Step]) -> RunReport | None:
    if not steps:
        return None
    seconds = (context.clock() - started).total_seconds()
    return RunReport(context.run_id, context.trigger, "succeeded", started, seconds, steps=tuple(steps.values()))
