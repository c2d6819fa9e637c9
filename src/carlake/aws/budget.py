"""A time budget: what runs under a limit that would end it from outside stops by itself before that.

Work comes in parts. A part is begun only where the slowest so far, with something to spare, would still be done in time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_RESERVE_SHARE, _LEAST_RESERVE_SECONDS = 0.1, 5.0
_SPARE = 1.5


class Budget:
    """The time that is left. `remaining` gives it in seconds; a tenth of what there was at first is kept for the end."""

    def __init__(self, remaining: Callable[[], float]) -> None:
        self._remaining = remaining
        self._reserve = max(_LEAST_RESERVE_SECONDS, remaining() * _RESERVE_SHARE)
        self._longest = 0.0

    def allows_more(self) -> bool:
        """Whether another part may begin."""
        return self._remaining() - self._reserve > self._longest * _SPARE

    def seconds(self) -> float:
        """What may be used, without what is kept for the end."""
        return max(0.0, self._remaining() - self._reserve)

    def spend(self, part: Callable[[], None]) -> None:
        """Do one part, and learn how long it took."""
        began = time.monotonic()
        try:
            part()
        finally:
            self._longest = max(self._longest, time.monotonic() - began)
