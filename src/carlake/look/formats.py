"""Arrow rows as text or Parquet: what the commands print."""

from __future__ import annotations

import io
import os
import shutil
import unicodedata
from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, BinaryIO, Literal, get_args

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from carlake.errors import NotFoundError
from carlake.look.names import did_you_mean

Format = Literal["table", "csv", "json", "ndjson", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)

_ROWS_AT_ONCE = 10_000
_NULL = "NULL"
_EXPLAIN = ["explain_key", "explain_value"]
_JSON = msgspec.json.Encoder(decimal_format="number")
_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"


def write(rows: pa.Table, format: str, stream: BinaryIO, *, width: int | None = None, styled: bool = False) -> None:  # noqa: A002
    """Write rows to a stream of bytes; text is UTF-8.

    format  table    for people: aligned; a table wider than `width` is turned sideways, a block of lines per row
            csv      as RFC 4180 with a header, but lines end in LF alone, for what a shell cuts at line ends; NULL is empty,
                     an empty text is `""`
            json     one array of objects: numbers as numbers (decimals in full), times ISO 8601 with Z, bytes as base64,
                     NaN and infinity as null
            ndjson   the same objects, one a line
            parquet  the rows as they are, zstd
    width   columns that a line may take; None asks the terminal, and sets no limit where the stream is not one
    styled  bold headings and dim NULLs, for a terminal
    Raises NotFoundError for another format.
    """
    rows = rows.rename_columns(_distinct(rows.column_names))
    if format == "parquet":
        pq.write_table(rows, stream, compression="zstd")
        return
    if format == "table":
        lines: Iterator[str] = table_lines(rows, _width(stream) if width is None else width, styled)
    elif format == "csv":
        lines = _csv(rows)
    elif format in ("json", "ndjson"):
        _write_json(rows, stream, array=format == "json")
        return
    else:
        hint = did_you_mean(format, FORMATS)
        raise NotFoundError(f"There is no output format {format!r}.", f"{hint} Formats: {', '.join(FORMATS)}.".strip())
    for line in lines:
        stream.write(line.encode("utf-8", "backslashreplace"))


def objects(rows: pa.Table) -> Iterator[dict[str, Any]]:
    """Rows as dicts of plain Python values, a chunk at a time."""
    rows = rows.rename_columns(_distinct(rows.column_names))
    for batch in rows.to_batches(max_chunksize=_ROWS_AT_ONCE):
        columns = [_values(column) for column in batch.columns]
        for values in zip(*columns, strict=True):
            yield dict(zip(rows.column_names, values, strict=True))


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, those that occur again with a number behind: an object and a Parquet file have each name once."""
    result: list[str] = []
    for name in names:
        number, distinct = 1, name
        while distinct in result or (number > 1 and distinct in names):
            number += 1
            distinct = f"{name}_{number}"
        result.append(distinct)
    return result


def _values(column: Any) -> list[Any]:
    """The values of a column in Python's types; text where Python's calendar has no such day."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
    elif pa.types.is_timestamp(kind) and kind.unit == "ns":
        column = column.cast(pa.timestamp("us", tz=kind.tz), safe=False)
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):
        values = pc.cast(column, pa.string()).to_pylist()
    return values


# -- json --------------------------------------------------------------------------------------------------------------


def _write_json(rows: pa.Table, stream: BinaryIO, *, array: bool) -> None:
    first = True
    for row in objects(rows):
        text = _JSON.encode({name: _for_json(value) for name, value in row.items()})
        if array:
            stream.write(b"[\n" if first else b",\n")
            stream.write(text)
        else:
            stream.write(text + b"\n")
        first = False
    if array:
        stream.write(b"[]\n" if first else b"\n]\n")


def _for_json(value: Any) -> Any:
    """The value in a type that the encoder knows. A plain float, text or time goes through as it is."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return Decimal(value)
    if isinstance(value, dict):
        return {str(key): _for_json(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_for_json(inner) for inner in value]
    if isinstance(value, Decimal) and not value.is_finite():
        return None
    if value is None or isinstance(value, (str, int, float, bytes, date, time, Decimal)):
        return value
    return str(value)


# -- text --------------------------------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    """A value as text, the same in every text format."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        moment = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return moment.isoformat() + ("Z" if value.tzinfo else "")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, (dict, list, tuple)):
        return _JSON.encode(_for_json(value)).decode()
    return str(value)


