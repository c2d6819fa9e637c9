"""How the lake looks to a person: its tables, its runs, what waits, and whether all of it is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from carlake.cli.report import STATUS_STYLE
from carlake.cli.screen import (
    BAD,
    GOOD,
    NOTHING,
    QUIET,
    STRONG,
    WARN,
    Column,
    Screen,
    count,
    number,
    one_line,
    seconds,
    short_id,
    shown,
    size,
    time,
)
from carlake.refresh.report import DONE

if TYPE_CHECKING:
    from carlake.cli.invocation import Invocation
    from carlake.landing.listing import Listing
    from carlake.look.tables import TableInfo
    from carlake.look.verify import Verification
    from carlake.refresh.circuits import Circuit
    from carlake.tables.table import Table
    from carlake.watch.presence import Watching

_QUARANTINE = "quarantine_car_data"
_TIMES_FIT = 100
_NAMED = 3


def show_status(
    invocation: Invocation,
    root: str,
    infos: Sequence[TableInfo],
    run: Mapping[str, Any] | None,
    waiting: Listing,
    waiting_bytes: int,
    failing: Sequence[Circuit] = (),
    watched: Sequence[Watching] = (),
) -> None:
    """One glance at a lake, and what to do next."""
    screen = invocation.screen
    changed = changed_tables(infos)
    quarantined = next(info.rows for info in infos if info.name == _QUARANTINE)
    behind = [info.name for info in infos if info.rows_behind != 0]
    screen.heading("Lake", root)
    screen.line()
    facts: list[tuple[str, str | Text | tuple[str, str]]] = []
    if run is None:
        facts.append(("last run", ("none yet", QUIET)))
    else:
        facts.append(
            (
                "last run",
                Text.assemble(
                    f"{time(run['started_at'])}  ",
                    (str(run["status"]), STATUS_STYLE.get(str(run["status"]), "")),
                    f"  {run['tables']} tables, {seconds(float(run['seconds'] or 0))}",
                ),
            )
        )
    objects = f"{count(len(waiting.objects), 'object')}, {size(waiting_bytes)}" if waiting.objects else ""
    facts.append(("landing", f"{objects} waiting" if objects else ("nothing waits", QUIET)))
    if waiting.unreadable:
        facts.append(("", (f"{count(len(waiting.unreadable), 'object')} cannot be read: {_names(waiting)}", WARN)))
    for each in watched:
        facts.append(("watched", f"by process {each.pid} since {each.started_at.replace('T', ' ')}"))
    facts.append(("quarantine", (count(quarantined, "record"), WARN) if quarantined else ("empty", QUIET)))
    if changed:
        facts.append(("definitions", (f"changed for {', '.join(changed)}", WARN)))
    held = held_line(infos)
    if held:
        facts.append(("held", (held, WARN)))
    screen.facts(facts)
    screen.line()
    screen.table(
        [
            Column("table", whole=True),
            Column("rows", right=True),
            Column("behind", right=True),
            Column("updated", whole=True, less=1),
        ],
        [
            (info.name, info.rows if info.exists and info.readable else None, _behind(info), info.updated)
            for info in infos
        ],
    )
    _show_trouble(screen, infos, failing)
    steps = []
    if failing or waiting.unreadable or any(info.trouble for info in infos):
        steps.append((invocation.hint("doctor"), "what is wrong, and what mends it"))
    if changed:
        steps.append((invocation.hint("rebuild", "--dry-run"), "what adopting the changed definitions would do"))
    if held:
        steps.append((invocation.hint("resume"), "let the held tables be refreshed again"))
    undone = waiting.objects or (behind and not held)
    if undone and not watched:
        steps.append((invocation.hint("run"), "take in what waits" if waiting.objects else "catch up"))
    if quarantined:
        steps.append((invocation.hint("quarantine"), "why records were put aside"))
    if run is None and not waiting.objects:
        steps.append((invocation.hint("run", "FILES"), "land files from anywhere"))
        steps.append((invocation.hint("simulate"), "write files of a simulated fleet into landing"))
    if steps:
        screen.next(steps)
    elif not undone:
        screen.line()
        screen.line(("Everything is up to date.", GOOD))


def _names(waiting: Listing) -> str:
    """The first of the objects that cannot be read, without their folders."""
    names = [one_line(item.uri.rstrip("/").rpartition("/")[2]) for item in waiting.unreadable]
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _show_trouble(screen: Screen, infos: Sequence[TableInfo], failing: Sequence[Circuit]) -> None:
    """The tables that keep failing, and those that cannot be read, each with the cause."""
    troubles = {info.name: (info.trouble, "") for info in infos if info.trouble}
    for circuit in failing:
        again = f"; watch tries it again at {time(circuit.retry_at)}" if circuit.opened_at else ""
        often = f"{circuit.failures} times in a row since {time(circuit.since)}"
        times = f"failed {often if circuit.failures > 1 else time(circuit.last)}{again}"
        troubles[circuit.table] = (circuit.error, times)
    for name, (error, times) in troubles.items():
        screen.line()
        screen.line("  ", (f"{name}: ", BAD), times or one_line(error.split("\n")[0]))
        for line in error.split("\n")[0 if times else 1 :]:
            screen.line("    ", one_line(line))


def held_line(infos: Sequence[TableInfo]) -> str:
    """Which tables are held since a rollback; empty where none is."""
    held = {info.name: info.held for info in infos if info.held}
    if not held:
        return ""
    since, run = min((hold.since, hold.run) for hold in held.values())
    what = "silver, quarantine and gold" if len(held) == 5 else ", ".join(held)
    return f"{what}: since {time(since)}, rolled back to before run {run}; carlake resume"


def changed_tables(infos: Sequence[TableInfo]) -> list[str]:
    """The tables that wait for `carlake rebuild`. What nothing is computed for (bronze, ops_runs) never does."""
    return [info.name for info in infos if info.changed and info.source not in (None, "landing")]


def show_tables(screen: Screen, infos: Sequence[TableInfo]) -> None:
    """Every table in two lists, each narrow enough for a small terminal: what it holds, and how far it has read."""
    screen.table(
        [
            Column("table", whole=True),
            Column("rows", right=True),
            Column("created", whole=True, less=2),
            Column("updated", whole=True, less=1),
        ],
        [
            (
                info.name,
                info.rows if info.exists and info.readable else None,
                info.created.date() if info.created else None,
                info.updated,
            )
            for info in infos
        ],
    )
    screen.line()
    screen.table(
        [
            Column("bookmark", whole=True),
            Column("snapshot", whole=True),
            Column("has read", whole=True),
            Column("behind", right=True),
            Column("day", whole=True, less=1),
            Column("defined", whole=True, less=2),
        ],
        [
            (
                info.name,
                short_id(info.snapshot_id),
                short_id(info.bookmark_source),
                _behind(info),
                info.bookmark_day,
                _definition(info, 7),
            )
            for info in infos
        ],
    )
    if held := held_line(infos):
        screen.line()
        screen.line("  ", ("held ", WARN), (held, QUIET))
    if changed_tables(infos):
        screen.line()
        screen.line(
            "  ", ("*", WARN), (" its definition is another now; carlake rebuild adopts it, or says why not", QUIET)
        )


def show_table(screen: Screen, info: TableInfo, table: Table) -> None:
    """One table with its columns."""
    screen.heading(info.name)
    screen.prose(info.doc)
    screen.line()
    facts: list[tuple[str, str | Text | tuple[str, str]]] = [
        ("rows", shown(info.rows if info.readable else None)),
        ("stored", f"{count(info.files, 'file')}, {size(info.size_bytes)}"),
        ("created", shown(info.created)),
        ("updated", shown(info.updated)),
        ("snapshot", f"{info.snapshot_id}  (of {number(info.snapshots)})" if info.snapshot_id else shown(None)),
    ]
    if not info.exists:
        facts = [("rows", ("none: the table is made by the first run", QUIET))]
    facts += [
        ("made from", shown(info.source)),
        ("one row per", ", ".join(table.key)),
    ]
    if info.exists and info.source:
        facts += [
            ("has read up to", str(info.bookmark_source) if info.bookmark_source else shown(None)),
            ("rows behind", _behind(info)),
            ("judged as of", shown(info.bookmark_day)),
        ]
    if info.definition:
        facts.append(("definition", _definition(info)))
    if info.held:
        facts.append(("held", (f"since {time(info.held.since)}, before run {info.held.run}; carlake resume", WARN)))
    if changed_tables([info]):
        facts.append(("", (f"changed: {', '.join(info.changed)}; carlake rebuild adopts it, or says why not", WARN)))
    if info.trouble:
        facts.append(("trouble", (info.trouble, BAD)))
    if info.location:
        facts.append(("lies in", info.location.removeprefix("file://")))
    screen.facts(facts)
    screen.line()
    personal = any(column.personal for column in info.columns)
    screen.table(
        [Column("column"), Column("type", style=QUIET), Column("unit"), Column("meaning", wrap=True)],
        [
            (
                Text.assemble(column.name, (" *", WARN) if column.personal else ""),
                column.type,
                Text(column.unit),
                Text(column.doc),
            )
            for column in info.columns
        ],
    )
    if personal:
        screen.line()
        screen.line("  ", ("*", WARN), (" about a person", QUIET))


def show_runs(invocation: Invocation, rows: Sequence[Mapping[str, Any]]) -> None:
    """Runs, newest first."""
    screen = invocation.screen
    if not rows:
        screen.line("No run has changed anything yet.")
        screen.next([(invocation.hint("run", "FILES"), "land files from anywhere")])
        return
    # The id begins with the time, so a narrow screen can do without it.
    when = [Column("started")] if screen.width >= _TIMES_FIT else []
    screen.table(
        [
            Column("run", whole=True),
            *when,
            Column("trigger", whole=True, less=3),
            Column("status", whole=True),
            Column("tables", right=True),
            Column("seconds", right=True, less=2),
            Column("files", right=True, less=1),
            Column("records", right=True),
        ],
        [
            (
                row["run_id"],
                *([row["started_at"]] if when else []),
                row["trigger"],
                Text(str(row["status"]), style=STATUS_STYLE.get(str(row["status"]), "")),
                row["tables"],
                float(row["seconds"] or 0),
                row["files"],
                row["records"],
            )
            for row in rows
        ],
    )
    screen.next([(invocation.hint("runs", str(rows[0]["run_id"])), "the newest, table by table")])


def show_one_run(screen: Screen, run_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """One run, table by table."""
    from carlake.look.runs import run_status

    done, status = sum(1 for row in rows if row["status"] in DONE), run_status(rows)
    screen.line(
        ("Run ", STRONG),
        (run_id, STRONG),
        f"  {time(rows[0]['started_at'])}  ",
        (status, STATUS_STYLE[status]),
        f": {done}/{len(rows)} tables succeeded",
    )
    screen.line()
    screen.table(
        [
            Column("table", whole=True),
            Column("status", whole=True),
            Column("rows in", right=True),
            Column("written", right=True),
            Column("seconds", right=True, less=2),
            Column("snapshot", whole=True, less=1),
        ],
        [
            (
                row["table"],
                Text(str(row["status"]), style=STATUS_STYLE.get(str(row["status"]), "")),
                row["rows_in"],
                row["rows_out"],
                float(row["seconds"] or 0),
                short_id(row["snapshot_id"]),
            )
            for row in rows
        ],
    )
    if versions := sorted({str(row["version"]) for row in rows if row["version"]}):
        screen.line()
        screen.line("  ", (f"Written by carlake {', '.join(versions)}", QUIET))
    for row in rows:
        if row["error"]:
            screen.line()
            screen.line("  ", (f"{row['table']}: ", BAD), one_line(str(row["error"]).split("\n")[0]))
            for line in str(row["error"]).split("\n")[1:]:
                screen.line("    ", one_line(line))


def show_verification(invocation: Invocation, found: Verification) -> None:
    """Whether all is right; every difference by name."""
    screen = invocation.screen
    screen.line(verified_line(found))
    if found.uncounted:
        screen.line(f"  Records were not counted: {', '.join(found.uncounted)} could not be read or judged.")
    else:
        screen.line(
            f"  {count(found.files, 'file')}, {count(found.records, 'record')} = {number(found.accepted)} accepted + "
            f"{number(found.quarantined)} quarantined + {count(found.duplicates, 'duplicate')}"
            + (f" + {number(found.forgotten)} forgotten" if found.forgotten else "")
        )
    if found.pending:
        screen.line("  ", (f"{count(found.pending, 'object')} waiting in landing, not counted", QUIET))
    if found.behind:
        screen.line("  ", (f"behind, and right as far as read: {', '.join(found.behind)}", QUIET))
    for problem in found.problems:
        screen.line()
        screen.line("  ", (f"{problem.table}: {problem.kind}", BAD))
        screen.prose(one_line(problem.what), indent=4)
        for key in problem.keys:
            screen.line("      ", (one_line(key), QUIET))
    if found.problems:
        screen.next(
            [
                (invocation.hint("doctor"), "what is wrong, and what mends it"),
                (invocation.hint("recover"), "make the tables whole again"),
            ]
        )


def verified_line(found: Verification) -> Text:
    """The verdict in one line."""
    if found.ok:
        return Text.assemble(("Verified.", GOOD), " Every table is what its source gives.")
    return Text.assemble((f"{count(len(found.problems), 'problem')} found.", BAD))


def _behind(info: TableInfo) -> str | tuple[str, str] | Text:
    if not info.exists or info.source in (None, "landing"):
        return Text(NOTHING, style=QUIET)
    if info.rows_behind is None:
        return Text("all", style=WARN)
    return Text(number(info.rows_behind), style=WARN if info.rows_behind else "")


def _definition(info: TableInfo, letters: int = 64) -> Text:
    if not info.definition:
        return Text(NOTHING, style=QUIET)
    return Text.assemble(info.definition[:letters], ("*", WARN) if changed_tables([info]) else "")
