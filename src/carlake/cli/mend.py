"""Mend: rebuild."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carlake.cli.flow import day, progress_text
from carlake.cli.help import Command
from carlake.cli.invocation import Invocation, command
from carlake.cli.names import complete_tables

if TYPE_CHECKING:
    from carlake.upkeep.recovery.from_archive import ArchivePlan


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("rebuild", cls=Command, rich_help_panel="Mend")(rebuild)


@command
def rebuild(
    invocation: Invocation,
    tables: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TABLE",
            help="Make these tables again from their source, right or not.",
            show_default=False,
            autocompletion=complete_tables,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Make all tables again.")] = False,
    source: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="archive", help="Make bronze again, too, from the archived objects.", show_default=False
        ),
    ] = None,
    today: Annotated[
        date | None, typer.Option(parser=day, metavar="DATE", help="The day that insurance is judged by. [now, UTC]")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. (It never does: no history is lost.)")] = False,
) -> None:
    """Adopt changed definitions, or make tables again.

    Without a table: each table whose contracts, rules or definition changed is brought up to date, doing no more than
    the change needs. With tables or --all, they are made again whole from their source. Either way each is one snapshot,
    so that readers never see a part of it, and its earlier snapshots stay readable. Rows whose records retention has
    removed from bronze stay as they were made.

      carlake rebuild                              adopt what changed
      carlake rebuild alerts                       make one again; part of its name is enough
      carlake rebuild --all --from archive         everything, bronze from the archive
    """
    from carlake.cli.report import run_document, show_run

    if source not in (None, "archive"):
        raise typer.BadParameter(f"--from {source}: there is only the archive to rebuild from.")
    if everything and tables:
        raise typer.BadParameter("--all makes every table again; give it or the names of some.")
    with invocation.open() as house:
        given = tuple(tables or ())
        chosen = {"everything": everything, "from_archive": source is not None}
        if dry_run:
            _show_plan(invocation, house, house.remade(given, **chosen), today)
            return
        with invocation.working("Rebuilding") as change:
            report = house.rebuild(given, **chosen, today=today, progress=progress_text(change))
        if invocation.json:
            invocation.document(run_document(report, house.lake.location))
        show_run(invocation, report)
    if report.status != "succeeded":
        raise typer.Exit(1)


def _show_plan(invocation: Invocation, house: Any, anew: frozenset[str], today: date | None) -> None:
    from dataclasses import replace

    from carlake.cli.report import plan_document, show_plan
    from carlake.cli.screen import QUIET, count

    plan = house.plan(today=today, adopt=True, anew=anew)
    wanted = tuple(pair for pair in plan.refreshes if not anew or pair[0] in anew)
    archive: ArchivePlan | None = house.plan_from_archive() if "bronze_car_data" in anew else None
    plan = replace(plan, objects=(), problems=(), refreshes=wanted)
    if invocation.json:
        again = (
            {"again": len(archive.again), "missing": len(archive.missing), "notes": archive.notes} if archive else None
        )
        invocation.document({**plan_document(plan), "archive": again})
    show_plan(invocation, plan, landing=False)
    if archive is not None:
        screen = invocation.screen
        screen.line()
        screen.line(
            f"  bronze_car_data: read {count(len(archive.again), 'object')} again from the archive, "
            f"land {count(len(archive.missing), 'object')} that it does not hold"
        )
        for note in archive.notes:
            screen.prose((note, QUIET), indent=4)
