"""Where one JSON value ends in a window, and where broken text ends and the next record begins.

Positions are of the window's buffer. Every function looks from a given position on and raises Shortage where the
answer lies behind what is buffered: fill the window and ask again. So no answer depends on how the bytes came in.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from carlake.landing.defects import ERROR_OFFSET, decode_value
from carlake.landing.window import Window

SPACE = b" \t\r\n"
OPEN_OBJECT, CLOSE_OBJECT, OPEN_ARRAY, CLOSE_ARRAY, COMMA, COLON, NEWLINE = b"{}[],:\n"

NEAR_BYTES = 64 << 10
"""How far broken text is followed to its own closing bracket before lines that look like records are preferred."""
LEAST_NEAR_BYTES = 256
"""As far at least, where one broken record follows the other and each would look at the same text again."""
_LOOK_BYTES = 1024
_TOKEN = re.compile(rb'"(?:[^"\\\n]|\\.)*+"?|[{}\[\]:,\n]|[^\s"{}\[\]:,]+')
_BLANK = re.compile(rb"[ \t\r]{0,%d}" % _LOOK_BYTES)
_BLANK_LINES = re.compile(rb"[ \t\r\n]{0,%d}" % _LOOK_BYTES)
_ELEMENT_END = re.compile(rb"[,\]\n{]")
# `[` begins an array of records where an object comes first, or after a few members that should have been objects.
_ARRAY = re.compile(rb"\[\s{0,512}(?:[^\[\]{}\n]{0,200},\s{0,200})?(?:\{|\]|\Z)")
_QUOTE, _WORD = b'"w'


class Shortage(Exception):  # noqa: N818 - not an error: more bytes are needed
    """The answer lies behind what is buffered."""


class Extent(NamedTuple):
    """Where a record ends; `sound` where it is valid JSON by itself."""

    end: int
    sound: bool


def opens_array(window: Window, at: int) -> bool:
    """True where the `[` at `at` begins an array of records, and not a value or a line of text."""
    if window.end - at < _LOOK_BYTES and not window.ended:
        raise Shortage
    return _ARRAY.match(window.buffer, at, window.end) is not None


def value_end(window: Window, at: int) -> int:
    """The end of the one valid JSON value at `at`, or -1 where the text there is broken, too deep or ends too early."""
    try:
        decode_value(window.view[at : window.end])
    except msgspec.DecodeError as error:
        located = ERROR_OFFSET.match(str(error))
        if located is None:
            if not window.ended:
                raise Shortage from None
            return -1
        if not located[1].startswith("trailing characters"):
            return -1
        # The decoder names the offset behind the first byte that trails the value.
        return at + len(window.take(at, at + int(located[2]) - 1).rstrip(SPACE))
    except RecursionError:
        return -1
    # A number at the end of the window may go on; whoever asks looks at what follows, and meets the shortage there.
    return at + len(window.take(at, window.end).rstrip(SPACE))


def record_extent(window: Window, at: int, inside: bool, indent: bytes | None, near: int) -> Extent:
    """The record that begins at `at`, which is not white space; `inside` an array of records or not.

    `indent` is the white space before `at` where nothing else precedes it on its line, else None. `near` is how many bytes
    broken text is followed to its own closing bracket: NEAR_BYTES, or less.
    """
    first = window.buffer[at]
    if inside:
        end = value_end(window, at)
        sound = end >= 0
        if not sound and first in b"{[":
            end = broken_end(window, at, True, indent, near)
        elif not sound:
            end = _search(window, _ELEMENT_END, at + 1)
        return _with_trailing_element_text(window, at, end, sound and first == OPEN_OBJECT)
    if first in b"{[":
        end = value_end(window, at)
        if end >= 0:
            return _with_trailing_text(window, at, end, first == OPEN_OBJECT)
        if first == OPEN_OBJECT:
            return _with_trailing_text(window, at, broken_end(window, at, False, indent, near), False)
    line_end = _line_end(window, at)
    if indent is None and (brace := window.buffer.find(b"{", at + 1, line_end)) >= 0:
        return Extent(brace, False)
    return Extent(line_end, False)


def _with_trailing_text(window: Window, at: int, end: int, sound: bool) -> Extent:
    """A value and what trails it on its line: text there that is no further record spoils the line as a whole."""
    following = _next_byte(window, end, _BLANK)
    if following in (-1, NEWLINE, OPEN_OBJECT) or window.buffer[end - 1] == NEWLINE:
        return Extent(end, sound)
    if following == OPEN_ARRAY:
        start = _BLANK.match(window.buffer, end, window.end)
        if start is not None and opens_array(window, start.end()):
            return Extent(end, sound)
    line_end = _line_end(window, end)
    if window.buffer.find(b"{", end, line_end) >= 0:
        return Extent(end, sound)
    return Extent(line_end, False)


def _with_trailing_element_text(window: Window, at: int, end: int, sound: bool) -> Extent:
    if _next_byte(window, end, _BLANK_LINES) in (-1, COMMA, CLOSE_ARRAY, OPEN_OBJECT):
        return Extent(end, sound)
    return Extent(_search(window, _ELEMENT_END, end), False)


def broken_end(window: Window, at: int, inside: bool, indent: bytes | None, near: int) -> int:
    """The end of the broken record at `at`: its own closing bracket, or the beginning of the next record before that.

    A `{` begins the next record where none can stand in the broken one (`} {`, or where a key belongs), or, should the
    record not close, where a line begins with it as deep as the record does; an inner object shows by what follows it.
    Where records are lines, a line before that ends it, too, that is as deep and begins with no bracket.
    """
    buffer, stack, previous, line_start, junk = window.buffer, bytearray(), 0, -1, -1
    lines: list[int] = []
    margin = None if indent is None else len(indent)
    # Text behind the bracket on the first line: records are lines here, and a broken line may follow a broken one.
    dense = _next_byte(window, at + 1, _BLANK) != NEWLINE
    for token in _TOKEN.finditer(buffer, at, window.end):
        start, stop = token.span()
        kind = buffer[start]
        if kind == NEWLINE:
            line_start = stop
            continue
        begins_line = line_start >= 0 and start - line_start == margin and bytes(buffer[line_start:start]) == indent
        if begins_line and junk < 0 and dense and not inside and kind not in b"{}[],:":
            junk = start
        if kind in b"{[":
            if stack and kind == OPEN_OBJECT:
                possible = previous in b":[" or (stack[-1] == OPEN_ARRAY and (previous == COMMA or inside))
                if not possible:
                    if _begins_record(window, start, inside, broken_too=True):
                        return _before(junk, _first_record(window, lines, inside, dense, start))
                elif begins_line:
                    lines.append(start)
            stack.append(kind)
        elif kind in b"}]":
            opening = stack.rfind(b"{" if kind == CLOSE_OBJECT else b"[")
            if opening >= 0:
                del stack[opening:]
            elif inside and kind == CLOSE_ARRAY and _next_byte(window, stop, _BLANK_LINES) in (-1, OPEN_OBJECT):
                return _first_record(window, lines, inside, dense, start)
            if not stack:
                return stop
        previous = kind if kind in b"{}[]:," else _QUOTE if kind == _QUOTE else _WORD
        if lines and stop - at > near:
            found = _first_record(window, lines, inside, dense, -1)
            if found >= 0:
                return _before(junk, found)
            lines.clear()
    if not window.ended:
        raise Shortage
    return _before(junk, _first_record(window, lines, inside, dense, window.end))


def _before(junk: int, found: int) -> int:
    """Where the next record begins, or before it a line that is none."""
    return junk if 0 <= junk < found else found


def _first_record(window: Window, candidates: list[int], inside: bool, broken_too: bool, otherwise: int) -> int:
    for start in candidates:
        if _begins_record(window, start, inside, broken_too=broken_too):
            return start
    return otherwise


def _begins_record(window: Window, at: int, inside: bool, *, broken_too: bool) -> bool:
    """True where the `{` at `at` begins a record and not an object within one, judged by what follows it."""
    end = value_end(window, at)
    if end < 0:
        return broken_too
    following = _next_byte(window, end, _BLANK_LINES)
    if inside:
        return following in (-1, COMMA, CLOSE_ARRAY, OPEN_OBJECT)
    return following not in (COMMA, COLON, CLOSE_ARRAY, CLOSE_OBJECT)


def _next_byte(window: Window, at: int, blank: re.Pattern[bytes]) -> int:
    """The first byte from `at` that is not blank, -1 at the end of the source."""
    match = blank.match(window.buffer, at, window.end)
    stop = match.end() if match else at
    if stop == window.end:
        if not window.ended:
            raise Shortage
        return -1
    return window.buffer[stop] if stop - at < _LOOK_BYTES else NEWLINE


def _line_end(window: Window, at: int) -> int:
    end = window.find(b"\n", at)
    if end < 0 and not window.ended:
        raise Shortage
    return end if end >= 0 else window.end


def _search(window: Window, pattern: re.Pattern[bytes], at: int) -> int:
    match = pattern.search(window.buffer, at, window.end)
    if match is None and not window.ended:
        raise Shortage
    return match.start() if match else window.end
