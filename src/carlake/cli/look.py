"""Look: status, tables, runs, query, trace, verify."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carlake.cli.document import WATCHING
from carlake.cli.help import Command
from carlake.cli.invocation import Invocation, command
from carlake.cli.names import FORMATS, complete_formats, complete_tables
from carlake.cli.terminal import colored

if TYPE_CHECKING:
    from carlake.look.tables import TableInfo
    from carlake.refresh.circuits import Circuit


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    for name, function in (
        ("status", status),
        ("tables", tables),
        ("runs", runs),
        ("query", query),
        ("trace", trace),
        ("verify", verify),
    ):
        app.command(name, cls=Command, rich_help_panel="Look")(function)


@command
def status(invocation: Invocation) -> None:
    """The lake at a glance, and what to do next.

    The newest run, what waits in landing, what is in quarantine, and every table: its rows, how many source rows it
    is behind, and when it was updated. Tables that keep failing are named, with the cause; so is who watches the lake.
    """
    from carlake.cli.lake_screens import changed_tables, show_status
    from carlake.landing.listing import list_landing
    from carlake.watch.presence import folder, watching

    with invocation.open() as house:
        infos = house.tables()
        newest = house.runs(limit=1).to_pylist()
        failing = house.circuits()
        now = house.clock()
        waiting = list_landing(house.landing)
        watched = watching(folder(house.lake))
        root = house.lake.location
    run = newest[0] if newest else None
    size = sum(landed.size for landed in waiting.objects)
    if invocation.json:
        invocation.document(
            {
                "lake": root,
                "run": run,
                "tables": [table_document(info) for info in infos],
                "landing": {"files": len(waiting.objects), "bytes": size, "unreadable": waiting.unreadable},
                "quarantined": next(info.rows for info in infos if info.name == "quarantine_car_data"),
                "changed": changed_tables(infos),
                "circuits": [circuit_document(circuit, now) for circuit in failing],
                "watched": [{name: getattr(each, name) for name in WATCHING} for each in watched],
            }
        )
    show_status(invocation, root, infos, run, waiting, size, failing, watched)


@command
def tables(
    invocation: Invocation,
    table: Annotated[
        str | None,
        typer.Argument(
            metavar="TABLE",
            help="One table, with its columns: their types, units and meaning.",
            show_default=False,
            autocompletion=complete_tables,
        ),
    ] = None,
) -> None:
    """Every table and how far it has read; or one, with columns.

    Of a table's name, as much is enough as no other has.

      carlake tables
      carlake tables alerts
    """
    from carlake.cli.lake_screens import show_table, show_tables

    with invocation.open() as house:
        if table is None:
            infos = house.tables()
            if invocation.json:
                invocation.document([table_document(info) for info in infos])
            show_tables(invocation.screen, infos)
        else:
            info = house.table(table)
            if invocation.json:
                invocation.document({**table_document(info), "columns": info.columns})
            show_table(invocation.screen, info, house.declared[info.name])


def circuit_document(circuit: Circuit, now: datetime) -> dict[str, object]:
    """A table that keeps failing, as JSON."""
    return {
        "table": circuit.table,
        "state": circuit.state(now),
        "failures": circuit.failures,
        "since": circuit.since,
        "last": circuit.last,
        "retry_at": circuit.retry_at,
        "run_id": circuit.run_id,
        "error": circuit.error,
    }


def table_document(info: TableInfo) -> dict[str, object]:
    """A table as JSON, without its columns."""
    return {
        "table": info.name,
        "doc": info.doc,
        "exists": info.exists,
        "rows": info.rows if info.readable else None,
        "files": info.files,
        "size_bytes": info.size_bytes,
        "created": info.created,
        "updated": info.updated,
        "snapshot_id": info.snapshot_id,
        "snapshots": info.snapshots,
        "source": info.source,
        "bookmark": {
            "source_snapshot_id": info.bookmark_source,
            "rows_behind": info.rows_behind,
            "day": info.bookmark_day,
            "definition": info.definition or None,
            "changed": info.changed,
        },
        "trouble": info.trouble or None,
        "held": {"since": info.held.since, "before_run": info.held.run} if info.held else None,
        "location": info.location,
        "metadata_location": info.metadata_location,
    }


@command
def runs(
    invocation: Invocation,
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="One run: its id, the beginning of it, or `last`.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, help="How many runs to list.")] = 20,
    log: Annotated[bool, typer.Option("--log", help="The lines that one run wrote to the log.")] = False,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", "-f", help="With --log: go on until the run is done; `last` is then the newest that began."
        ),
    ] = False,
) -> None:
    """What ran, newest first; or one run, by table; or its log.

    Runs that changed nothing are not written down.
    """
    from carlake.cli.lake_screens import show_one_run, show_runs
    from carlake.look.runs import run_status
    from carlake.refresh.report import DONE

    if log or follow:
        from carlake.cli.log_lines import show_log

        if run is None or not log:
            raise typer.BadParameter("--log and --follow are for one run: carlake runs RUN --log [--follow]")
        show_log(invocation, run, follow=follow)
        return
    with invocation.open() as house:
        if run is None:
            rows = house.runs(limit=limit).to_pylist()
            if invocation.json:
                invocation.document(rows)
            show_runs(invocation, rows)
            return
        rows = house.runs(run).to_pylist()
        run_id = str(rows[0]["run_id"])
        done = sum(1 for row in rows if row["status"] in DONE)
        if invocation.json:
            status = run_status(rows)
            invocation.document(
                {"run_id": run_id, "status": status, "succeeded": done, "total": len(rows), "tables": rows}
            )
        show_one_run(invocation.screen, run_id, rows)


def moment(text: str) -> datetime:
    """A day or a time; UTC where it names no zone."""
    try:
        value = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a time; write it as 2026-11-21 or 2026-11-21T04:00:12Z") from None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


@command
def query(
    invocation: Invocation,
    sql: Annotated[
        str | None,
        typer.Argument(metavar="SQL", help="One SELECT; - reads it from standard input.", show_default=False),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Read the SQL from a file.", show_default=False)
    ] = None,
    format: Annotated[  # noqa: A002  the word of the command line
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help=f"{', '.join(FORMATS)}. [by the name of --output, else table]",
            show_default=False,
            autocompletion=complete_formats,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to a file.", show_default=False)
    ] = None,
    as_of: Annotated[
        datetime | None,
        typer.Option(
            "--as-of", parser=moment, metavar="TIME", help="Read the tables as they were then.", show_default=False
        ),
    ] = None,
    snapshot: Annotated[
        int | None,
        typer.Option("--snapshot", metavar="ID", help="Read the table of this snapshot at it.", show_default=False),
    ] = None,
    as_of_run: Annotated[
        str | None,
        typer.Option(
            "--as-of-run",
            metavar="RUN",
            help="Read the tables as they were together at the end of a run: its id, the beginning of it, or `last`.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            help="Stop after so long. [setting query_timeout_seconds]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Ask the tables in SQL, now or in the past.

    A query can only read, reaches neither other files nor the network, and has a time limit. Tables have their bare names. A time of --as-of without a zone is UTC, a day is its beginning.

      carlake query "SELECT * FROM gold_car_current_state"
      carlake query --as-of 2026-11-21T04:00 "SELECT count(*) FROM silver_car_telemetry"
      carlake query --format csv --file report.sql > report.csv
    """
    text = _sql(sql, file)
    if sum(given is not None for given in (as_of, snapshot, as_of_run)) > 1:
        raise typer.BadParameter("--as-of, --as-of-run and --snapshot are ways to name the past; give one.")
    if timeout is not None and not timeout > 0:
        raise typer.BadParameter(f"--timeout {timeout:g} is no time; give seconds, as 30 or 0.5.")
    wanted = format_of_rows(invocation, format, output)
    if output is not None and wanted != "parquet" and output.is_dir():
        raise typer.BadParameter(f"--output {output} is a folder; name a file in it.")
    with invocation.open() as house:
        notes: list[str] = []
        with invocation.working("Querying"):
            rows = house.query(
                text, as_of=as_of, snapshot=snapshot, as_of_run=as_of_run, timeout_seconds=timeout, note=notes.append
            )
        from carlake.cli.screen import count
        from carlake.look import formats

        sys.stderr.writelines(f"{note}\n" for note in notes)
        if output is not None:
            with output.open("wb") as stream:
                formats.write(rows, wanted, stream)
            sys.stderr.write(f"{count(rows.num_rows, 'row')} in {output}\n")
            return
        sys.stdout.flush()
        formats.write(rows, wanted, sys.stdout.buffer, styled=colored(sys.stdout))
        sys.stdout.buffer.flush()


