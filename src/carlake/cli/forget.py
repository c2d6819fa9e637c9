"""Mend: forget."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carlake.cli.help import Command
from carlake.cli.invocation import Invocation, command

if TYPE_CHECKING:
    from carlake.upkeep.erasure.erase import ErasedTable, Erasure, ErasurePlan
    from carlake.upkeep.erasure.search import Place

_PLACES_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("forget", cls=Command, rich_help_panel="Mend")(forget)


@command
def forget(
    invocation: Invocation,
    car: Annotated[str, typer.Argument(metavar="CAR", help="A car, by its chassis number as it is landed.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    unknown: Annotated[
        bool, typer.Option("--unknown", help="Also a car that the lake does not have: refuse it from now on.")
    ] = False,
) -> None:
    """Remove a car for good, and prove that it is gone.

    It goes from every table, every older snapshot and release, the archive, landing and the logs. What stays is a keyed
    tombstone that does not tell the car: records of it that come again are refused and counted. At the end the whole
    lake is searched, packed and encoded files too, by a search that has first found a control car. Exit code 1 if
    anything is left. A car that the lake does not have is refused, exit code 2, unless --unknown is given.

      carlake forget WVWZZZ1JZXW000001 --dry-run     what would go
      carlake forget WVWZZZ1JZXW000001
    """
    with invocation.open() as house:
        if dry_run or not yes:
            plan = house.plan_forget(car, unknown=unknown)
            if dry_run and invocation.json:
                invocation.document({"dry_run": True, "car": car, **_plan_document(plan)})
            if dry_run:
                _show_plan(invocation, plan)
                return
            if invocation.json or not sys.stdin.isatty():
                raise typer.BadParameter("forget asks before it destroys; where nobody can answer, give --yes.")
            _show_plan(invocation, plan)
            typer.confirm("Forget this car? There is no way back.", abort=True, err=True)
        with invocation.working("Forgetting") as change:
            done = house.forget(car, unknown=unknown, progress=change)
    if invocation.json:
        invocation.document({"dry_run": False, **_document(done)})
    _show(invocation, done)
    if not done.ok:
        raise typer.Exit(1)


def _plan_document(plan: ErasurePlan) -> dict[str, Any]:
    return {
        "known": plan.known,
        "forgotten_before": plan.forgotten_before,
        "waiting": plan.waiting,
        "tables": plan.tables,
    }


def _document(done: Erasure) -> dict[str, Any]:
    return {
        "run_id": done.run_id,
        "ok": done.ok,
        "tombstone": done.tombstone,
        "known": done.known,
        "forgotten_before": done.forgotten_before,
        "tables": done.tables,
        "objects": done.objects,
        "logs": done.logs,
        "search": {
            "control_found_in": done.control,
            "proved": done.proved,
            "files": done.searched.files,
            "bytes": done.searched.size,
            "not_decoded": done.searched.unread,
            "left": [_place(place) for place in done.left],
            "mentions": [_place(place) for place in done.mentions],
            "untold": done.untold,
            "running": done.running,
        },
        "seconds": round(done.seconds, 3),
    }


def _place(place: Place) -> dict[str, str]:
    return {"path": place.path, "kind": place.kind, "what": place.what}


def _show_plan(invocation: Invocation, plan: ErasurePlan) -> None:
    from carlake.cli.screen import QUIET, STRONG, count

    screen = invocation.screen
    screen.line(("Plan", STRONG), ("  nothing is changed", QUIET))
    screen.line()
    _tables(invocation, plan.tables)
    if not any(table.rows for table in plan.tables):
        screen.line("  No table has a row of this car. Its records would be refused from now on.")
    if plan.waiting:
        screen.line(f"  {count(plan.waiting, 'object')} in landing would be taken in first, without the car.")
    screen.line("  Every older snapshot and release goes, and archived objects that hold the car are written anew.")


def _show(invocation: Invocation, done: Erasure) -> None:
    from carlake.cli.screen import BAD, GOOD, QUIET, WARN, count, number, one_line, seconds, size

    screen = invocation.screen
    screen.line(("Forgotten", GOOD) if done.ok else ("Not proved to be gone", BAD), f" in {seconds(done.seconds)}")
    screen.line()
    _tables(invocation, done.tables)
    screen.line()
    rewritten = f"{count(len(done.objects), 'object')} written anew" if done.objects else "no object held it"
    control = f"found in {number(len(done.control))} kinds of places"
    screen.facts(
        [
            ("archive, landing", rewritten),
            ("logs", f"{count(len(done.logs), 'file')} cleaned" if done.logs else "nothing of it"),
            (
                "control car",
                (control, GOOD) if done.proved else ("NOT FOUND everywhere: the search does not work", BAD),
            ),
            ("searched", f"{count(done.searched.files, 'file')}, {size(done.searched.size)}"),
            ("left", ("nothing", GOOD) if not done.left else (count(len(done.left), "place"), BAD)),
            ("tombstone", (f"{done.tombstone[:12]}...", QUIET)),
        ]
    )
    for place in done.left[:_PLACES_SHOWN]:
        screen.line("    ", (one_line(place.path), BAD), f"  {place.kind} {place.what}")
    if done.mentions:
        files = len({place.path for place in done.mentions})
        screen.line(
            "  ", (f"Records of other cars name it in {count(files, 'file')}; they are theirs, and stay.", WARN)
        )
    if done.searched.unread:
        what = f"{count(len(done.searched.unread), 'file')} cannot be decoded to the end, so of these only the bytes were searched:"
        screen.line("  ", (what, WARN))
        for path in done.searched.unread[:_PLACES_SHOWN]:
            screen.line("    ", one_line(path))
    if done.untold:
        where = count(done.untold, "place")
        what = f"So short a name stands in {where} of carlake's own, as in dates and counts, and cannot be told there."
        screen.line("  ", (what, WARN))
    if done.running:
        screen.line(
            "  ",
            (
                f"Temporary files of {count(len(done.running), 'running process', 'running processes')} end with them: ",
                WARN,
            ),
            ", ".join(map(str, done.running)),
        )


def _tables(invocation: Invocation, tables: Sequence[ErasedTable]) -> None:
    from carlake.cli.screen import Column

    invocation.screen.table(
        [
            Column("table"),
            Column("rows", right=True),
            Column("older snapshots", right=True),
            Column("releases", right=True),
        ],
        [(table.table, table.rows, table.snapshots, len(table.tags)) for table in tables],
    )
