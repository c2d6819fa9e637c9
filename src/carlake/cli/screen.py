"""How results look to a person: aligned columns, numbers with separators, times in UTC, no noise."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from carlake.cli.terminal import colored
from carlake.words import count as count
from carlake.words import number as number

NOTHING = "-"
_PIPE_WIDTH = 160  # of what is no terminal: wide enough that tables are whole
_GAP = 2  # between columns
_LEAST = 10  # what is left of a text that may be cut or wrapped

STRONG, QUIET, GOOD, BAD, WARN, COMMAND = "bold", "dim", "green", "bold red", "yellow", "cyan"


@dataclass(frozen=True)
class Column:
    """One column of a table on the screen.

    wrap   its text may take several lines; the text of other columns is cut where the screen is too narrow
    whole  it is never cut, for it tells things apart; neither are figures (`right`) and times
    less   how well one can do without it: where the screen is too narrow, the column with the highest goes first, as a
           whole; 0 never goes
    """

    title: str
    right: bool = False
    wrap: bool = False
    style: str = ""
    whole: bool = False
    less: int = 0


class Screen:
    """Standard output for people; `quiet` prints nothing, for there is a JSON document instead."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._stream = stream = sys.stdout
        width = None if stream.isatty() else _given_width()
        self._console = Console(
            file=stream,
            width=width,
            highlight=False,
            markup=False,
            emoji=False,
            # Without colours there is neither bold nor dim: plain text.
            color_system="auto" if colored(stream) else None,
        )

    @property
    def width(self) -> int:
        return self._console.width

    def line(self, *parts: str | Text | tuple[str, str]) -> None:
        """One line of texts, or of (text, style); an empty line without any. A long line goes on as it is."""
        self._print(Text.assemble(*(_part(part) for part in parts)), soft_wrap=True)

    def prose(self, *parts: str | Text | tuple[str, str], indent: int = 0) -> None:
        """A paragraph, wrapped to the screen and indented."""
        self._padded(Text.assemble(*(_part(part) for part in parts)), indent)

    def heading(self, text: str, more: str = "") -> None:
        """The name of what follows."""
        self.line((text, STRONG), (f"  {more}" if more else "", QUIET))

    def facts(self, rows: Iterable[tuple[str, str | Text | tuple[str, str]]], indent: int = 2) -> None:
        """Labels and what they say, aligned."""
        rows = list(rows)
        left = max((cell_len(label) for label, _ in rows), default=0)
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True, min_width=left, style=QUIET)
        grid.add_column(overflow="fold")
        for label, value in rows:
            grid.add_row(label, Text.assemble(_part(value)))
        self._padded(grid, indent)

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[Any]], indent: int = 2) -> None:
        """Rows under the columns' titles; values are shown as `shown` shows them.

        Where the screen is too narrow, times lose year and seconds, then columns go that one can do without (a line says
        which), and then each row is a block of lines. Figures and times are never cut.
        """
        rows, columns = [tuple(row) for row in rows], list(columns)
        left_out: list[str] = []
        short = not self._fits(columns, rows, indent)
        if short:
            rows = [tuple(short_time(cell) if isinstance(cell, datetime) else cell for cell in row) for row in rows]
        while not self._fits(columns, rows, indent) and (least := max(column.less for column in columns)):
            place = next(place for place, column in enumerate(columns) if column.less == least)
            left_out.append(columns.pop(place).title)
            rows = [(*row[:place], *row[place + 1 :]) for row in rows]
        if not self._fits(columns, rows, indent):
            for row in rows:
                self.line(" " * indent, _cell(row[0]))
                self.facts(
                    [(c.title, _cell(value)) for c, value in zip(columns[1:], row[1:], strict=False)], indent + 2
                )
        else:
            self._padded(_grid(columns, rows), indent)
        if left_out:
            self.prose(
                (f"Too narrow for: {', '.join(left_out)}. A wider screen and --json have them.", QUIET), indent=indent
            )

    def _fits(self, columns: Sequence[Column], rows: Sequence[Sequence[Any]], indent: int) -> bool:
        needed = indent + _GAP * (len(columns) - 1)
        for column, width, kept in _widths(columns, rows):
            needed += max(width if kept else min(width, _LEAST), cell_len(column.title))
        return needed <= self.width

    def next(self, commands: Iterable[tuple[str, str]], title: str = "Next") -> None:
        """Commands to paste, each with what it is for."""
        commands = list(commands)
        widest = max((cell_len(meaning) for _, meaning in commands), default=0)
        room = self.width - widest - 4
        left = max((cell_len(command) for command, _ in commands if cell_len(command) <= room), default=0)
        self.line()
        self.heading(title)
        for command, meaning in commands:
            if cell_len(command) > left:
                self.line("  ", (command, COMMAND))
                command = ""
            self.line("  ", (f"{command:{left}}", COMMAND), (f"  {meaning}", QUIET))

    def _padded(self, what: RenderableType, indent: int) -> None:
        self._print(Padding(what, (0, 0, 0, indent)))

    def _print(self, what: RenderableType, **how: Any) -> None:
        if self._quiet:
            return
        with self._console.capture() as captured:
            self._console.print(what, **how)
        # Rich fills every line up; what is copied or sent to a file shall have no spaces at its ends.
        self._stream.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> Iterator[tuple[Column, int, bool]]:
    """Each column with the width of its widest value, and whether it must have that."""
    for place, column in enumerate(columns):
        values = [row[place] for row in rows if place < len(row)]
        kept = column.right or column.whole or any(isinstance(value, datetime) for value in values)
        yield column, max((_cell(value).cell_len for value in values), default=0), kept and not column.wrap


