"""JSON records in any arrangement: one, NDJSON, concatenated, pretty-printed, in an array, or broken in between.

Lines that are whole objects, the common case, are taken in bulk. Anything else is read record by record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate

import msgspec

from carlake.landing.defects import decode_object
from carlake.landing.found import Found, cut_note, whole_characters
from carlake.landing.json_text import (
    CLOSE_ARRAY,
    COMMA,
    LEAST_NEAR_BYTES,
    NEAR_BYTES,
    NEWLINE,
    OPEN_ARRAY,
    OPEN_OBJECT,
    SPACE,
    Shortage,
    broken_end,
    opens_array,
    record_extent,
)
from carlake.landing.window import Window

_BLANK = re.compile(rb"[ \t\r\n]*")
_WIDEST_INDENT = 256
_TOGETHER_BYTES = 64 << 10
_FIRST_SPAN, _WIDEST_SPAN = 4 << 10, 512 << 10  # wider ones cost fresh pages each time


class JsonValues:
    """The JSON records, and the lines that are none, of a window. A record longer than `hard_cap` bytes is cut."""

    def __init__(self, window: Window, hard_cap: int) -> None:
        self._window = window
        self._hard_cap = hard_cap
        self._indent: bytes | None = b""  # white space before the position on its line; None behind other text
        self._inside = False  # an array of records
        self._span = _FIRST_SPAN
        self._near = NEAR_BYTES

    def __iter__(self) -> Iterator[Found]:
        """The records in order; sound ones that follow each other come together."""
        sound: list[bytes] = []
        size = 0
        for found in self._each():
            if len(found.records) == 1 and found.sound:
                sound.append(found.records[0])
                size += len(found.records[0])
                if size < _TOGETHER_BYTES:
                    continue
            if sound:
                yield Found(sound, sound=True)
                sound, size = [], 0
            if len(found.records) > 1 or not found.sound:
                yield found
        if sound:
            yield Found(sound, sound=True)

    def _each(self) -> Iterator[Found]:
        window, lines, told = self._window, False, False
        while self._skip_blank():
            first = window.buffer[window.position]
            if self._inside and first in (COMMA, CLOSE_ARRAY):
                self._inside = first == COMMA
                self._step()
                continue
            if not self._inside and first == OPEN_ARRAY and self._opens_array():
                self._inside = True
                self._step()
                continue
            if lines and first == OPEN_OBJECT and self._indent is not None:
                yield from self._lines()
                lines = False
                continue
            whole_line = not self._inside and self._indent is not None
            found = self._record()
            yield found
            told = not found.sound and window.ended and window.position == window.end
            lines = whole_line and found.sound and b"\n" not in found.records[0] and self._at_line_end()
        if self._inside and not told:
            yield Found([b"["])  # the array is never closed: what it lacks has no text of its own

    def _step(self) -> None:
        self._window.position += 1
        self._indent = None

    def _at_line_end(self) -> bool:
        window = self._window
        return window.position < window.end and window.buffer[window.position] in (NEWLINE, 13)

    def _skip_blank(self) -> bool:
        """Move to the next byte that is not white space, keeping the indentation; False at the end of the source."""
        window = self._window
        while True:
            match = _BLANK.match(window.buffer, window.position, window.end)
            stop = match.end() if match else window.position
            if stop > window.position:
                newline = window.buffer.rfind(b"\n", window.position, stop)
                if newline >= 0:
                    self._indent = window.take(newline + 1, min(stop, newline + 1 + _WIDEST_INDENT))
                elif self._indent is not None:
                    self._indent = (self._indent + window.take(window.position, stop))[:_WIDEST_INDENT]
                window.position = stop
            if stop < window.end:
                return True
            if not window.fill():
                return False

    def _opens_array(self) -> bool:
        while True:
            try:
                return opens_array(self._window, self._window.position)
            except Shortage:
                self._window.fill()

    def _record(self) -> Found:
        """The record at the position, which moves behind it."""
        window = self._window
        while True:
            try:
                end, sound = record_extent(window, window.position, self._inside, self._indent, self._near)
                break
            except Shortage:
                if window.end - window.position > self._hard_cap:
                    end, sound = self._next_line_record(), False
                    break
                window.fill()
        # Half as far after each broken one, or each of many that stay open would look through the same text again.
        self._near = NEAR_BYTES if sound else max(self._near // 2, LEAST_NEAR_BYTES)
        if not 0 <= end - window.position <= self._hard_cap:
            return self._oversize()
        record = window.take(window.position, end).rstrip(SPACE)
        # The space before a next record is looked at again: it tells how deep that one stands.
        behind = window.position + len(record) if end < window.end else end
        if self._inside and not sound and end < window.end:  # the comma before the next element
            record = record.rstrip(SPACE + b",") or record
        window.position = behind
        self._indent = None
        return Found([record], sound)

    def _next_line_record(self) -> int:
        """Where a line begins the next record, if the one at the position has no end within the cap; else -1."""
        window = self._window
        if self._indent is None or window.find(b"\n", window.position) < 0:
            return -1
        try:
            return broken_end(window, window.position, self._inside, self._indent, NEAR_BYTES)
        except Shortage:
            return -1

    def _lines(self) -> Iterator[Found]:
        """Whole lines in bulk, from a line start to the first record that is not one line."""
        window = self._window
        self._span = _FIRST_SPAN
        while True:
            start = window.position
            last = window.buffer.rfind(b"\n", start, min(window.end, start + self._span))
            if last < 0:
                last = window.find(b"\n", start)
            if last < 0 and not window.ended:
                if window.end - start > self._hard_cap:
                    return
                window.fill()
                continue
            stop = last if last >= 0 else window.end
            if stop - start > self._hard_cap:
                return
            text = window.take(start, stop)
            base = window.offset + start
            lines = text.split(b"\n")
            starts: list[int] = []
            # The decoded objects are only counted: after a line that fails, the decoder goes on with the next one.
            seen: list[object] = []
            decoded, sent = map(decode_object, lines), 0
            while True:
                try:
                    seen.extend(decoded)
                    break
                except (msgspec.DecodeError, RecursionError):
                    row = len(seen)
                    seen.append(None)
                if row > sent:
                    yield Found(list(map(bytes.strip, lines[sent:row])), sound=True)
                sent = row + 1
                if not lines[row].strip(SPACE):
                    continue
                starts = starts or list(accumulate((len(line) + 1 for line in lines), initial=base))
                window.position, self._indent = starts[row] - window.offset, b""
                self._skip_blank()
                if window.buffer[window.position] == OPEN_ARRAY and self._opens_array():
                    return
                yield self._record()
                if window.offset + window.position != starts[row + 1] - 1 and self._more_in_line(starts[row + 1] - 1):
                    return
            if sent < len(lines):
                yield Found(list(map(bytes.strip, lines[sent:])), sound=True)
            self._indent = b""
            window.position = min(base + len(text) + 1 - window.offset, window.end)
            self._span = min(2 * self._span, _WIDEST_SPAN)
            if window.position == window.end and not window.fill():
                return

    def _more_in_line(self, line_end: int) -> bool:
        """True where the last record did not end with its line: it took more lines, or another record follows on it."""
        window = self._window
        here = window.offset + window.position
        return here > line_end or bool(window.take(window.position, line_end - window.offset).strip(SPACE))

    def _oversize(self) -> Found:
        """A record too long to keep: its first bytes, and the position behind its end, as far as that can be seen."""
        window, indent = self._window, self._indent
        prefix = whole_characters(window.take(window.position, window.position + self._hard_cap))
        start = window.offset + window.position
        if b"\n" in prefix and indent is not None:
            self._skip_to(re.compile(rb"\n(?=" + re.escape(indent) + rb"[{\[])"), len(prefix))
        elif self._inside:
            self._skip_value()
        else:
            self._skip_to(re.compile(rb"\n"), len(prefix))
        cut = window.offset + window.position - start - len(prefix)
        self._indent = None
        return Found([prefix], note=cut_note(len(prefix), cut), cut=cut)

    def _skip_to(self, end: re.Pattern[bytes], skip: int) -> None:
        window = self._window
        window.position += skip
        while True:
            match = end.search(window.buffer, window.position, window.end)
            if match is not None:
                window.position = match.start()
                return
            if not window.ended:
                window.position = max(window.position, window.end - _WIDEST_INDENT - 2)
            if not window.fill():
                window.position = window.end
                return

    def _skip_value(self) -> None:
        """Move behind the value at the position by its brackets alone."""
        window, level, within = self._window, 0, False
        outer, inner = re.compile(rb'["{}\[\]]'), re.compile(rb'"|\\.|\\\Z', re.DOTALL)
        while True:
            match = (inner if within else outer).search(window.buffer, window.position, window.end)
            if match is None:
                window.position = window.end
                if not window.fill():
                    return
                continue
            token = match[0]
            if token == b"\\":  # what it escapes is not buffered yet
                window.position = match.start()
                if not window.fill():
                    window.position = window.end
                    return
                continue
            window.position = match.end()
            if token == b'"':
                within = not within
            elif not within:
                level += 1 if token in b"{[" else -1
            if level <= 0 and not within:
                return
