"""Beyond: connect."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from carlake.cli.help import Command
from carlake.cli.invocation import Invocation, command
from carlake.cli.names import complete_tools


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("connect", cls=Command, rich_help_panel="Beyond")(connect)


@command
def connect(
    invocation: Invocation,
    tool: Annotated[
        str,
        typer.Argument(
            metavar="TOOL",
            help="pyiceberg, pandas, polars, duckdb, spark, trino or athena.",
            autocompletion=complete_tools,
        ),
    ],
    as_of_run: Annotated[
        str | None,
        typer.Option("--as-of-run", metavar="RUN", help="The release that the text reads, too. [the newest]"),
    ] = None,
) -> None:
    """What to paste to read the tables from another tool.

    Every text has this lake's own places, now and at its newest release, so
    that it runs as it is; passwords stay in the environment.

      carlake connect duckdb
    """
    with invocation.open() as house:
        connection = house.connect(tool, as_of_run=as_of_run)
    if invocation.json:
        invocation.document(asdict(connection))
    else:
        typer.echo(connection.text.rstrip("\n"))
