"""Flow: run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import date
from typing import Annotated

import typer

from carlake.cli.help import Command
from carlake.cli.invocation import Invocation, command


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("run", cls=Command, rich_help_panel="Flow")(run)


def day(text: str | date) -> date:
    """A day as `2026-11-21`."""
    if isinstance(text, date):
        return text
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a day; write it as 2026-11-21") from None


@command
def run(
    invocation: Invocation,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH",
            help="Files, folders, globs or object-store URIs, left where they are. Without any: the lake's own "
            "landing folder, whose objects are archived once their rows are committed.",
            show_default=False,
        ),
    ] = None,
    today: Annotated[
        date | None, typer.Option(parser=day, metavar="DATE", help="The day that insurance is judged by. [now, UTC]")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
) -> None:
    """Land what arrived and bring every table up to date.

    Content that the lake has already adds nothing, so a run can be repeated at any time. A lake that is not there
    is made if paths are given. A table that fails leaves the others right: the run is then partial, exit code 1.

      carlake run                          what lies in ./lake/landing
      carlake run exports/ 'more/*.json'   these files, left where they are
      carlake run --today 2026-12-31       insurance as of that day
    """
    from carlake.cli.report import plan_document, run_document, show_plan, show_run

    screen = invocation.screen
    made = not invocation.exists and (bool(paths) or (invocation.folder / "landing").is_dir())
    if made and dry_run:
        _plan_without_lake(invocation, paths or [])
        return
    with invocation.create() if made else invocation.open() as house:
        if made:
            note = f"Made a lake at {house.lake.location}"
            screen.line(note)
            if invocation.json:
                sys.stderr.write(f"{note}\n")
        if dry_run:
            plan = house.plan(paths or (), today=today)
            if invocation.json:
                invocation.document(plan_document(plan))
            show_plan(invocation, plan)
            return
        with invocation.working("Landing") as change:
            report = house.run(paths or (), today=today, progress=progress_text(change))
        if invocation.json:
            invocation.document(run_document(report, house.lake.location))
        show_run(invocation, report)
    if report.status != "succeeded":
        raise typer.Exit(1)


def progress_text(change: Callable[[str], None]) -> Callable[[str, int], None]:
    """The progress of a run as text, for `Invocation.working`."""
    from carlake.cli.screen import size

    def progress(table: str, done: int) -> None:
        change(f"{table}  {size(done)} landed" if done else table)

    return progress


def _plan_without_lake(invocation: Invocation, paths: list[str]) -> None:
    from carlake.cli.report import plan_document, show_plan
    from carlake.lake import refuse
    from carlake.lakehouse import RunPlan, problems
    from carlake.landing.listing import list_landing, list_paths

    refuse(invocation.folder)
    landing = invocation.load_settings().landing or str(invocation.folder / "landing")
    found = list_paths(paths) if paths else list_landing(landing)
    plan = RunPlan(tuple(found.objects), tuple(problems(found)), (), found.notes)
    if invocation.json:
        invocation.document(plan_document(plan))
    invocation.screen.line(f"A lake would be made at {invocation.folder.absolute()}")
    show_plan(invocation, plan)
