"""Forget a car: its tombstone first, then every table, every older snapshot, the archive, landing and the logs.

Each step finds for itself what is left to do, so the command given again after a crash finishes. Every table gets a
commit even where nothing of the car is in it: a writer that has read no tombstone yet is refused by it (see
`carlake.refresh.forgotten`). What is left at the end is looked for, not believed to be gone (`carlake.upkeep.erasure.search`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from carlake.errors import NotFoundError
from carlake.landing.forgotten import Screen
from carlake.refresh.forgotten import tombstones
from carlake.refresh.refresh import refresh_table
from carlake.refresh.report import RunReport, Status, Step
from carlake.upkeep.erasure.control import control
from carlake.upkeep.erasure.files import clean_logs, clean_objects, clean_tables, running, search_lake
from carlake.upkeep.erasure.known import is_known, unknown_car
from carlake.upkeep.erasure.rows import Erasing, erase_table, holding
from carlake.upkeep.erasure.search import KINDS, Kind, Place, Searched
from carlake.upkeep.erasure.short import is_untold
from carlake.upkeep.erasure.stored import clean_stored, prefixes, search_stored
from carlake.upkeep.erasure.tombstones import bury

if TYPE_CHECKING:
    from carlake.lakehouse import Lakehouse

Progress = Callable[[str], None]


@dataclass(frozen=True)
class ErasedTable:
    """What was, or would be, taken out of one table: rows, and the older snapshots and tags that could bring them back."""

    table: str
    rows: int = 0
    snapshots: int = 0
    tags: tuple[str, ...] = ()
    files: int = 0


@dataclass(frozen=True)
class ErasurePlan:
    """What forgetting a car would take out now. Objects that wait in landing are taken in first, and are not counted.

    known             the lake has the car: a row, a tombstone, or its name in any file
    forgotten_before  it has a tombstone already
    """

    tables: tuple[ErasedTable, ...]
    known: bool
    forgotten_before: bool
    waiting: int


@dataclass(frozen=True)
class Erasure:
    """What forgetting a car did.

    tombstone   what is kept: the keyed hash of the car
    known       the lake had the car: a row, a tombstone, or its name in any file
    forgotten_before  it had a tombstone already
    objects     archived and landed objects that were written anew without it
    logs        log files in which its name was overwritten
    searched    what the search at the end went through
    control     the kinds of places where the search found the control car; all of `search.KINDS` if it can be believed
    left        where the car is still found
    mentions    where records of other cars name it: these are theirs, and stay
    untold      in how many places the name, since it is short, cannot be told from other text of carlake's: dates, counts
    running     processes that have temporary files of their own, which end with them and were not searched
    """

    run_id: str
    started_at: datetime
    tombstone: str
    known: bool
    forgotten_before: bool
    tables: tuple[ErasedTable, ...]
    objects: tuple[str, ...]
    logs: tuple[str, ...]
    searched: Searched
    control: tuple[Kind, ...]
    left: tuple[Place, ...]
    mentions: tuple[Place, ...]
    running: tuple[int, ...]
    seconds: float = field(default=0.0)
    untold: int = 0

    @property
    def proved(self) -> bool:
        """Whether the search found the control in every kind of place."""
        return set(self.control) >= set(KINDS)

    @property
    def ok(self) -> bool:
        """Whether nothing is left, as far as a search tells that is known to work."""
        return self.proved and not self.left


def plan_erasure(house: Lakehouse, car: str, unknown: bool = False) -> ErasurePlan:
    """What `forget` would take out. Changes nothing. Raises NotFoundError as it does."""
    prefixes(house)  # refuses what `forget` does
    context = house.context(trigger="forget")
    erasing = Erasing(context, house.identities(_checked(car)))
    with context.engine.session():
        found = []
        for table in context.tables.values():
            iceberg = context.find(table.name)
            if iceberg is None:
                continue
            rows = holding(erasing, table)
            older = len(iceberg.metadata.snapshots) - 1 if iceberg.current_snapshot() else 0
            tags = tuple(sorted(name for name in iceberg.metadata.refs if name != "main"))
            found.append(ErasedTable(table.name, rows, max(older, 0), tags))
        buried, known = _is_known(house, erasing)
        if not known and not unknown:
            raise unknown_car(erasing)
    return ErasurePlan(tuple(found), known, buried, len(house.plan().objects))


def forget(house: Lakehouse, car: str, progress: Progress = lambda step: None, unknown: bool = False) -> Erasure:
    """Remove a car from the lake, for good, and prove it by a search.

    car      its chassis number as it is landed, also where the lake holds a pseudonym of it
    unknown  do it for a car that the lake does not have, too: its records are refused from now on

    Raises NotFoundError, with nothing changed, for a car that the lake does not have: older snapshots and releases go
    with any erasure, and a misspelt name is no reason for that. Raises CarlakeError where its tombstone cannot be written or a table cannot be committed: nothing is half-told, and
    the same command goes on from there.
    """
    started = time.perf_counter()
    prefixes(house)  # refuses before anything is changed
    names = house.identities(_checked(car))
    context = house.context(trigger="forget")
    started_at = context.clock()
    with context.engine.session():
        asked = Erasing(context, names)
        buried, known = _is_known(house, asked)
        if not known and not unknown:
            raise unknown_car(asked)
    tombstone = bury(context, names[0])
    progress("taking in what waits in landing")
    house.run()
    erasing = Erasing(context, names, tombstone)
    tables: dict[str, ErasedTable] = {}
    with context.engine.session():
        for table in context.tables.values():
            progress(table.name)
            tables[table.name] = ErasedTable(table.name, erase_table(erasing, table))
        for table in context.tables.values():
            # Whoever landed meanwhile left tables behind; they read what is still there.
            if table.source in context.tables:
                refresh_table(context, table)
        for table in context.tables.values():
            progress(f"{table.name}: older snapshots")
            gone = clean_tables(erasing, table)
            tables[table.name] = ErasedTable(table.name, tables[table.name].rows, gone.snapshots, gone.tags, gone.files)
        screen = Screen(context.contracts, tombstones(context), context.engine.max_record_bytes, context.pseudonyms)
    progress("archive and landing")
    objects = [*clean_objects(house, erasing, screen), *clean_stored(house, erasing, screen)]
    house.write_down_runs()
    house.release_engine()
    logs = clean_logs(house.lake, erasing.needle)
    progress("control")
    found = control(house)
    searched = Searched()

    def untold(place: Place) -> bool:
        return is_untold(place, names, _landing(house))

    progress("searching")
    places = [*search_lake(house.lake, erasing.needle, searched), *search_stored(house, erasing.needle, searched)]
    spare = [place for place in places if not (erasing.is_mention(place) or untold(place))]
    if spare:
        # What the first search met where nothing led to it: an archived object that bronze never held, for one, or an
        # object that came into landing meanwhile.
        house.run()
        objects += clean_objects(house, erasing, screen, frozenset(place.path for place in spare))
        objects += clean_stored(house, erasing, screen)
        house.release_engine()
        searched = Searched()
        places = [*search_lake(house.lake, erasing.needle, searched), *search_stored(house, erasing.needle, searched)]
    return Erasure(
        run_id=context.run_id,
        started_at=started_at,
        tombstone=tombstone,
        known=known,
        forgotten_before=buried,
        tables=tuple(tables.values()),
        objects=tuple(dict.fromkeys(objects)),
        logs=tuple(logs),
        searched=searched,
        control=tuple(kind for kind in KINDS if kind in found),
        left=tuple(place for place in places if not (erasing.is_mention(place) or untold(place))),
        untold=sum(map(untold, places)),
        mentions=tuple(place for place in places if erasing.is_mention(place)),
        running=running(house.lake),
        seconds=time.perf_counter() - started,
    )


def as_run(done: Erasure) -> RunReport:
    """The erasure as a run, for people. It does not say of which car."""
    steps = tuple(
        Step(
            each.table,
            "succeeded" if each.snapshots or each.rows else "skipped",
            why="forget",
            rows_removed=each.rows,
            started_at=done.started_at,
        )
        for each in done.tables
    )
    status: Status = "succeeded" if done.ok else "partial"
    return RunReport(done.run_id, "forget", status, done.started_at, done.seconds, steps=steps)


def _is_known(house: Lakehouse, erasing: Erasing) -> tuple[bool, bool]:
    landing = _landing(house)
    buried, known = is_known(house.lake, erasing, landing)
    stored = search_stored(house, erasing.needle, Searched())
    return buried, known or any(not is_untold(place, erasing.names, landing) for place in stored)


def _landing(house: Lakehouse) -> tuple[str, ...]:
    return str(house.lake.landing), house.landing


def _checked(car: str) -> str:
    if not car.strip():
        raise NotFoundError("An empty name is no car.", "Give its chassis number.")
    return car  # as it is: a cell of a CSV file keeps the spaces at its ends, and so may a car's name
