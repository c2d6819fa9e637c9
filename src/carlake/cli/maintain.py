"""Mend: maintain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from carlake.cli.help import Command
from carlake.cli.invocation import Invocation, command
from carlake.cli.names import complete_tables

if TYPE_CHECKING:
    from carlake.upkeep.maintenance.maintain import Maintained, MaintenancePlan


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("maintain", cls=Command, rich_help_panel="Mend")(maintain)


@command
def maintain(
    invocation: Invocation,
    tables: Annotated[
        list[str] | None,
        typer.Argument(metavar="TABLE", help="Only these tables.", show_default=False, autocompletion=complete_tables),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
) -> None:
    """Merge small files, expire snapshots, remove leftovers.

    No row changes, but for those that a retention setting removes. Safe beside runs, `watch` and readers, and at any
    moment that it is stopped. `run` and `watch` do a little of it by themselves; this does all that is due.

      carlake maintain --dry-run                what is due, and why
      carlake maintain silver_car_telemetry     only this table
    """
    with invocation.open() as house:
        if dry_run:
            with invocation.working("Looking"):
                plan = house.plan_maintenance(tables or ())
            if invocation.json:
                invocation.document({"dry_run": True, "due": plan.due, "notes": plan.notes})
            _show_plan(invocation, plan)
            return
        with invocation.working("Maintaining") as change:
            result = house.maintain(tables or (), progress=change)
    if invocation.json:
        invocation.document(
            {"dry_run": False, "busy": result.busy, "seconds": round(result.seconds, 3), "done": result.done}
        )
    _show(invocation, result)
    if not result.ok:
        raise typer.Exit(1)


def _show_plan(invocation: Invocation, plan: MaintenancePlan) -> None:
    from carlake.cli.screen import QUIET, STRONG, Column, number, size

    screen = invocation.screen
    screen.line(("Plan", STRONG), ("  nothing is changed", QUIET))
    screen.line()
    if plan.due:
        screen.table(
            [
                Column("what"),
                Column("table"),
                Column("files", right=True),
                Column("size", right=True),
                Column("why", style=QUIET, wrap=True),
            ],
            [
                (
                    due.task,
                    due.table or "the lake",
                    number(due.files) if due.files else "",
                    size(due.size) if due.size else "",
                    due.why,
                )
                for due in plan.due
            ],
        )
    else:
        screen.line("  Nothing is due.")
    for note in plan.notes:
        screen.line()
        screen.line("  ", (note, QUIET))


def _show(invocation: Invocation, result: Maintained) -> None:
    from carlake.cli.screen import BAD, GOOD, QUIET, STRONG, Column, number, one_line, seconds

    screen = invocation.screen
    if result.busy:
        screen.line("Another process maintains this lake; nothing was done here.")
        return
    what = (
        [("Nothing was due", STRONG)] if not result.done else [("Maintained", GOOD), f" in {seconds(result.seconds)}"]
    )
    screen.line(*what)
    if result.done:
        screen.line()
        screen.table(
            [
                Column("what"),
                Column("table"),
                Column("files", right=True),
                Column("rows", right=True),
                Column("snapshots", right=True),
                Column("", style=QUIET),
            ],
            [
                (
                    done.task,
                    done.table or "the lake",
                    f"{number(done.files)} into {number(done.files_written)}"
                    if done.files_written
                    else _count(done.files),
                    _count(done.rows),
                    _count(done.snapshots),
                    "FAILED" if done.error else "not done whole: the next time goes on" if done.again else "done",
                )
                for done in result.done
            ],
        )
    for done in result.done:
        if done.error:
            screen.line()
            screen.line("  ", (f"{done.task} {done.table}: ", BAD), one_line(done.error.split("\n")[0]))


def _count(value: int) -> str:
    from carlake.cli.screen import number

    return number(value) if value else ""
