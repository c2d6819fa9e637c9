"""Mend: rollback, resume."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carlake.cli.help import Command
from carlake.cli.invocation import Invocation, command

if TYPE_CHECKING:
    from carlake.upkeep.releases.returning import RollbackPlan


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("rollback", cls=Command, rich_help_panel="Mend")(rollback)
    app.command("resume", cls=Command, rich_help_panel="Mend")(resume)


@command
def rollback(
    invocation: Invocation,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run: its id, the beginning of it, or `last`.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Return tables to what they were before a run.

    The work of that run and of every later one goes from silver, quarantine and gold, as new snapshots; the old ones
    stay readable. These tables are then held: nothing refreshes them until `carlake resume`. Bronze and the archive keep everything,
    and landing goes on.

      carlake rollback last --dry-run     what it would undo
      carlake rollback last
      carlake resume                      take all of it in again
    """
    with invocation.open() as house:
        plan = house.plan_rollback(run)
        if dry_run:
            if invocation.json:
                invocation.document({"dry_run": True, **_document(plan)})
            _show(invocation, plan, planned=True)
            return
        if not yes and not plan.done:
            if invocation.json or not sys.stdin.isatty():
                raise typer.BadParameter("rollback asks before it moves tables; where nobody can answer, give --yes.")
            _show(invocation, plan, planned=True)
            typer.confirm("Roll back?", abort=True, err=True)
        with invocation.working("Rolling back"):
            done = house.rollback(plan.run)
    if invocation.json:
        invocation.document({"dry_run": False, **_document(done)})
    _show(invocation, done, planned=False)


@command
def resume(
    invocation: Invocation,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say which tables are held, and do nothing.")] = False,
) -> None:
    """Let tables that were rolled back be refreshed again.

    The next run brings each up to date from where it was rolled back to: what was undone is taken in again, by the
    contracts and rules of then.
    """
    from carlake.cli.screen import GOOD, time

    with invocation.open() as house:
        holds = house.holds()
        resumed = None if dry_run else house.resume()
    if invocation.json:
        tables = [{"table": name, "before_run": hold.run, "since": hold.since} for name, hold in holds.items()]
        invocation.document(
            {"dry_run": dry_run, "resumed": tables if resumed else [], "held": [] if resumed else tables}
        )
    screen = invocation.screen
    if not holds:
        screen.line("No table is held.")
        return
    screen.facts([(name, f"held since {time(hold.since)}, before run {hold.run}") for name, hold in holds.items()])
    if resumed is not None:
        screen.line()
        screen.line(("Resumed.", GOOD), " The next run brings them up to date.")
        screen.next([(invocation.hint("run"), "do it now")])


def _document(plan: RollbackPlan) -> dict[str, Any]:
    return {
        "run_id": plan.run,
        "done": plan.done,
        "undoes": [{"run_id": undone.run, "at": undone.at} for undone in plan.undoes],
        "held": plan.held,
        "tables": [
            {
                "table": move.table,
                "returns": not move.done or move.snapshot_id is not None,
                "head_snapshot_id": move.head,
                "to_snapshot_id": move.target,
                "to_run_id": move.target_run or None,
                "to_time": move.target_at,
                "rows_before": move.rows_now,
                "rows_after": move.rows_then,
                "snapshot_id": move.snapshot_id,
            }
            for move in plan.moves
        ],
    }


def _show(invocation: Invocation, plan: RollbackPlan, *, planned: bool) -> None:
    from carlake.cli.screen import GOOD, QUIET, STRONG, WARN, Column, count, time

    screen = invocation.screen
    if planned:
        screen.line(("Plan", STRONG), ("  nothing is changed", QUIET))
    else:
        screen.line(("Rolled back", GOOD), f" to before run {plan.run}")
    screen.line()
    screen.table(
        [Column("table"), Column("rows", right=True), Column("then", right=True), Column("as of"), Column("run")],
        [
            (
                move.table,
                move.rows_now,
                move.rows_then,
                move.target_at if move.target is not None else "empty",
                move.target_run or None,
            )
            for move in plan.moves
        ],
    )
    screen.line()
    if plan.undoes:
        what = "would be undone" if planned else "undone in these tables"
        screen.line((f"{count(len(plan.undoes), 'run')} {what}", WARN), "; bronze keeps what they landed:")
        for undone in plan.undoes:
            screen.line("  ", undone.run, (f"  {time(undone.at)}" if undone.at else "", QUIET))
    else:
        screen.line("No table changes its rows: the work of that run is not in them.")
    if not planned:
        screen.line(f"{count(len(plan.held), 'table')} held: no run refreshes them. Landing goes on.")
        screen.next([(invocation.hint("resume"), "let the tables be refreshed again")])
    elif not plan.done:
        screen.line("All of them would be held until carlake resume; landing goes on.")
