"""CSV with a header (RFC 4180; `,`, `;` or tab): each row becomes a JSON object of texts, marked as coming from CSV."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from carlake.landing import dotted
from carlake.landing.found import Found, cut_note, whole_characters
from carlake.landing.window import Window

MARK = '{"$format":"csv"'
"""How each record that was a CSV row begins. Contracts turn text into numbers only in records with this mark."""

_DELIMITERS = (",", ";", "\t")
_NAME = re.compile(r"[^\W\d][\w .\-/()%°#]*")
_ESCAPED = re.compile(r'["\\\x00-\x1f]')
_SAMPLE_ROWS = 10
_BATCH_ROWS = 4096


def _cell(delimiter: str) -> re.Pattern[str]:
    other = re.escape(delimiter)
    return re.compile(rf'(?:"((?:[^"]|"")*+)"|((?!")[^{other}]*+))({other}|\Z)')


_CELL = {delimiter: _cell(delimiter) for delimiter in _DELIMITERS}


def cells(row: str, delimiter: str) -> list[str | None] | None:
    """The cells of one row without its line end: None for an empty cell, '' for `""`; no list where quotes do not close."""
    if '"' not in row:
        return [cell or None for cell in row.split(delimiter)]
    if '""' not in row:
        try:
            (plain_cells,) = csv.reader([row], delimiter=delimiter, strict=True)
            return [cell or None for cell in plain_cells]
        except (csv.Error, ValueError):
            pass  # the reader below takes cells of any length, and tells `""` from nothing
    found: list[str | None] = []
    cell, at = _CELL[delimiter], 0
    while True:
        match = cell.match(row, at)
        if match is None:
            return None
        quoted, plain, separator = match.groups()
        found.append(quoted.replace('""', '"') if quoted is not None else plain or None)
        at = match.end()
        if not separator:
            return found


@dataclass(frozen=True)
class Header:
    """The first line of a CSV file: its names, and the delimiter that makes most of them."""

    line: bytes
    delimiter: str
    names: tuple[str, ...] = field(repr=False)

    @classmethod
    def of(cls, line: bytes) -> Header | None:
        """The header that `line` is, or None: two or more distinct names that begin with a letter."""
        try:
            text = line.decode()
        except UnicodeDecodeError:
            return None
        best: Header | None = None
        for delimiter in _DELIMITERS:
            names = tuple((name or "").strip() for name in cells(text, delimiter) or ())
            plausible = len(set(names)) == len(names) > 1 and all(_NAME.fullmatch(name) for name in names)
            if plausible and (best is None or len(names) > len(best.names)):
                best = cls(line, delimiter, names)
        return best

    @classmethod
    def of_file(cls, head: bytes) -> Header | None:
        """The header of the file that begins with `head`, or None where the file does not look like CSV.

        One of the first rows must have as many cells as the header; a file of one line must have names without spaces.
        """
        lines = [line.removesuffix(b"\r") for line in head.split(b"\n")]
        header = cls.of(lines[0])
        if header is None:
            return None
        rows = [line for line in lines[1:] if line.strip()][:_SAMPLE_ROWS]
        if not rows:
            return header if all(re.fullmatch(r"[\w.\-]+", name) for name in header.names) else None
        if rows[0].lstrip()[:1] in (b"{", b"["):
            return None
        # A row may take several lines where line breaks are quoted.
        fits = any(not header.misfit(rows[first]) for first in range(len(rows)))
        fits = fits or any(not header.misfit(b"\n".join(rows[:count])) for count in range(2, len(rows) + 1))
        return header if fits else None

    def misfit(self, row: bytes) -> str:
        """Why `row` is not a row below this header, else ''."""
        found = cells(row.decode(errors="replace"), self.delimiter)
        if found is None:
            return "a quoted cell is not closed, or text follows its closing quote"
        if len(found) != len(self.names):
            return f"{len(found)} cells where the header has {len(self.names)}"
        return ""

    def to_json(self, row: bytes) -> bytes | None:
        """The JSON object of a row, or None where the row does not fit; raises UnicodeDecodeError."""
        text = row.decode()
        found = None if "\0" in text else cells(text, self.delimiter)
        if found is None or len(found) != len(self.names):
            return None
        if _ESCAPED.search("".join(filter(None, found))):
            values = ["null" if cell is None else json.dumps(cell, ensure_ascii=False) for cell in found]
        else:
            values = ["null" if cell is None else f'"{cell}"' for cell in found]
        return (self._template % tuple(values[column] for column in self._order)).encode()

    @cached_property
    def _tree(self) -> dict[str, object]:
        return dotted.tree(self.names)

    @cached_property
    def _order(self) -> list[int]:
        order: list[int] = []

        def walk(tree: dict[str, object]) -> None:
            for value in tree.values():
                if isinstance(value, dict):
                    walk(value)
                else:
                    order.append(int(str(value)))

        walk(self._tree)
        return order

    @cached_property
    def _template(self) -> str:
        def text(tree: dict[str, object]) -> str:
            return ",".join(
                json.dumps(name, ensure_ascii=False).replace("%", "%%")
                + ":"
                + ("{" + text(value) + "}" if isinstance(value, dict) else "%s")
                for name, value in tree.items()
            )

        return MARK + "," + text(self._tree) + "}"


def csv_rows(window: Window, header: Header, *, hard_cap: int, flaw: str) -> Iterator[Found]:
    """The rows below the header, which has been read already.

    A row that does not fit is kept with the header above it, so that it stands alone: it can be judged, repaired and
    landed again. `flaw` says that the source is truncated, so that a last row without a line end is not whole.
    """
    while True:
        last = window.buffer.rfind(b"\n", window.position, window.end)
        if last < 0 and not window.ended and window.end - window.position <= hard_cap:
            window.fill()
            continue
        if last < 0 and not window.ended:
            yield _oversize(window, header, hard_cap)
            continue
        text = window.take(window.position, window.end if window.ended else last)
        lines = text.split(b"\n")
        partial = window.ended and bool(flaw) and len(lines) - 1
        good: list[bytes] = []
        row = used = 0
        while row < len(lines):
            line = lines[row].removesuffix(b"\r")
            record, rows = None, 1
            if line.strip(b" \t\r"):
                try:
                    record = None if partial is not False and row == partial else header.to_json(line)
                    if record is None and b'"' in line:
                        rows = _quoted_rows(lines, row, header)
                        if rows == 0 and not window.ended and len(text) - used <= hard_cap:
                            break
                        joined = b"\n".join(lines[row : row + rows]).removesuffix(b"\r")
                        record = header.to_json(joined) if rows > 1 else None
                        rows = rows if record else 1
                except UnicodeDecodeError:
                    record, rows = None, 1
                if record is not None:
                    good.append(record)
                if good and (record is None or len(good) >= _BATCH_ROWS):
                    yield Found(good, sound=True)
                    good = []
                if record is None:
                    yield Found([header.line + b"\n" + line])
            used += sum(map(len, lines[row : row + rows])) + rows
            row += rows
        if good:
            yield Found(good, sound=True)
        if window.ended and row >= len(lines):
            window.position = window.end
            return
        window.position = min(window.position + used, window.end)
        window.fill()


def _quoted_rows(lines: list[bytes], start: int, header: Header) -> int:
    """How many lines the row at `start` takes, judged by its quotes; 0 where they do not close in `lines`."""
    if lines[start].count(b'"') % 2 == 0:
        return 1
    for row in range(start + 1, len(lines)):
        if lines[row].count(b'"') % 2:
            return row - start + 1
    return 0


def _oversize(window: Window, header: Header, hard_cap: int) -> Found:
    prefix = whole_characters(window.take(window.position, window.position + hard_cap))
    start = window.offset + window.position
    window.position += len(prefix)
    while (end := window.find(b"\n", window.position)) < 0:
        window.position = window.end
        if not window.fill():
            end = window.end
            break
    window.position = end
    cut = window.offset + end - start - len(prefix)
    return Found([header.line + b"\n" + prefix], note=cut_note(len(prefix), cut), cut=cut)
