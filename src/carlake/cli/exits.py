"""How a call can end: its exit codes."""

from __future__ import annotations

DONE, FAILED, WRONG_USAGE = 0, 1, 2
INTERRUPTED, NOBODY_READS = 130, 141  # as shells count them: 128 and the signal's number
INTERRUPTED_NOTE = "\nInterrupted. What was committed stays; the same command goes on from there.\n"