def _grid(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> Table:
    grid = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style=QUIET, show_edge=False)
    for column, width, kept in _widths(columns, rows):
        grid.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.wrap,
            overflow="fold" if column.wrap else "ellipsis",
            style=column.style,
            min_width=max(width, cell_len(column.title)) if kept else None,
        )
    for row in rows:
        grid.add_row(*map(_cell, row))
    return grid


def _cell(value: Any) -> Text:
    return value if isinstance(value, Text) else Text.assemble(_part(shown(value)))


def shown(value: Any) -> str | tuple[str, str]:
    """A value as people read it; "-" for none."""
    if value is None or value == "":
        return NOTHING, QUIET
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return number(value)
    if isinstance(value, (float, Decimal)):
        return f"{value:,.2f}"
    if isinstance(value, datetime):
        return time(value)
    if isinstance(value, date):
        return value.isoformat()
    return str(value)


def time(value: datetime) -> str:
    """`2026-11-21 04:00:12Z`."""
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return f"{aware.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def short_time(value: datetime) -> str:
    """`11-21 04:00Z`, for where there is no room."""
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return f"{aware.astimezone(UTC):%m-%d %H:%M}Z"


def seconds(value: float) -> str:
    """`0.42 s`, `75 s`."""
    return f"{value:.2f} s" if value < 10 else f"{value:,.1f} s" if value < 60 else f"{value:,.0f} s"


def size(value: int) -> str:
    """`512 bytes`, `1.2 MB`."""
    if value < 1000:
        return count(value, "byte")
    amount = float(value)
    for unit in ("kB", "MB", "GB", "TB"):
        amount /= 1000
        if amount < 999.5 or unit == "TB":
            return f"{amount:,.1f} {unit}" if amount < 99.5 else f"{amount:,.0f} {unit}"
    raise AssertionError


def short_id(value: int | None) -> str | None:
    """The end of a snapshot's id, enough to tell it from its neighbours."""
    return None if value is None else f"…{str(value)[-7:]}" if len(str(value)) > 8 else str(value)


def one_line(text: str) -> str:
    """Landed text in one line, with control characters as escapes, so that it cannot fake a message."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _part(part: str | Text | tuple[str, str]) -> Text | tuple[str, str] | str:
    """A part of a line, whose line breaks stay and whose other control characters become escapes."""
    if isinstance(part, Text):
        return part
    text, style = (part, "") if isinstance(part, str) else part
    clean = "\n".join(one_line(line) for line in text.split("\n"))
    return clean, style


def _given_width() -> int:
    try:
        return max(int(os.environ["COLUMNS"]), 40)
    except (KeyError, ValueError):
        return _PIPE_WIDTH
