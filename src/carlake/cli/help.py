"""Help pages: plain text, the same at every width, and made without importing what commands need."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from textwrap import wrap
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from carlake.cli.exits import WRONG_USAGE
from carlake.cli.invocation import SHARED
from carlake.cli.terminal import colored

GROUPS = ("Start", "Flow", "Look", "Records", "Mend", "Beyond")
"""The groups of commands, in the order in which a person meets them."""

_MOST = 100  # longer lines are hard to read
_ROWS = list[tuple[str, str]]
_NOTES = re.compile(r"  \[([^][]*)\]$")


class Page:
    """Lines of a help page, wrapped to the terminal."""

    def __init__(self) -> None:
        self._width = min(_columns(), _MOST)
        self._color = colored(sys.stdout)
        self._lines: list[str] = []

    def usage(self, text: str) -> None:
        self._lines.append(f"Usage: {self.strong(text)}")

    def text(self, text: str) -> None:
        """A paragraph after an empty line; a block that is indented stays as it is."""
        for paragraph in text.split("\n\n"):
            self._lines.append("")
            if paragraph.startswith("  "):
                self._lines += paragraph.splitlines()
            else:
                self._lines += wrap(" ".join(paragraph.split()), self._width)

    def line(self, text: str) -> None:
        self._lines.append(text)

    def rows(self, heading: str, rows: _ROWS) -> None:
        """Names and what they mean, under a heading."""
        if rows:
            self._lines += ["", heading]
            self.columns(rows)

    def columns(self, rows: _ROWS, before: str = "  ", most: int = 26) -> None:
        left = min(max(len(name) for name, _ in rows), most)
        room = max(self._width - len(before) - left - 2, 20)
        for name, meaning in rows:
            lines = wrap(meaning, room) or [""]
            if len(name) > left:
                self._lines.append(f"{before}{self.strong(name)}")
                self._lines += [f"{before}{'':{left}}  {line}" for line in lines]
            else:
                padding = " " * (left - len(name))
                self._lines.append(f"{before}{self.strong(name)}{padding}  {lines[0]}".rstrip())
                self._lines += [f"{before}{'':{left}}  {line}" for line in lines[1:]]

    def commands(self, groups: list[tuple[str, _ROWS]]) -> None:
        """Commands by group, the group's name at the left of its first."""
        left = max(len(name) for _, rows in groups for name, _ in rows)
        side = max(len(group) for group, _ in groups)
        self._lines.append("")
        for group, rows in groups:
            for index, (name, meaning) in enumerate(rows):
                label = self.quiet(f"{group if index == 0 else '':{side}}")
                line = f"{meaning}"[: self._width - side - left - 6]
                self._lines.append(f"  {label}  {self.strong(name)}{' ' * (left - len(name))}  {line}")

    def strong(self, text: str) -> str:
        return typer.style(text, bold=True) if self._color else text

    def quiet(self, text: str) -> str:
        return typer.style(text, dim=True) if self._color else text

    def __str__(self) -> str:
        return "\n".join(self._lines)


class Command(TyperCommand):
    """A command whose help is a `Page`."""

    def get_help(self, ctx: Any) -> str:
        return _page(self, ctx, [])


class Group(TyperGroup):
    """Commands under one name, with a `Page` as help."""

    def get_help(self, ctx: Any) -> str:
        return _page(self, ctx, [(name, _first(self.commands[name])) for name in self.list_commands(ctx)])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """A group that needs a command and has none shows its help as what it is: Typer would make an error's text of it."""
        if not args and self.no_args_is_help:
            typer.echo(self.get_help(ctx), err=True)  # without colours where no terminal reads it
            ctx.exit(WRONG_USAGE)
        return list(super().parse_args(ctx, args))


class Carlake(TyperGroup):
    """All commands, on one screen."""

    def get_help(self, ctx: Any) -> str:
        page = Page()
        page.usage(f"{ctx.command_path} COMMAND [ARGUMENTS] [OPTIONS]")
        page.line(self.help or "")
        shown = [command for command in self.commands.values() if not command.hidden]
        groups = [
            (group, [(str(c.name), _first(c)) for c in shown if c.rich_help_panel == group])  # type: ignore[attr-defined]
            for group in GROUPS
        ]
        page.commands([(group, rows) for group, rows in groups if rows])
        records = dict(_records(self, ctx))
        page.rows(
            "Every command takes",
            [
                *((names, meaning) for names, meaning in records.items() if "--lake" in names or "--settings" in names),
                *((names, meaning) for names, meaning in records.items() if "--json" in names or "--debug" in names),
            ],
        )
        page.line(f"{ctx.command_path} COMMAND --help says more. Also --version and --install-completion.")
        return str(page)

    def list_commands(self, ctx: Any) -> list[str]:
        def place(name: str) -> int:
            group = getattr(self.commands[name], "rich_help_panel", None)
            return GROUPS.index(group) if group in GROUPS else len(GROUPS)

        return sorted(self.commands, key=place)


def _page(command: Any, ctx: Any, commands: _ROWS) -> str:
    page = Page()
    page.usage(" ".join([ctx.command_path, *command.collect_usage_pieces(ctx)]))
    page.text(command.help or "")
    page.rows("Commands", commands)
    options = list(_records(command, ctx))
    shared = {f"--{name}" for name in SHARED} | {"--help"}
    arguments = [param for param in command.get_params(ctx) if param.param_type_name == "argument"]
    page.rows("Arguments", [(str(param.metavar or param.name), param.help or "") for param in arguments])
    page.rows("Options", [row for row in options if row[0].split()[0].rstrip(",") not in shared])
    page.rows("Every command takes", [row for row in options if row[0].split()[0].rstrip(",") in shared])
    return str(page)


def _records(command: Any, ctx: Any) -> Iterator[tuple[str, str]]:
    for param in command.get_params(ctx):
        if param.param_type_name == "option" and (record := param.get_help_record(ctx)):
            yield record[0], _NOTES.sub(_default, record[1])


def _default(notes: re.Match[str]) -> str:
    """What an option is where it is not given; the bounds that Typer adds are said when they are broken."""
    found = [note for note in notes[1].split("; ") if note.startswith("default: ")]
    return f" [{found[0].removeprefix('default: ')}]" if found else ""


def _first(command: Any) -> str:
    """The first sentence of a command's help, without its full stop."""
    return str(command.short_help or (command.help or "").split("\n\n")[0].replace("\n", " ")).rstrip(".")


def _columns() -> int:
    from shutil import get_terminal_size

    return max(get_terminal_size().columns, 40)
