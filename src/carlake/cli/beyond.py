"""Beyond: connect."""

from __future__ import annotations

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
            metavar="TOOL", help="pyiceberg, duckdb, polars, spark or trino.", autocompletion=complete_tools
        ),
    ],
) -> None:
    """What to paste to read the tables from another tool.

    Every text has this lake's own paths, so that it runs as it is.

      carlake connect duckdb
    """
    with invocation.open() as house:
        text = house.connect(tool)
    if invocation.json:
        invocation.document({"tool": tool, "text": text})
    else:
        typer.echo(text.rstrip("\n"))