def _csv(rows: pa.Table) -> Iterator[str]:
    yield ",".join(map(_csv_field, rows.column_names)) + "\n"
    for row in objects(rows):
        yield ",".join(_csv_field(value) for value in row.values()) + "\n"


def _csv_field(value: Any) -> str:
    if value is None:
        return ""
    text = _text(value)
    if not text or any(character in text for character in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


# -- for people --------------------------------------------------------------------------------------------------------


def table_lines(rows: pa.Table, width: int | None, styled: bool = False) -> Iterator[str]:
    """The lines of an aligned table, each with its line break; sideways where it is wider than `width`."""
    if rows.column_names == _EXPLAIN:
        # A plan is a drawing of its own.
        yield from (
            _shown(line) + "\n" for text in rows["explain_value"].to_pylist() for line in str(text).splitlines()
        )
        return
    names = [_shown(name) for name in rows.column_names]
    cells = [[_NULL if value is None else _shown(_text(value)) for value in row.values()] for row in objects(rows)]
    nulls = [[value is None for value in row.values()] for row in objects(rows)] if styled else []
    widths = [max([_cells(name), *(_cells(row[at]) for row in cells)]) for at, name in enumerate(names)]
    if width is not None and sum(widths) + 2 * (len(widths) - 1) > width and cells:
        yield from _sideways(names, cells, width, styled)
        return
    right = [_is_number(field.type) for field in rows.schema]
    yield _line(names, widths, right, [_BOLD] * len(names) if styled else None)
    yield "  ".join("─" * wide for wide in widths) + "\n"
    for number, row in enumerate(cells):
        yield _line(row, widths, right, [_DIM if null else "" for null in nulls[number]] if styled else None)


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool], styles: Sequence[str] | None) -> str:
    parts = []
    for at, text in enumerate(row):
        space = " " * (widths[at] - _cells(text))
        shown = f"{styles[at]}{text}{_PLAIN}" if styles and styles[at] else text
        parts.append(space + shown if right[at] else shown + space)
    return "  ".join(parts).rstrip() + "\n"


def _sideways(names: Sequence[str], cells: Sequence[Sequence[str]], width: int, styled: bool) -> Iterator[str]:
    """A block per row: name and value a line, long values on as many lines as they need."""
    left = max(_cells(name) for name in names)
    room = max(width - left - 2, 20)
    for number, row in enumerate(cells, 1):
        head = f"── {number} "
        yield head + "─" * max(min(width, left + 30) - len(head), 0) + "\n"
        for name, text in zip(names, row, strict=True):
            label = f"{_BOLD}{name}{_PLAIN}" if styled else name
            pieces = list(_folded(text, room))
            yield f"{label}{' ' * (left - _cells(name))}  {pieces[0]}".rstrip() + "\n"
            for piece in pieces[1:]:
                yield " " * (left + 2) + piece + "\n"


def _folded(text: str, room: int) -> Iterator[str]:
    """The text in pieces of at most `room` terminal columns; one empty piece for an empty text."""
    piece: list[str] = []
    used = 0
    for character in text:
        wide = _cells(character)
        if used + wide > room:
            yield "".join(piece)
            piece, used = [], 0
        piece.append(character)
        used += wide
    if piece or not text:
        yield "".join(piece)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _shown(text: str) -> str:
    """Text on one line. Landed text may hold anything, so what would steer a terminal is shown as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _cells(text: str) -> int:
    """Terminal columns that a text takes: East Asian wide characters take two, combining marks none (UAX #11)."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _width(stream: BinaryIO) -> int | None:
    """The terminal's width, or what COLUMNS says; None where neither is there."""
    try:
        terminal = stream.isatty()
    except (AttributeError, ValueError, io.UnsupportedOperation):
        terminal = False
    if terminal or os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    return None
