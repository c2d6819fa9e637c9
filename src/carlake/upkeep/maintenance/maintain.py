"""Maintenance: what is due in a lake is found first, as plain data, and done afterwards; all of it, or a small slice.

One process maintains a lake at a time; another one that would finds the lock taken and leaves it at that. Nothing here
decides what a row is: every job can be broken off at any moment, and the next pass finds what is left.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from carlake.errors import CarlakeError, CommitRefusedError
from carlake.refresh.plan import Bookmark
from carlake.tables.declare import BRONZE, OPS_RUNS
from carlake.tables.table import Table
from carlake.upkeep.maintenance import jobs
from carlake.upkeep.maintenance.due import Done, Due, Found, MoreTime, Task
from carlake.upkeep.maintenance.files import clock_of
from carlake.upkeep.maintenance.jobs import Upkeep

if TYPE_CHECKING:
    from carlake.opened import OpenLake

_LOCK = "lock"
# What searches folders or a whole table is looked for so often in slices; the rest is cheap to look for.
_SEARCH_SECONDS = 3600.0


@dataclass(frozen=True)
class Job:
    """One job at one table, or at the lake (`table` empty); `find` looks for what is due when it is called.

    seldom  it searches folders or a whole table, so slices do it once in a while
    """

    task: Task
    table: str
    find: Callable[[], Iterator[Found]]
    seldom: bool = False

    @property
    def stamp(self) -> str:
        """The name of the file whose age says when the job was last done to its end."""
        return f"last {self.task} {self.table}".strip().replace(" ", "-")


@dataclass(frozen=True)
class MaintenancePlan:
    """What `maintain` would do now.

    due    each thing, with why
    notes  what is left alone, and why
    """

    due: tuple[Due, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Maintained:
    """What was done.

    busy  another process is at it; nothing was done
    """

    done: tuple[Done, ...] = ()
    seconds: float = 0.0
    busy: bool = False

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not any(done.error for done in self.done)


def plan_maintenance(house: OpenLake, tables: Sequence[str] = ()) -> MaintenancePlan:
    """What is due now, each with why; changes nothing.

    tables  only these; without any, all of them and the lake itself. What another job makes due (files that an expiry
            leaves behind, say) is not in it.
    """
    upkeep = _upkeep(house, thorough=True)
    due: list[Due] = []
    notes: list[str] = []
    seen: set[tuple[str, str]] = set()
    for job in _thorough(upkeep, tables):
        try:
            # A job may have its turn twice, where what comes between makes more due.
            due += [found.due for found in job.find() if (found.due.task, found.due.table) not in seen]
            seen |= {(each.task, each.table) for each in due}
        except (CarlakeError, OSError) as error:
            notes.append(str(error))
    return MaintenancePlan(tuple(due), (*notes, *_left_alone(upkeep, tables)))


def maintain(
    house: OpenLake, tables: Sequence[str] = (), progress: Callable[[str], None] = lambda what: None
) -> Maintained:
    """Do all that is due. What fails is in the result, with the others done; a lake that another process maintains is
    left to it.

    tables    only these; without any, all of them and the lake itself
    progress  called with what is being done
    """
    started = time.monotonic()
    with _alone(_folder(house)) as mine:
        if not mine:
            return Maintained(busy=True)
        upkeep = _upkeep(house, thorough=True)
        done: list[Done] = []
        for job in _thorough(upkeep, tables):
            done += _do(job, lambda: True, progress)
    return Maintained(tuple(done), time.monotonic() - started)


def maintain_slice(house: OpenLake, budget_seconds: float) -> Maintained:
    """Do a little of what is due, for about `budget_seconds`: what makes commits slow first.

    Cheap where nothing is due. A single compaction is not broken off, but none is begun that would take longer than is
    left. Orphans, retention and old runs are looked for once an hour.
    """
    started = time.monotonic()
    try:
        return _slice(house, budget_seconds, started)
    except OSError as error:  # a disk that is full, or may only be read: no concern of the run that calls
        return Maintained((Done("compact", "", error=str(error)),), time.monotonic() - started)


def _slice(house: OpenLake, budget_seconds: float, started: float) -> Maintained:
    folder = _folder(house)
    upkeep = _upkeep(house, thorough=False)

    def more_time() -> bool:
        upkeep.seconds = budget_seconds - (time.monotonic() - started)
        return upkeep.seconds > 0

    if not more_time():
        return Maintained()
    with _alone(folder) as mine:
        if not mine:
            return Maintained(busy=True)
        done: list[Done] = []
        for job in _little(upkeep):
            if not more_time():
                break
            done += _do(job, more_time)
        else:
            for job in _searches(upkeep):
                done += _do(job, more_time)
                if not more_time():
                    break
                _stamp(folder, job)
    return Maintained(tuple(done), time.monotonic() - started)


# -- the order of jobs -------------------------------------------------------------------------------------------------


def _thorough(upkeep: Upkeep, tables: Sequence[str]) -> Iterator[Job]:
    """Every job: what makes files and snapshots superfluous before what removes them."""
    chosen = [table for table in upkeep.context.tables.values() if not tables or table.name in tables]
    # Who reads a table first: the snapshots that it keeps decide which of the source's are needed.
    backwards = chosen[::-1]
    if upkeep.settings.bronze_retention_days and (not tables or BRONZE in tables):
        derived = [
            table for table in list(upkeep.context.tables.values())[::-1] if table.source in upkeep.context.tables
        ]
        yield from (_expire(upkeep, table, seldom=True) for table in derived)
        yield Job("retain records", BRONZE, lambda: jobs.retain_records(upkeep), seldom=True)
        yield from (_expire(upkeep, table, seldom=True) for table in chosen if table.name == BRONZE)
    if not tables or OPS_RUNS in tables:
        yield Job("prune runs", OPS_RUNS, lambda: jobs.prune_runs(upkeep), seldom=True)
    yield from (Job("compact", table.name, partial(jobs.compact, upkeep, table)) for table in chosen)
    yield from (_expire(upkeep, table) for table in backwards)
    yield from (Job("remove expired", table.name, partial(jobs.remove_expired, upkeep, table)) for table in chosen)
    for table in chosen:
        yield Job("trim metadata", table.name, partial(jobs.trim_metadata, upkeep, table), seldom=True)
        yield Job("remove orphans", table.name, partial(jobs.remove_orphans, upkeep, table), seldom=True)
    if not tables:
        yield Job("retain archive", "", lambda: jobs.retain_archive(upkeep), seldom=True)
        yield Job("clear scratch", "", lambda: jobs.clear_scratch(upkeep), seldom=True)


def _expire(upkeep: Upkeep, table: Table, *, seldom: bool = False) -> Job:
    return Job("expire", table.name, partial(jobs.expire, upkeep, table, seldom), seldom)


def _little(upkeep: Upkeep) -> Iterator[Job]:
    """The jobs of every slice, the tables with the longest history first."""

    def history(table: Table) -> int:
        iceberg = upkeep.table(table.name)
        return len(iceberg.metadata.snapshots) if iceberg is not None else 0

    tables = sorted(upkeep.context.tables.values(), key=history, reverse=True)
    for table in tables:
        yield _expire(upkeep, table)
        # Each commit leaves a metadata file, and so many commits make an expiry due.
        if table.name in upkeep.expired:
            yield Job("trim metadata", table.name, partial(jobs.trim_metadata, upkeep, table))
            yield Job("remove expired", table.name, partial(jobs.remove_expired, upkeep, table))
        yield Job("compact", table.name, partial(jobs.compact, upkeep, table))
    for table in tables:
        yield Job("remove expired", table.name, partial(jobs.remove_expired, upkeep, table))


def _searches(upkeep: Upkeep) -> Iterator[Job]:
    """The jobs of a slice that are looked for once in a while, those whose time has come."""
    now = clock_of(upkeep.folder)
    for job in _thorough(upkeep, ()):
        stamp = upkeep.folder / job.stamp
        if job.seldom and (not stamp.exists() or not 0 <= now - stamp.stat().st_mtime < _SEARCH_SECONDS):
            yield job


def _do(job: Job, more_time: MoreTime, progress: Callable[[str], None] = lambda what: None) -> Iterator[Done]:
    """Do what a job finds; what fails is said in what was done. A writer that was faster is no failure."""
    try:
        for found in job.find():
            due, started = found.due, time.monotonic()
            progress(f"{due.task} {due.table}".strip())
            try:
                done = found.do(more_time)
            except CommitRefusedError:
                done = Done(due.task, due.table, again=True)
            except Exception as error:  # noqa: BLE001  (one job's failure is no other's, and no run's)
                done = Done(due.task, due.table, error=_in_words(error))
            yield replace(done, seconds=time.monotonic() - started)
    except Exception as error:  # noqa: BLE001  (see above)
        yield Done(job.task, job.table, error=_in_words(error))


def _in_words(error: Exception) -> str:
    return str(error) if isinstance(error, CarlakeError | OSError) else f"{type(error).__name__}: {error}"


def _left_alone(upkeep: Upkeep, tables: Sequence[str]) -> Iterator[str]:
    for table in upkeep.context.tables.values():
        if tables and table.name not in tables:
            continue
        iceberg = upkeep.table(table.name)
        head = iceberg.current_snapshot() if iceberg else None
        if head is None or upkeep.own(table):
            continue
        if Bookmark.of(head) is None:
            yield f"The files of table {table.name} are left as they are: another program wrote to it, and `carlake run` puts it right first."
        else:
            yield f"The files of table {table.name} are left as they are: it was built with another definition than this process has."


# -- one process at a time ---------------------------------------------------------------------------------------------


def _upkeep(house: OpenLake, *, thorough: bool) -> Upkeep:
    return Upkeep(house, house.context(trigger="maintain"), _folder(house), thorough)


def _folder(house: OpenLake) -> Path:
    return house.lake.scratch.parent / "upkeep"


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether this process is the one that maintains the lake, for as long as the context lasts. A crash lets go of it."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(handle)


def _stamp(folder: Path, job: Job) -> None:
    (folder / job.stamp).touch()
