"""What a run did, on the screen and as a JSON document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from carlake.cli.screen import (
    BAD,
    GOOD,
    QUIET,
    STRONG,
    WARN,
    Column,
    Screen,
    count,
    number,
    one_line,
    seconds,
    size,
    time,
)

if TYPE_CHECKING:
    from carlake.cli.invocation import Invocation
    from carlake.lakehouse import RunPlan
    from carlake.refresh.report import Problem, RunReport, Step

STATUS_STYLE = {
    "succeeded": GOOD,
    "partial": WARN,
    "failed": BAD,
    "skipped": QUIET,
    "left": WARN,
    "waiting": WARN,
    "held": WARN,
}
_WHY = {
    "landing": "objects wait",
    "source": "its source has news",
    "definition": "its definition changed",
    "day": "a new day",
    "foreign": "another program wrote to it",
    "history": "its source's history was replaced",
    "asked": "it was asked for",
}
_PROBLEMS_SHOWN = 20


def run_document(report: RunReport, lake: str) -> dict[str, Any]:
    """A run's report as JSON: the counts, each table, each problem."""
    names = ("files", "records", "accepted", "quarantined", "duplicates", "forgotten", "files_known", "files_unchanged")
    return {
        "run_id": report.run_id,
        "status": report.status,
        "lake": lake,
        "started_at": report.started_at,
        "seconds": round(report.seconds, 3),
        **{name: getattr(report, name) for name in names},
        "tables": [
            {
                "table": step.table,
                "status": step.status,
                "why": step.why,
                "rows_in": step.rows_in,
                "rows_out": step.rows_out,
                "rows_removed": step.rows_removed,
                "source_snapshot_id": step.source_snapshot_id,
                "snapshot_id": step.snapshot_id,
                "seconds": round(step.seconds, 3),
                "refusals": step.refusals,
                "error": step.error or None,
                "held": {"since": step.held.since, "before_run": step.held.run} if step.held else None,
            }
            for step in report.steps
        ],
        "problems": report.problems,
        "notes": report.notes,
    }


def show_run(invocation: Invocation, report: RunReport) -> None:
    """A run for people: its tables, its counts, what went wrong and what to do about it."""
    screen = invocation.screen
    screen.line(
        ("Run ", STRONG),
        (report.run_id, STRONG),
        "  ",
        (report.status, STATUS_STYLE[report.status]),
        f" in {seconds(report.seconds)}",
    )
    screen.line()
    if all(step.status == "skipped" for step in report.steps):
        screen.line("  Nothing to do: every table is up to date.")
    else:
        show_steps(screen, report.steps)
        if report.files or report.records:
            screen.line()
            screen.line("  ", counts_line(report))
    if report.files_known or report.files_unchanged:
        screen.line("  ", (_known(report), QUIET))
    for note in report.notes:
        screen.prose(one_line(note), indent=2)
    show_problems(screen, report.problems)
    held = [step.held for step in report.steps if step.held]
    if held:
        screen.line()
        screen.line(
            (f"{count(len(held), 'table')} held", WARN),
            f" since {time(min(hold.since for hold in held))}: rolled back to before run {held[0].run}",
        )
        screen.next([(invocation.hint("resume"), "let them be refreshed again")])
    if report.quarantined > 0:
        screen.next([(invocation.hint("quarantine"), f"why {count(report.quarantined, 'record')} went to quarantine")])


def show_steps(screen: Screen, steps: Sequence[Step]) -> None:
    """One line a table, and the errors below."""
    screen.table(
        [
            Column("table"),
            Column("rows in", right=True),
            Column("written", right=True),
            Column("removed", right=True),
            Column("seconds", right=True),
            Column("", style=QUIET),
        ],
        [
            (
                step.table,
                *(_count(step, name) for name in ("rows_in", "rows_out", "rows_removed")),
                f"{step.seconds:.2f}",
                _state(step),
            )
            for step in steps
        ],
    )
    for step in steps:
        if step.error:
            screen.line()
            screen.line("  ", (f"{step.table}: ", STATUS_STYLE[step.status]), one_line(step.error.split("\n")[0]))
            for line in step.error.split("\n")[1:]:
                screen.line("    ", one_line(line))


