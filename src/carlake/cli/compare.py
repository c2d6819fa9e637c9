"""Look: compare."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carlake.cli.exits import FAILED, NO_ANSWER, failing_with
from carlake.cli.help import Command
from carlake.cli.invocation import Invocation, command
from carlake.cli.look import format_of_rows
from carlake.cli.names import complete_formats, complete_tables

if TYPE_CHECKING:
    from carlake.look.compare.comparison import Comparison


SHOWN = 10
"""Differences of each kind that a person sees unless more are asked for."""


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("compare", cls=Command, rich_help_panel="Look")(compare)


def _names(given: list[str] | None) -> list[str]:
    """The names of an option that may be repeated and may list several: `a,b`."""
    return [name.strip() for text in given or [] for name in text.split(",") if name.strip()]


def _mapping(given: list[str] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in _names(given):
        there, equals, here = (part.strip() for part in text.partition("="))
        if not (there and equals and here):
            raise typer.BadParameter(f"--mapping {text}: write it as THERE=HERE, as currentMileage=current_mileage_km.")
        if there in found or here in found.values():
            raise typer.BadParameter(f"--mapping {text}: a column is mapped twice.")
        found[there] = here
    return found


@command
def compare(
    invocation: Invocation,
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE",
            help="A table; TABLE@RUN is as it was at the end of a run.",
            autocompletion=complete_tables,
        ),
    ],
    other: Annotated[
        str,
        typer.Argument(
            metavar="PATH_OR_TABLE",
            help="Parquet, JSON or CSV: a file, folder, glob or object-store URI. Or a table, TABLE@RUN, or "
            "NAMESPACE.TABLE of the catalog.",
        ),
    ],
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key", metavar="A,B", help="The columns that tell rows apart. [the table's own]", show_default=False
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--columns", metavar="A,B", help="Compare these alone. [all that both have]", show_default=False),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", metavar="A,B", help="Leave these out.", show_default=False)
    ] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--mapping", metavar="THERE=HERE", help="A column that has another name there.", show_default=False
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", metavar="X", min=0, help="Numbers may differ by so much.")
    ] = 0.0,
    zone: Annotated[str, typer.Option("--zone", metavar="ZONE", help="The zone of times that have none.")] = "UTC",
    as_of_run: Annotated[
        str | None,
        typer.Option(
            "--as-of-run", metavar="RUN", help="Read the lake's tables as at the end of this run.", show_default=False
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            "-n",
            metavar="N",
            min=0,
            help="Differences to name, of each kind; all are counted. [10; all with --format or --output]",
            show_default=False,
        ),
    ] = None,
    format: Annotated[  # noqa: A002  the word of the command line
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="The differences alone, as csv, ndjson or another format of carlake query.",
            show_default=False,
            autocompletion=complete_formats,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the differences to a file.", show_default=False),
    ] = None,
) -> None:
    """Compare a table with files or another table, row by row.

    Rows are matched by the key. A key that a side has more than once is named and counted, and its rows are compared
    with none. Columns are matched by name, in any spelling, by the names that landed records have, and by --mapping; what is done
    to compare values of two types is said. Exit code 0 if all rows are equal, 1 if not, 3 if they could not be compared.

      carlake compare current_state s3://old-bucket/gold/car_current_state/
      carlake compare silver 'old/silver/*.parquet' --mapping carVin=car_chassis --tolerance 0.001
      carlake compare alerts alerts@last
    """
    written = format is not None or output is not None
    with failing_with(NO_ANSWER):
        wanted = format_of_rows(invocation, format, output) if written else ""
        with invocation.open() as house:
            with invocation.working("Comparing"):
                found = house.compare(
                    table,
                    other,
                    key=_names(key),
                    columns=_names(columns),
                    ignore=_names(ignore),
                    mapping=_mapping(mapping),
                    tolerance=tolerance,
                    zone=zone,
                    as_of_run=as_of_run,
                    limit=limit if limit is not None or written else SHOWN,
                )
        if written:
            _write(found, wanted, output)
        elif invocation.json:
            invocation.document(document(found))
        if not written or output is not None:
            from carlake.cli.compare_screen import show_comparison

            if limit is None:
                show_comparison(invocation.screen, found, SHOWN, file=str(output or ""))
            else:
                show_comparison(invocation.screen, found, limit)
    if not found.equal:
        with suppress(BrokenPipeError):
            sys.stdout.flush()
        raise typer.Exit(FAILED)


def _write(found: Comparison, wanted: str, output: Path | None) -> None:
    from carlake.cli.terminal import colored
    from carlake.look import formats

    if output is not None:
        with output.open("wb") as stream:
            formats.write(found.rows.differences, wanted, stream)
        return
    sys.stdout.flush()
    formats.write(found.rows.differences, wanted, sys.stdout.buffer, styled=colored(sys.stdout))
    sys.stdout.buffer.flush()


def document(found: Comparison) -> dict[str, Any]:
    """A comparison as JSON."""
    rows = found.rows
    return {
        "equal": found.equal,
        "here": {"name": found.here, "rows": rows.here, "repeated": rows.repeated_here, "only": rows.only_here},
        "there": {"name": found.there, "rows": rows.there, "repeated": rows.repeated_there, "only": rows.only_there},
        "rows_equal": rows.equal,
        "rows_differing": rows.differing,
        "repeated_with_an_equal_row": rows.one_equal,
        "key": rows.keys,
        "columns": rows.columns,
        "columns_only_here": found.only_here,
        "columns_only_there": found.only_there,
        "columns_ignored": found.ignored,
        "differences": rows.differences,
    }
