"""How a call can end: its exit codes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

DONE, FAILED, WRONG_USAGE = 0, 1, 2
NO_ANSWER = 3
"""A comparison that could not be made, where FAILED says that it was made and rows differ."""
INTERRUPTED, NOBODY_READS = 130, 141  # as shells count them: 128 and the signal's number
INTERRUPTED_NOTE = "\nInterrupted. What was committed stays; the same command goes on from there.\n"

_EXIT = "carlake_exit"


@contextmanager
def failing_with(code: int) -> Iterator[None]:
    """Let a failure of the block end the call with `code` in place of FAILED. Wrong usage keeps its own code."""
    try:
        yield
    except Exception as error:
        error.__dict__[_EXIT] = code
        raise


def code_of(error: Exception) -> int:
    """The exit code of a failure: FAILED, unless the command asked for another."""
    code: int = error.__dict__.get(_EXIT, FAILED)
    return code
