"""Mend: rebuild."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from carlake.cli.flow import day, progress_text
from carlake.cli.help import Command
from carlake.cli.invocation import Invocation, command
from carlake.cli.names import complete_tables


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("rebuild", cls=Command, rich_help_panel="Mend")(rebuild)


@command
def rebuild(
    invocation: Invocation,
    tables: Annotated[
        list[str] | None,
        typer.Argument(metavar="TABLE", help="Only these tables.", show_default=False, autocompletion=complete_tables),
    ] = None,
    today: Annotated[
        date | None, typer.Option(parser=day, metavar="DATE", help="The day that insurance is judged by. [now, UTC]")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. (It never does: no history is lost.)")] = False,
) -> None:
    """Adopt changed contracts, rules and table definitions.

    Each table whose definition changed is brought up to date as one snapshot, doing no more than the change needs.
    Its earlier snapshots stay readable.
    """
    from carlake.cli.report import plan_document, run_document, show_plan, show_run

    with invocation.open() as house:
        only = {house.table(name).name for name in tables or ()}
        if dry_run:
            from dataclasses import replace

            plan = house.plan(today=today, adopt=True)
            wanted = tuple(pair for pair in plan.refreshes if not only or pair[0] in only)
            plan = replace(plan, objects=(), problems=(), refreshes=wanted)
            if invocation.json:
                invocation.document(plan_document(plan))
            show_plan(invocation.screen, plan, landing=False)
            return
        with invocation.working("Rebuilding") as change:
            report = house.rebuild(tables or (), today=today, progress=progress_text(change))
        if invocation.json:
            invocation.document(run_document(report, str(house.lake.root)))
        show_run(invocation, report)
    if report.status != "succeeded":
        raise typer.Exit(1)
