"""Maintenance inside the loop: a slice of what is due, and a line in the log where something was done."""

from __future__ import annotations

from carlake.lakehouse import Lakehouse
from carlake.upkeep.maintenance.maintain import maintain_slice

MAINTAINED = "maintained"


def chores(house: Lakehouse, seconds: float) -> bool:
    """Do what is due for about so many seconds. What fails is in the log.

    Gives whether something was done: then there may be more, for a slice does what is most urgent and the next slice, a
    batch later, what comes after that. So no table waits for ever behind one that is always due again.
    """
    result = maintain_slice(house, seconds)
    for done in result.done:
        counts: dict[str, object] = {
            name: getattr(done, name) or None for name in ("files", "files_written", "rows", "snapshots")
        }
        if done.error:
            house.journal.write("error", MAINTAINED, "", task=done.task, table=done.table, error=done.error)
        elif any(counts.values()):
            took = round(done.seconds, 3)
            house.journal.write("info", MAINTAINED, "", task=done.task, table=done.table, **counts, seconds=took)
    return any(not done.error for done in result.done)