def counts_line(report: RunReport) -> Text:
    """`44 files, 44 records: 44 accepted, 0 quarantined, 0 duplicates`."""
    return Text.assemble(
        f"{count(report.files, 'file')}, {count(report.records, 'record')}: ",
        f"{number(report.accepted)} accepted, ",
        (f"{number(report.quarantined)} quarantined", WARN if report.quarantined > 0 else ""),
        f", {number(report.duplicates)} duplicate{'' if report.duplicates == 1 else 's'}",
        f", {number(report.forgotten)} forgotten" if report.forgotten else "",
    )


def show_problems(screen: Screen, problems: Sequence[Problem]) -> None:
    """Objects that could not be taken in, by name."""
    if not problems:
        return
    screen.line()
    screen.line((f"{count(len(problems), 'object')} could not be taken in", WARN), "; the next run tries again:")
    for problem in problems[:_PROBLEMS_SHOWN]:
        screen.line("  ", one_line(problem.uri), " ", problem.why)
        if problem.advice:
            screen.line("    ", (problem.advice, QUIET))
    if len(problems) > _PROBLEMS_SHOWN:
        screen.line((f"  and {number(len(problems) - _PROBLEMS_SHOWN)} more: see --json", QUIET))


def plan_document(plan: RunPlan) -> dict[str, Any]:
    """What a run would do, as JSON."""
    return {
        "dry_run": True,
        "files": len(plan.objects),
        "bytes": sum(landed.size for landed in plan.objects),
        "objects": [{"uri": landed.uri, "size": landed.size} for landed in plan.objects],
        "tables": [
            {
                "table": table,
                "why": refresh.why if refresh else None,
                "full": bool(refresh and refresh.full),
                "held": bool(refresh and refresh.held),
                "changed": refresh.changed if refresh else (),
            }
            for table, refresh in plan.refreshes
        ],
        "problems": plan.problems,
        "notes": plan.notes,
    }


def show_plan(invocation: Invocation, plan: RunPlan, *, landing: bool = True) -> None:
    """What a run would do, for people. `landing`: it would take objects in, too."""
    screen = invocation.screen
    screen.line(("Plan", STRONG), ("  nothing is changed", QUIET))
    screen.line()
    waiting = bool(plan.objects) and landing
    rows: list[tuple[str, Any]] = []
    if landing:
        total = sum(landed.size for landed in plan.objects)
        what = f"take in {count(len(plan.objects), 'object')}, {size(total)}" if waiting else ("nothing waits", QUIET)
        rows.append(("landing", what))
    for table, refresh in plan.refreshes:
        if refresh is not None and refresh.held:
            rows.append((table, (f"nothing: held since {time(refresh.held.since)}; {invocation.hint('resume')}", WARN)))
        elif refresh is not None:
            changed = f": {', '.join(refresh.changed)}" if refresh.changed else ""
            extent = "all of it" if refresh.full else "what changed"
            rows.append((table, f"refresh {extent}, for {_WHY.get(refresh.why, refresh.why)}{changed}"))
        elif waiting:
            rows.append((table, ("refresh what the new records touch", "")))
        else:
            rows.append((table, ("right already", QUIET)))
    screen.facts(rows)
    for note in plan.notes:
        screen.prose(one_line(note), indent=2)
    show_problems(screen, plan.problems)


def _state(step: Step) -> str | Text:
    if step.status == "failed":
        return Text("FAILED", style=BAD)
    if step.status == "left":
        return Text("LEFT ALONE", style=WARN)
    if step.status == "waiting":
        return Text("WAITS", style=WARN)
    if step.status == "held":
        return Text("held", style=WARN)
    if step.status == "skipped":
        return "up to date"
    return Text() if step.rows_out or step.rows_removed else "no row changed"


def _count(step: Step, name: str) -> str:
    value: int = getattr(step, name)
    return "" if step.status not in ("succeeded", "failed") and not value else number(value)


def _known(report: RunReport) -> str:
    parts = []
    if report.files_unchanged:
        parts.append(f"{count(report.files_unchanged, 'file')} not read again: unchanged since landed")
    if report.files_known:
        parts.append(f"{count(report.files_known, 'file')} with known content, which adds nothing")
    return "; ".join(parts)