def _sql(sql: str | None, file: Path | None) -> str:
    if (sql is None) == (file is None):
        raise typer.BadParameter("Give one SELECT: as an argument, as - (standard input), or with --file.")
    text = file.read_text(encoding="utf-8-sig") if file else sys.stdin.read() if sql == "-" else str(sql)
    if not text.strip():
        raise typer.BadParameter("The SQL is empty.")
    return text


def format_of_rows(invocation: Invocation, given: str | None, output: Path | None) -> str:
    """The format of rows: as asked, as the file's name says, or as suits who reads."""
    if given is not None and given not in FORMATS:
        from difflib import get_close_matches

        near = get_close_matches(given.lower(), FORMATS, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise typer.BadParameter(f"There is no format {given!r}.{hint} Formats: {', '.join(FORMATS)}.")
    if invocation.json and given not in (None, "json"):
        raise typer.BadParameter(f"--json prints an array of objects; it does not go with --format {given}.")
    if invocation.json:
        return "json"
    if given is None and output is not None and output.suffix[1:].lower() in FORMATS:
        return output.suffix[1:].lower()
    if given is None and output is not None and output.suffix and not output.is_dir():
        endings = ", ".join(f".{name}" for name in FORMATS if name != "table")
        raise typer.BadParameter(
            f"--output {output}: the ending {output.suffix} names no format; end it in {endings}, "
            f"or add --format ({', '.join(FORMATS)})."
        )
    chosen = given or "table"
    if chosen == "parquet" and output is None and sys.stdout.isatty():
        raise typer.BadParameter("Parquet is not for a terminal; add --output FILE, or send it to a file.")
    return chosen


@command
def trace(
    invocation: Invocation,
    key: Annotated[
        str, typer.Argument(metavar="EVENT|CAR|FILE", help="An event's id, a car's chassis number, or a landed file.")
    ],
) -> None:
    """Follow an event or a car from gold back to its files.

    Give an event id, a car, or a landed file.

      carlake trace evt-0004
      carlake trace NKM5DUPVJPXXXBVKT
    """
    from carlake.cli.trace_screen import show_trace

    with invocation.open() as house:
        with invocation.working("Tracing"):
            found = house.trace(key)
    if invocation.json:
        invocation.document(found.to_dict())
    show_trace(invocation, found)


@command
def verify(
    invocation: Invocation,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep", help="Compare every file, of older snapshots and of the archive too, with its checksum."
        ),
    ] = False,
) -> None:
    """Prove that every table is what its source gives.

    Nothing is changed. Every landed record is accounted for (records = accepted + quarantined + duplicates, and those
    of forgotten cars), silver has the newest versions, and gold is computed anew and compared. Exit code 1 if anything differs.
    """
    from carlake.cli.lake_screens import show_verification

    with invocation.open() as house:
        with invocation.working("Checking every table"):
            found = house.verify(deep=deep)
    if invocation.json:
        invocation.document(
            {
                "ok": found.ok,
                "files": found.files,
                "records": found.records,
                "accepted": found.accepted,
                "quarantined": found.quarantined,
                "duplicates": found.duplicates,
                "forgotten": found.forgotten,
                "pending": found.pending,
                "behind": found.behind,
                "problems": found.problems,
            }
        )
    show_verification(invocation, found)
    if not found.ok:
        with suppress(BrokenPipeError):
            sys.stdout.flush()
        raise typer.Exit(1)
