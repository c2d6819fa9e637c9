"""What the readers of the text forms give to the splitter."""

from __future__ import annotations

from dataclasses import dataclass

from carlake.errors import ReadError


class CutError(ReadError):
    """A record is so long that only its beginning would be kept."""


@dataclass(slots=True)
class Found:
    """Records that follow each other in an object, verbatim.

    `sound`: all are strict JSON objects, bar what only the bytes show (UTF-8, length, depth), so that only these are
    checked again. `note` adds to the detail of a single record what its text does not show: how much of it was cut.
    `cut`: bytes that a single record lacks.
    """

    records: list[bytes]
    sound: bool = False
    note: str = ""
    cut: int = 0


def cut_note(kept: int, cut: int) -> str:
    """How a record that is too long even to keep says so."""
    return f"only the first {kept} bytes are kept, {cut} bytes were cut"


def whole_characters(text: bytes) -> bytes:
    """`text` without the beginning of a UTF-8 character that a cut left at its end."""
    for back in range(1, min(4, len(text) + 1)):
        byte = text[-back]
        if byte < 0x80:
            break
        if byte >= 0xC0:
            width = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return text[:-back] if width > back else text
    return text
