"""Beyond: connect."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from carlake.cli.help import Command
from carlake.cli.invocation import Invocation, command
from carlake.cli.names import TOOLS, complete_tools

_TOOLS = f"{', '.join(TOOLS[:-1])} or {TOOLS[-1]}"


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("connect", cls=Command, rich_help_panel="Beyond")(connect)


@command
def connect(
    invocation: Invocation,
    tool: Annotated[
        str | None,
        typer.Argument(
            metavar="TOOL",
            help=f"{_TOOLS}.",
            show_default=False,
            autocompletion=complete_tools,
        ),
    ] = None,
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
    if tool is None:
        raise typer.BadParameter(f"Name the tool that shall read the tables: {_TOOLS}.")
    with invocation.open() as house:
        connection = house.connect(tool, as_of_run=as_of_run)
    if invocation.json:
        invocation.document(asdict(connection))
    else:
        typer.echo(connection.text.rstrip("\n"))
