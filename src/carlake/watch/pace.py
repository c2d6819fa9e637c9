"""How long to gather and how much to take at once, from a latency objective and how the last batches went.

A batch costs most of its time however few objects it has (five commits), so under load fewer and larger batches are what
keeps up. The rules:

- after a quiet time the first object is taken at once, alone: nobody would gain by waiting;
- while objects keep coming, they are gathered for as long as the objective leaves after the work itself;
- while a backlog stays, each batch may be twice as large as the one before; without one, half as large again.
"""

from __future__ import annotations

from collections.abc import Callable

from carlake.landing.landed import LandedObject

FIRST_FILES = 500
_WEIGHT = 0.3  # of the newest batch, in what a batch is expected to take


class Pace:
    """The batches of one watch. Times are seconds of a clock that is never set.

    objective_seconds  how old an object may become before it is visible, as far as the work itself allows
    most_files         the largest batch
    """

    def __init__(self, objective_seconds: float, most_files: int) -> None:
        self._objective = objective_seconds
        self._most = most_files
        self._least = min(FIRST_FILES, most_files)
        self.most_files = self._least
        """The largest batch now."""
        self._work: float | None = None
        self._ended = float("-inf")

    @property
    def expected_seconds(self) -> float:
        """What the next batch is expected to take."""
        return self._work or 0.0

    def gather_until(self, first_seen: float, files: int) -> float:
        """When to take the objects that wait, the first of which was seen at `first_seen`; not later than now if in the
        past."""
        quiet = first_seen - self._ended > self._objective
        if quiet or files >= self.most_files:
            return first_seen
        return first_seen + self._objective - self.expected_seconds

    def batch(
        self, ready: list[LandedObject], seen: Callable[[LandedObject], float], most_bytes: int
    ) -> list[LandedObject]:
        """The objects seen first, up to the limits of a batch; all in the order of the listing, which archiving needs.

        Of two versions of one name, each has a batch of its own.
        """
        names = len({landed.uri for landed in ready})
        if names == len(ready) <= self.most_files and sum(landed.size for landed in ready) <= most_bytes:
            return ready
        chosen: dict[str, LandedObject] = {}
        for landed in sorted(ready, key=lambda landed: (seen(landed), landed.modified_at, landed.uri)):
            most_bytes -= landed.size
            if len(chosen) >= self.most_files or (chosen and most_bytes < 0):
                break
            chosen.setdefault(landed.uri, landed)
        return [landed for landed in ready if chosen.get(landed.uri) is landed]

    def done(self, now: float, seconds: float, left: int) -> None:
        """A batch is done: it took so long, and so many objects are left over."""
        self._work = seconds if self._work is None else self._work + _WEIGHT * (seconds - self._work)
        self._ended = now
        self.most_files = min(self.most_files * 2, self._most) if left else max(self.most_files // 2, self._least)
