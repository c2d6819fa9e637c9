"""The lake as one object: all that the commands do, as a typed API that returns plain data and Arrow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from carlake.errors import ContractError
from carlake.journal import RunLines, not_written_down
from carlake.journal import folder as log_folder
from carlake.landing.listing import Listing, list_landing, list_paths
from carlake.landing.objects import LandedObject
from carlake.landing.wholeness import Wholeness, remove_markers
from carlake.look.tables import TableInfo, table_info
from carlake.mending import Mending
from carlake.opened import Clock
from carlake.refresh.adopted import plan_declaration
from carlake.refresh.circuits import Circuit
from carlake.refresh.context import Context
from carlake.refresh.plan import Refresh
from carlake.refresh.refresh import plan_table
from carlake.refresh.report import Problem, RunReport
from carlake.refresh.run import joined, run
from carlake.settings import Settings

if TYPE_CHECKING:
    from carlake.contracts.drift import Drift, Outcome
    from carlake.look.compare.comparison import Comparison
    from carlake.look.connect import Connection
    from carlake.look.trace import Trace
    from carlake.look.verify import Verification
    from carlake.upkeep.checks.doctor import Diagnosis
    from carlake.upkeep.recovery.plan import RecoveryPlan, RecoveryStep
    from carlake.upkeep.recovery.recover import Recovery

# What is due is done after a run, but no more than a person waits for.
_MAINTENANCE_SECONDS = 2.0

Progress = Callable[[str, int], None]
"""Called with a table's name and the bytes landed so far (0 for tables that land nothing)."""


@dataclass(frozen=True)
class RunPlan:
    """What a run would do now: the objects it would look at, and each table's refresh (None: it is right already).

    notes  what a person should know beside it
    """

    objects: tuple[LandedObject, ...]
    problems: tuple[Problem, ...]
    refreshes: tuple[tuple[str, Refresh | None], ...]
    notes: tuple[str, ...] = ()


