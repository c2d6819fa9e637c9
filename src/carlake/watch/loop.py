"""The loop of `carlake watch`: look at landing when there is reason to, take in what is whole, keep every table right.

A turn is: wait for a hint or for the next look; list; leave out what is still being written; take a batch (the same run that
`carlake run` does). Nothing is remembered that a listing and the tables' bookmarks do not say again, so that the process may
end at any moment, and any number of them may watch one lake.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

from carlake.journal import TROUBLE, WATCH_BEGUN, WATCH_ENDED
from carlake.lakehouse import Lakehouse
from carlake.landing.listing import is_store
from carlake.landing.objects import LandedObject
from carlake.landing.wholeness import Divided, Wholeness
from carlake.queue.sqs import Queue
from carlake.refresh.causes import cause
from carlake.refresh.context import WATCH
from carlake.refresh.report import Problem, RunReport
from carlake.tables.declare import BRONZE
from carlake.watch.arrivals import Look, arrivals
from carlake.watch.baton import Baton
from carlake.watch.figures import Figures
from carlake.watch.hints import Hints
from carlake.watch.objects import Objects
from carlake.watch.pace import Pace
from carlake.watch.presence import folder

EVENTS_LOST = "no events of the file system"

IDLE, HINDERED = "idle", "hindered"

_TICK_SECONDS = 1.0
# Events may be lost in a folder made a moment ago: after a hint there is one more look, once it is quiet.
_SECOND_LOOK_SECONDS = 0.5
_QUIET_SECONDS = 2.0
_FINISH_SECONDS = 5.0
_SOON_SECONDS = 0.1
_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 0.5, 30.0
_LOOK_SHARE = 4.0
# With another watch at the same objects, there is nothing to do but to look whether it has taken them.
_YIELD_LOOK_SECONDS, _LONGEST_YIELD_SECONDS = 0.05, 2.0
# Commits slow down with each snapshot that is kept, so there is a little maintenance under load, too.
_CHORES_AFTER_COMMITS, _CHORES_AFTER_SECONDS = 100, 60.0
_BUSY_SLICE_SECONDS, _IDLE_SLICE_SECONDS, _LAST_SLICE_SECONDS = 0.1, 0.5, 2.0
# A watch that never rests has larger files to merge, too: now and then, so that a batch seldom waits for it.
_LONG_SLICE_SECONDS, _LONG_SLICE_AFTER_SECONDS = 1.0, 60.0

Chores = Callable[[float], bool]
"""Does a slice of the maintenance that is due, for about so many seconds; whether more may be due now."""


class _BreakOff(BaseException):
    """Ends a run between two of its steps: the watch was asked to stop, and the run takes too long to be finished."""


@dataclass(frozen=True)
class Watched:
    """What a watch did until it ended.

    reason  why it ended: `idle`, `hindered: ...` (with `until_idle`), or what asked it to stop
    errors  turns of the loop that an error ended; well: at the end nothing was failing
    """

    reason: str
    seconds: float
    runs: int
    files: int
    records: int
    accepted: int
    quarantined: int
    duplicates: int
    errors: int
    well: bool


class Watch:
    """One watch of a lake. `run` works until `stop` is called, from any thread.

    prefixes             folders or stores' uris to watch in place of the lake's landing folder; what lies there stays
    max_latency_seconds  how long objects are gathered at most, the work included; None: as set
    list_seconds         how often landing is listed without any event; None: as set
    queue                tells of objects in S3 that arrive below the prefixes; landing is listed less often then
    until_idle           end once nothing waits and every table is up to date, or once an error comes a second time
    chores               maintenance, called between batches
    """

    def __init__(
        self,
        house: Lakehouse,
        prefixes: Sequence[str] = (),
        *,
        max_latency_seconds: float | None = None,
        list_seconds: float | None = None,
        until_idle: bool = False,
        chores: Chores | None = None,
        queue: Queue | None = None,
    ) -> None:
        settings = house.settings
        self.house = house
        self.prefixes = tuple(prefixes) or (house.landing,)
        self.figures = Figures([name for name, table in house.declared.items() if table.source or name == BRONZE])
        self._own = not prefixes
        self._keeps = bool(prefixes) or settings.after_landing == "leave"
        self._pace = Pace(
            settings.max_latency_seconds if max_latency_seconds is None else max_latency_seconds, settings.batch_files
        )
        # With a queue this is how often the tables are looked after; listing is dearer in a store, and less needed.
        self._list_seconds = min(
            list_seconds or settings.list_seconds, settings.list_seconds if queue else float("inf")
        )
        self._until_idle = until_idle
        self._chores = chores
        self._wholeness = Wholeness(settings.whole_when, settings.settle_seconds)
        folders = [Path(prefix) for prefix in self.prefixes if not is_store(prefix)]
        self._hints = Hints(folders, lambda why: house.journal.write("warning", EVENTS_LOST, why=why))
        every = list_seconds or settings.queue_list_seconds
        self._arrivals = arrivals(house, self.prefixes, every, queue, self.figures, self._hints.hint, until_idle)
        self._stop = threading.Event()
        self._stopped_at = 0.0
        self._reason = ""
        self._next_look = self._next_full = self._deaf_until = 0.0
        self._last_batch = self._last_chores = self._last_long = time.monotonic()
        self._commits = self._errors_in_a_row = 0
        self._baton = Baton(folder(house.lake))
        self._yielded_at: float | None = None
        self._undone = True
        self._failing = False
        self._objects = Objects()
        self._left: set[str] = set()
        self._looked_at = self._look_seconds = 0.0
        self._told: frozenset[tuple[str, str]] = frozenset()

    def stop(self, reason: str) -> None:
        """Ask it to end: a batch under way is finished if that is done soon, else broken off; neither loses anything."""
        if not self._stop.is_set():
            self._reason, self._stopped_at = reason, time.monotonic()
            self._stop.set()
            self._hints.wake()

    def run(self) -> Watched:
        """Watch until stopped. No error of landing, of a table or of the catalog ends it, but where it is to end once idle."""
        began = time.monotonic()
        journal = self.house.journal
        self._arrivals.start()
        journal.write("info", WATCH_BEGUN, lake=self.house.lake.location, prefixes=list(self.prefixes))
        self._hints.start()
        try:
            while not self._stop.is_set():
                self.figures.beat()
                try:
                    self._turn()
                except _BreakOff:
                    break
                except Exception as error:  # noqa: BLE001  (a service outlives what is wrong with disk and catalog)
                    self._hindered(error)
        finally:
            self._hints.close()
            self._arrivals.close()
        self._last_things()
        figures = self.figures
        watched = Watched(
            reason=self._reason,
            seconds=time.monotonic() - began,
            runs=sum(figures.runs.values()),
            **{name: getattr(figures, name) for name in ("files", "records", "accepted", "quarantined", "duplicates")},
            errors=figures.errors,
            well=figures.readiness()[0] and not (self._failing or self._objects.failing or self._told),
        )
        journal.write("info", WATCH_ENDED, reason=watched.reason, runs=watched.runs, files=watched.files)
        return watched

    # -- a turn ------------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        now = time.monotonic()
        self._between(now)
        hinted = self._hints.wait(min(self._next_look - now, _TICK_SECONDS))
        self.figures.hints += hinted
        now = time.monotonic()
        if hinted and now >= self._deaf_until:
            # Where a look is dear (many objects that stay), a stream of hints shall not take all the time.
            self._next_look = max(now, self._looked_at + _LOOK_SHARE * self._look_seconds)
        if now >= self._next_look and not self._stop.is_set():
            self._look(now, again=now + _SECOND_LOOK_SECONDS if hinted else None)

    def _look(self, now: float, again: float | None) -> None:
        """List, and take a batch of what may be taken."""
        full = now >= self._next_full
        unseen = self.figures.listing_error is not None
        look = self._find(now, full)
        listing = look.listing
        if unseen and look.listed:
            self._hints.restart()  # the folder may be another one of the same name
        found = self._objects.listed(listing.objects, now, whole=look.listed)
        divided = self._wholeness.divide(found, listing.passed_over)
        self._arrivals.divided(divided.unfinished, self._objects.is_taken)
        waiting = divided.whole
        ready = [landed for landed in waiting if self._objects.may_try(landed, now)]
        self.figures.looks += 1
        self._count(waiting, len(divided.unfinished))
        self._looked_at = time.monotonic()
        self._look_seconds = self._looked_at - now
        troubles = frozenset((item.uri, item.why) for item in listing.unreadable)
        news = [
            Problem(item.uri, item.why, item.advice)
            for item in listing.unreadable
            if (item.uri, item.why) not in self._told
        ]
        self._next_look = min(
            self._next_full if not full else now + self._list_seconds,
            now + divided.again_seconds if divided.again_seconds is not None else float("inf"),
            again if again is not None else float("inf"),
            self._objects.next_try(now),
        )
        if ready:
            gather = self._pace.gather_until(min(map(self._objects.seen, ready)), len(ready))
            if gather > now:
                self._next_look = self._deaf_until = gather
                return
            if self._another_takes_them(now):
                self._next_look = self._deaf_until = now + _YIELD_LOOK_SECONDS
                return
        else:
            self._yielded_at = None
        if ready or news or full or self._undone:
            self._told = troubles
            self._next_full = now + self._list_seconds
            try:
                self._take(waiting, ready, news, divided.unfinished)
            finally:
                self._baton.give_back()
            self._count([landed for landed in waiting if landed.uri in self._left], len(divided.unfinished))
        elif self._until_idle and not self._may_change(divided):
            if self._arrivals.hindered:
                self._failing = True
                self.stop(f"{HINDERED}: {self._arrivals.hindered.splitlines()[0]}")
            elif self._arrivals.may_have_more():
                self._next_look = min(self._next_look, now + _SOON_SECONDS)
            else:
                self.stop(IDLE)

    def _count(self, waiting: list[LandedObject], unfinished: int) -> None:
        """Put what waits into the figures."""
        oldest = min(map(self._objects.seen, waiting), default=None)
        self.figures.waits(len(waiting), sum(landed.size for landed in waiting), unfinished, oldest)

    def _may_change(self, divided: Divided) -> bool:
        """Whether there is still something to wait for: files being written, objects not yet tried often."""
        return self._objects.soon_tried or bool(divided.unfinished and divided.again_seconds is not None)

    def _take(
        self,
        waiting: list[LandedObject],
        ready: list[LandedObject],
        news: list[Problem],
        unfinished: list[LandedObject],
    ) -> None:
        """Take the oldest objects in, as many as a batch may have, and bring the tables up to date."""
        batch = self._pace.batch(ready, self._objects.seen, int(self.house.settings.batch_bytes))
        report = self.house.take(
            batch,
            news,
            passed_over=[landed.uri for landed in unfinished],
            archive=self._own,
            trigger=WATCH,
            progress=self._progress,
        )
        now = time.monotonic()
        left = len(ready) - len(batch)
        self._left = {landed.uri for landed in waiting} - {landed.uri for landed in batch}
        if batch:
            self._pace.done(now, report.seconds, left)
            self._last_batch = now
        self._note(report, batch, now)
        if left and self._landed(report):
            self._next_look = now

    def _note(self, report: RunReport, batch: list[LandedObject], now: float) -> None:
        """Draw from a run what the next turns need."""
        problems = {problem.uri: problem for problem in report.problems}
        troubled = problems.keys() | ({landed.uri for landed in batch} if not self._landed(report) else set())
        self._arrivals.pause(not self._landed(report))
        for landed in batch:
            problem = problems.get(landed.uri)
            if landed.uri not in troubled or (problem is not None and problem.committed):
                self._arrivals.took(landed)
            if landed.uri not in troubled:
                self._objects.took(landed, stays=self._keeps)
            elif self._objects.failed(landed, now) and problem is not None and not problem.committed:
                self._arrivals.failed(landed, problem.why)
        self._left |= troubled
        self.figures.ran(report, [self._objects.seen(landed) for landed in batch if landed.uri not in troubled])
        self._commits += sum(step.status == "succeeded" for step in report.steps)
        # A run that did something may have left something to do: another process may have written meanwhile.
        self._undone = self._until_idle and not report.idle
        if self._until_idle:
            self._next_look = now
        self._failing = report.status != "succeeded"
        circuits = self.house.circuits()
        self.figures.open_circuits = tuple(circuit.table for circuit in circuits if circuit.opened_at is not None)
        # Any other table is not there any more, or is not this process's to try: no run would move its time on.
        tried = {step.table for step in report.steps if step.status in ("failed", "waiting")}
        if times := [circuit.retry_at for circuit in circuits if circuit.table in tried]:
            soonest = min(times).astimezone(UTC)
            wait = max((soonest - self.house.clock().astimezone(UTC)).total_seconds(), 0.1)
            self._next_full = now + wait
            self._next_look = min(self._next_look, self._next_full)
        if report.status == "failed":
            self.figures.run_error = next(step.error for step in report.steps if step.status == "failed")
            # Whatever is wrong, the next run shall not inherit it.
            self.house.reopen()
        self._errors_in_a_row = 0

    def _between(self, now: float) -> None:
        """What is done between batches: maintenance, and writing down the runs that were."""
        quiet = now - self._last_batch >= _QUIET_SECONDS
        if quiet:
            self.house.write_down_runs()
            self.house.settle_releases()
        if self._chores is None:
            return
        due = self._commits >= _CHORES_AFTER_COMMITS or now - self._last_chores >= _CHORES_AFTER_SECONDS
        if self._commits and (quiet or due):
            self._last_chores = now
            if not self._chores(self._slice_seconds(now, quiet)):
                self._commits = 0

    def _slice_seconds(self, now: float, quiet: bool) -> float:
        if now - self._last_long >= _LONG_SLICE_AFTER_SECONDS:
            self._last_long = now
            return _LONG_SLICE_SECONDS
        return _IDLE_SLICE_SECONDS if quiet else _BUSY_SLICE_SECONDS

    def _last_things(self) -> None:
        """What is left to do at the end; a disk or a catalog that is not there is no reason not to end."""
        try:
            self.house.write_down_runs()
            if self._chores is not None and self._commits and self._reason == IDLE:
                self._chores(_LAST_SLICE_SECONDS)  # nothing else may ever do it, where each watch ends once it is idle
        except Exception as error:  # noqa: BLE001  (it is only said)
            self.house.journal.write("error", TROUBLE, error=cause(error))

    def _hindered(self, error: Exception) -> None:
        """Say what is wrong, and wait longer from time to time."""
        self._arrivals.pause(True)
        self.figures.errors += 1
        self._errors_in_a_row += 1
        what = cause(error)
        self.figures.run_error = what
        if self._until_idle and self._errors_in_a_row > 1:
            # Somebody waits for the end, and idle it may never be.
            self._failing = True
            self.house.journal.write("error", TROUBLE, error=what)
            self.stop(f"{HINDERED}: {what.splitlines()[0]}" if what else HINDERED)
            return
        wait = min(_FIRST_RETRY_SECONDS * 2 ** (min(self._errors_in_a_row, 20) - 1), _LONGEST_RETRY_SECONDS)
        wait *= random.uniform(0.75, 1)  # noqa: S311  (jitter, not a secret)
        self.house.journal.write("error", TROUBLE, error=what, again_seconds=round(wait, 1))
        self._next_look = self._next_full = self._deaf_until = time.monotonic() + wait
        self.house.reopen()

    # -- parts of a turn ---------------------------------------------------------------------------------------------

    def _another_takes_them(self, now: float) -> bool:
        """Whether to leave what waits to another watch, which is at it. Not for long: it may hang."""
        if self._baton.take():
            self._yielded_at = None
            return False
        self._yielded_at = self._yielded_at or now
        if now - self._yielded_at < _LONGEST_YIELD_SECONDS:
            return True
        self._yielded_at = None
        return False

    def _find(self, now: float, full: bool) -> Look:
        try:
            return self._arrivals.look(now, full=full)
        except Exception as error:
            self.figures.listing_error = cause(error)
            raise

    def _landed(self, report: RunReport) -> bool:
        """Whether bronze took what was given."""
        return all(step.status not in ("failed", "waiting") for step in report.steps if step.table == BRONZE)

    def _progress(self, table: str, done: int) -> None:
        """Called by a run between its steps."""
        self.figures.beat()
        if self._stop.is_set() and time.monotonic() - self._stopped_at > _FINISH_SECONDS:
            raise _BreakOff
