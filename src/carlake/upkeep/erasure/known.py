"""Whether the lake has a car at all. A misspelt name shall not cost the lake its older snapshots and releases."""

from __future__ import annotations

from collections.abc import Sequence

from carlake.errors import NotFoundError
from carlake.lake import Lake
from carlake.refresh.forgotten import tombstones
from carlake.refresh.plan import head_of
from carlake.tables.declare import BRONZE, QUARANTINE, SILVER
from carlake.upkeep.erasure.rows import Erasing, holding
from carlake.upkeep.erasure.search import Searched, search
from carlake.upkeep.erasure.short import is_untold

_CAR = "car_chassis"


def is_known(lake: Lake, erasing: Erasing, landing: Sequence[str]) -> tuple[bool, bool]:
    """Whether the car has a tombstone, and whether the lake has it: a tombstone, a row, or its name in any file.

    The files are searched, all of them, only where no table has a row. Needs the engine's session.
    """
    graves = tombstones(erasing.context)
    if any(graves.any_of((name,)) for name in erasing.names):
        return True, True
    # The tables with a column for it are asked first: quick, and enough for nearly every car. What else may have it
    # (bronze's broken records, archive, landing, older snapshots, logs) are files, which the search reads.
    quick = [
        table
        for table in reversed(list(erasing.context.tables.values()))
        if _CAR in table.column_names and table.name not in (BRONZE, QUARANTINE)
    ]
    if any(holding(erasing, table) for table in quick):
        return False, True
    found = search(lake.root, erasing.needle, Searched(), skip=lambda path: path == str(lake.scratch))
    return False, any(not is_untold(place, erasing.names, landing) for place in found)


def unknown_car(erasing: Erasing) -> NotFoundError:
    """The error for a car that the lake does not have, with the nearest that it has. Needs the engine's session."""
    car = erasing.names[-1]
    near = _nearest(erasing, car)
    hint = f"Did you mean {near}? " if near else ""
    return NotFoundError(
        f"The lake has no car {car!r}: no row, no tombstone, no file that names it. Nothing was changed.",
        f"{hint}To refuse its records before any has come, add --unknown.",
    )


def _nearest(erasing: Erasing, car: str) -> str | None:
    """The car with the fewest letters to change (Damerau and Levenshtein's distance), None where that is a third."""
    engine = erasing.context.engine
    head = head_of(erasing.context.find(SILVER))
    if head is None:
        return None
    quoted = "'" + car.replace("'", "''") + "'"
    distance = f"damerau_levenshtein({_CAR}, {quoted})"
    rows = engine.rows(
        f"SELECT {_CAR} FROM (SELECT DISTINCT {_CAR} FROM {engine.scan(SILVER, head)} AS s) AS cars "
        f"WHERE {distance} <= {max(1, len(car) // 3)} ORDER BY {distance}, {_CAR} LIMIT 1"
    )
    return str(rows[0][0]) if rows else None