class Lakehouse(Mending):
    """A lake that is open, with all that can be done with it. Close it, or use it as a context manager.

    Not for use by several threads at once; several processes may work on one lake.
    """

    # -- flow --------------------------------------------------------------------------------------------------------

    def run(
        self, paths: Sequence[str] = (), *, today: date | None = None, progress: Progress = lambda table, done: None
    ) -> RunReport:
        """Land what arrived and bring every table up to date.

        paths   files, folders, globs or object-store URIs, left where they are; without any, the lake's own landing
                folder, whose objects are archived once their rows are known to be committed
        today   the UTC day that insurance status is judged by; the clock's if None

        Raises NotFoundError for a path that does not exist. Objects that cannot be read and tables that fail are in the
        report, not raised.
        """
        listing = self._list(paths)
        report = self.take(
            listing.objects,
            problems(listing),
            passed_over=listing.passed_over,
            archive=not paths,
            today=today,
            progress=progress,
        )
        report = replace(report, notes=(*report.notes, *listing.notes))
        if self.settings.maintenance == "auto" and not report.idle:
            from carlake.upkeep.maintenance.maintain import maintain_slice

            maintain_slice(self, _MAINTENANCE_SECONDS)
        return report

    def take(
        self,
        objects: Sequence[LandedObject],
        found: Sequence[Problem] = (),
        *,
        passed_over: Sequence[str] = (),
        archive: bool = False,
        trigger: str = "run",
        today: date | None = None,
        progress: Progress = lambda table, done: None,
    ) -> RunReport:
        """Do one run over objects that were listed; without any, every table is brought up to date.

        found    what the listing could not take; passed_over: names that it did not look at
        archive  the objects lie in the lake's own landing folder, and leave it as the settings say
        trigger  what started the run: where it is `watch`, tables that keep failing are tried less often
        """
        return self._do(
            self.context(trigger=trigger, today=today),
            objects,
            found,
            passed_over=passed_over,
            archive=self._archive if archive and self.settings.after_landing != "leave" else None,
            batch_bytes=int(self.settings.batch_bytes),
            batch_files=self.settings.batch_files,
            progress=progress,
        )

    def _do(
        self, context: Context, objects: Sequence[LandedObject] = (), found: Sequence[Problem] = (), **how: Any
    ) -> RunReport:
        """Run, and write down what is done: in the log while it goes on, in ops_runs afterwards."""
        lines = RunLines(self.journal, context.run_id, context.trigger, len(objects))
        report = run(context, objects, found, told=lines.step, **how)
        # Another process may have adopted contracts and rules that are in the files by now, or a mistake was mended.
        stale = (step.status == "left" or self.declared[step.table].broken for step in report.steps)
        if any(stale) and self.reread():
            again = replace(self.context(trigger=context.trigger, today=context.today), run_id=context.run_id)
            again.engine.of_run(context.run_id)
            report = joined(report, run(again, (), told=lines.step, progress=how["progress"]))
        lines.done(report)
        return self._noted(report)

    def plan(
        self,
        paths: Sequence[str] = (),
        *,
        today: date | None = None,
        adopt: bool = False,
        anew: frozenset[str] = frozenset(),
    ) -> RunPlan:
        """What `run` (or, with `adopt`, `rebuild`; of the tables `anew`) would do now. Changes nothing.

        Raises ContractError: a mistaken rule.
        """
        if mistake := next((table.broken for table in self.declared.values() if table.broken), ""):
            raise ContractError(mistake)
        self.to_read()
        listing = self._list(paths)
        context = self.context(today=today)
        refreshes = [
            (table.name, plan_table(context, table, adopt=adopt, anew=table.name in anew))
            for table in self.declared.values()
            if table.source in self.declared
        ]
        if adopt:
            others = [table for table in self.declared.values() if table.source not in self.declared]
            plans = [(table.name, plan_declaration(context, table)) for table in others]
            refreshes = [*((name, plan) for name, plan in plans if plan is not None), *refreshes]
        return RunPlan(tuple(listing.objects), tuple(problems(listing)), tuple(refreshes), listing.notes)

    def listing(self) -> Listing:
        """What lies in the lake's own landing now, as a run would find it. Raises UnreadableError, LakeError."""
        return self._list(())

    def _list(self, paths: Sequence[str]) -> Listing:
        if paths:
            return list_paths(paths)
        listing = list_landing(self.landing)
        divided = Wholeness(self.settings.whole_when, self.settings.settle_seconds).divide(
            listing.objects, listing.passed_over
        )
        unfinished = [landed.uri for landed in divided.unfinished]
        return replace(listing, objects=divided.whole, passed_over=sorted([*listing.passed_over, *unfinished]))

    def _archive(self, landed: Sequence[tuple[LandedObject, str]]) -> list[Problem]:
        from carlake.upkeep.erasure.archiving import archive

        mode = self.settings.after_landing
        assert mode != "leave"
        day = self.clock().astimezone(UTC).date()
        done = archive(self, landed, day, mode)
        if self.settings.whole_when == "marker":
            remove_markers(item.uri for item in done if item.outcome in ("moved", "deleted"))
        return [Problem(item.uri, item.why, item.advice) for item in done if not item.ok]

    def circuits(self) -> list[Circuit]:
        """Every table whose newest try failed: how often in a row, why, and when `watch` tries it again."""
        return self._circuits.failing()

    # -- look --------------------------------------------------------------------------------------------------------

    def _known_table(self, name: str) -> str:
        from carlake.look.names import resolve_table

        return resolve_table(name, tuple(self.declared))

    def tables(self) -> list[TableInfo]:
        """Every table: rows, snapshot, bookmark."""
        return [self.table(name) for name in self.declared]

    def table(self, name: str) -> TableInfo:
        """One table, with its columns. Raises NotFoundError naming the nearest."""
        self.write_down_runs()
        self.to_read()
        return table_info(self.catalog, self.settings.namespace, self.declared, self._known_table(name))

    def query(
        self,
        sql: str,
        *,
        as_of: datetime | None = None,
        snapshot: int | None = None,
        as_of_run: str | None = None,
        timeout_seconds: float | None = None,
        note: Callable[[str], None] = lambda text: None,
    ) -> pa.Table:
        """Read any table by its bare name. The query may not write and reaches neither files nor the network.

        as_of     read every table as it was at this moment
        snapshot  read the one table that has this snapshot at it
        as_of_run read all tables as one release: as they were together at the end of this run
        note      hears what the rows do not say: that a table had no snapshot yet
        Raises QueryError, NotFoundError.
        """
        from carlake.look.query import query

        self.write_down_runs()
        self.to_read()
        return query(
            self.catalog,
            self.settings.namespace,
            self.declared,
            sql,
            as_of=as_of,
            snapshot=snapshot,
            together=self.release(as_of_run) if as_of_run is not None else None,
            timeout_seconds=timeout_seconds or self.settings.query_timeout_seconds,
            memory_limit_bytes=int(self.settings.memory_limit),
            scratch=self.lake.scratch,
            note=note,
        )

    def runs(self, run_id: str | None = None, *, limit: int = 50) -> pa.Table:
        """The newest runs, one row each; with a run id (or its beginning) its rows, one per table. Raises NotFoundError."""
        from carlake.look.runs import one_run, recent_runs

        self.write_down_runs()
        if run_id:
            return one_run(self, run_id, lambda unknown: not_written_down(log_folder(self.lake), unknown))
        return recent_runs(self, limit)

    def quarantine(self, *, reason: str | None = None, limit: int | None = None) -> pa.Table:
        """Quarantined records, newest first, with the uri each was landed from."""
        from carlake.look.quarantine import listed

        return listed(self, reason, limit)

    def quarantine_reasons(self) -> pa.Table:
        """Quarantined records by reason: count, first and last time, an example."""
        from carlake.look.quarantine import by_reason

        return by_reason(self)

    def check(self, paths: Sequence[str]) -> tuple[list[Outcome], list[tuple[str, str]]]:
        """How the records of sample files would fare, by contract and reason; and (uri, why) of what cannot be read.

        Nothing is landed. Raises NotFoundError for a path that does not exist.
        """
        from carlake.look.sample import check_sample

        return check_sample(paths, self.contracts)

    def drift(self, *, limit: int = 100_000) -> tuple[list[Drift], int]:
        """The paths in the newest landed records that no contract names; and how many records were looked at."""
        from carlake.look.sample import landed_drift

        return landed_drift(self, limit)

    def verify(self, *, deep: bool = False) -> Verification:
        """Check every table against what it is made from, each at its own bookmark; changes nothing.

        `deep` also compares every file, those of older snapshots and of the archive too, with its checksum.
        """
        from carlake.look.verify import verify

        self.to_read()
        return verify(self, deep=deep)

    def compare(self, table: str, other: str, **how: Any) -> Comparison:
        """Compare a table with another or with files, row by row, by their keys. Changes nothing.

        table  a table of the lake or of its catalog (`namespace.table`); `TABLE@RUN` is as it was at the end of a run
        other  such a table, or files: a path, folder, glob or store uri of Parquet, JSON or CSV
        how    key, columns, ignore (names); mapping (name there -> name here); tolerance of numbers; zone of times
               without one; as_of_run for the lake's tables; limit of the differences that are named (None: all)
        Raises NotFoundError for what is not there, ReadError for files that cannot be read, QueryError.
        """
        from carlake.look.compare.comparison import compare

        self.to_read()
        return compare(self, table, other, **how)

    def trace(self, key: str) -> Trace:
        """Follow an event id or a car from gold back to its files, and forward. Raises NotFoundError."""
        from carlake.look.trace import trace

        self.to_read()
        return trace(self, key)

    # -- mend --------------------------------------------------------------------------------------------------------

    @classmethod
    def doctor(
        cls,
        path: str | PathLike[str],
        settings: Settings | None = None,
        *,
        settings_file: Path | None = None,
        deep: bool = False,
        clock: Clock | None = None,
    ) -> Diagnosis:
        """Look for everything that can be wrong with a lake, also one too broken to be opened.

        settings       given, or read from `settings_file` and the lake's own
        deep           read every data file, not only what metadata says of it
        """
        from carlake.upkeep.checks.doctor import diagnose
        from carlake.upkeep.inspection.lake import Inspection

        now = clock() if clock else None
        return diagnose(Inspection(path, settings, settings_file=settings_file, deep=deep, now=now))

    @classmethod
    def plan_recovery(
        cls,
        path: str | PathLike[str],
        settings: Settings | None = None,
        *,
        settings_file: Path | None = None,
        clock: Clock | None = None,
    ) -> RecoveryPlan:
        """What `recover` would do. Reads every data file, and changes nothing."""
        from carlake.upkeep.inspection.lake import Inspection
        from carlake.upkeep.recovery.plan import plan

        now = clock() if clock else None
        return plan(Inspection(path, settings, settings_file=settings_file, deep=True, now=now))

    @classmethod
    def recover(
        cls,
        path: str | PathLike[str],
        settings: Settings | None = None,
        *,
        settings_file: Path | None = None,
        clock: Clock | None = None,
        say: Callable[[RecoveryStep], None] = lambda step: None,
        until_told: bool = False,
    ) -> Recovery:
        """Mend a lake, however broken it is; what could not be brought back is named. `say` hears each step.

        until_told  the lake keeps what was found until `Recovery.told` is called, so that it is not lost with this process
        Raises LakeError where a person has to mend something before: settings, rights, a full disk, a later format.
        """
        from carlake.upkeep.inspection.lake import Inspection
        from carlake.upkeep.recovery.recover import recover

        def look() -> Inspection:
            now = clock() if clock else None
            return Inspection(path, settings, settings_file=settings_file, deep=True, now=now)

        def open_house() -> Lakehouse:
            found = look()
            return cls.open(found.uri or found.root, settings or found.settings, clock)

        return recover(look, open_house, say, until_told=until_told)

    def connect(self, tool: str, *, as_of_run: str | None = None) -> Connection:
        """What a user pastes to read the tables from another tool, now and as of a release (the newest, or a run's).

        Raises NotFoundError for a tool or release that is not known, SettingsError for a tool that cannot read this lake.
        """
        from carlake.look.connect import connect

        self.to_read()
        return connect(self, tool, as_of_run)


def problems(listing: Listing) -> list[Problem]:
    """What a listing could not take, as a run reports it."""
    return [Problem(item.uri, item.why, item.advice) for item in listing.unreadable]
