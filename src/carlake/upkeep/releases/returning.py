"""What a rollback has to do: where the tables are, what they were before a run, and the first step that is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.update import RemoveSnapshotRefUpdate, SetSnapshotRefUpdate, TableUpdate

from carlake.engines.manifests import ERASURE, HOLD, live_files
from carlake.engines.protocol import Staged
from carlake.engines.snapshots import stage_snapshot
from carlake.errors import CarlakeError, NotFoundError
from carlake.refresh.history import (
    DONE,
    EMPTY,
    WORK,
    History,
    Kept,
    Vector,
    derived,
    histories,
    newest_fitting,
    resolve_run,
    runs_of,
)
from carlake.refresh.hold import Hold
from carlake.refresh.plan import BOOKMARK, Bookmark
from carlake.tables.declare import BRONZE

if TYPE_CHECKING:
    from carlake.refresh.context import Context

PIN = "rollback"
"""The tag of the snapshot that a table is about to return to."""
KINDS = ("hold", "rollback", "resume")
# Behind these there is no way back: what they took out must not return.
_FINAL = (ERASURE,)


@dataclass(frozen=True)
class UndoneRun:
    """A run whose work goes, or has gone, with a rollback."""

    run: str
    at: datetime | None


@dataclass(frozen=True)
class Move:
    """What a rollback does to one table.

    head         its newest snapshot (None: it has none)
    target       the snapshot that it returns to (None: to no rows at all)
    target_run   the run that made that snapshot
    target_at    when
    rows_now, rows_then  its rows before and after
    done         nothing is to do any more: it has these rows and this bookmark
    snapshot_id  the snapshot that brought it back, where there is one
    """

    table: str
    head: int | None
    target: int | None
    target_run: str
    target_at: datetime | None
    rows_now: int
    rows_then: int
    done: bool
    snapshot_id: int | None = None


@dataclass(frozen=True)
class RollbackPlan:
    """What a rollback before `run` would do, or has done.

    moves  each table, sources first
    undoes the runs whose work goes, oldest first; `run` itself is among them if it changed any of these tables
    held   the tables that are held already
    """

    run: str
    moves: tuple[Move, ...]
    undoes: tuple[UndoneRun, ...]
    held: tuple[str, ...]

    @property
    def later(self) -> tuple[UndoneRun, ...]:
        """The other runs that go with it."""
        return tuple(undone for undone in self.undoes if undone.run != self.run)

    @property
    def done(self) -> bool:
        """Whether every table is back and held."""
        return all(move.done for move in self.moves) and len(self.held) == len(self.moves)


class Situation:
    """The tables as they are now, what a rollback before a run has still to do, and the first step of it."""

    def __init__(self, context: Context, run: str) -> None:
        self.context = context
        self.tables = context.tables
        self.names = derived(context.tables)
        self.known = histories(context.tables, context.find)
        self.run = resolve_run(self.known, run, DONE)
        self.standing = {name: self.known[name].standing() for name in self.names}
        self.holds = {name: Hold.of(self.known[name].iceberg) for name in self.names}
        target = self._target(self.run)
        if target is None:
            raise self._not_kept()
        self.target = target
        self._check()
        self.moving = False

    @property
    def plan(self) -> RollbackPlan:
        """As people see it."""
        moves = []
        for name in self.names:
            head, target = self.known[name].head, self.target[name]
            rows = _rows(self.known[name], head), _rows(self.known[name], target)
            at = None if target.id is None else target.at
            moves.append(Move(name, head.id, target.id, target.run, at, *rows, done=self._is_back(name)))
        held = tuple(name for name in self.names if self._is_held(name))
        return RollbackPlan(self.run, tuple(moves), self._undone(), held)

    def next_step(self) -> Staged | None:
        """The first commit that is missing, staged; None where all is done."""
        for name in self.names:
            if not self._is_held(name) or (not self._is_back(name) and not self._is_pinned(name)):
                hold = Hold(self.run, self._since())
                return stage(self.context, name, "hold", {HOLD: hold.to_text()}, self._pin(name))
        for name in self.names:
            if not self._is_back(name):
                self.moving = True
                return self._stage_return(name)
        return None

    def reads(self, name: str) -> int | None:
        """The snapshot of its source that a table's bookmark will name."""
        source = self.tables[name].source
        target = self.target[name].source
        assert source is not None
        # A source that was rolled back, too, is read up to the snapshot that brought it back: it has the same rows.
        return self.known[source].head.id if source in self.names else target

    def _since(self) -> datetime:
        known = [hold.since for hold in self.holds.values() if hold is not None and hold.run == self.run]
        return min(known, default=self.context.clock().astimezone(UTC))

    def _is_held(self, name: str) -> bool:
        hold = self.holds[name]
        return hold is not None and hold.run == self.run

    def _is_pinned(self, name: str) -> bool:
        iceberg, target = self.known[name].iceberg, self.target[name].id
        ref = iceberg.metadata.refs.get(PIN) if iceberg is not None else None
        return target is None or (ref is not None and ref.snapshot_id == target)

    def _pin(self, name: str) -> tuple[TableUpdate, ...]:
        target = self.target[name].id
        if target is None or self._is_back(name):
            return ()
        return (SetSnapshotRefUpdate(ref_name=PIN, type=SnapshotRefType.TAG, snapshot_id=target),)

    def _is_back(self, name: str) -> bool:
        """Whether a table has the rows of its target, and its bookmark says those of its source's target."""
        history, head, target = self.known[name], self.known[name].head, self.target[name]
        source = self.tables[name].source
        assert source is not None
        if not history.same_rows(head.id, target.id) or head.mark is None or not self._is_kept(name, head, target):
            return False
        if source in self.names:
            return self.known[source].same_rows(head.mark.source, self.target[source].id)
        return self.known[source].same_rows(head.mark.source, target.source)

    def _is_kept(self, name: str, head: Kept, target: Kept) -> bool:
        assert head.mark is not None
        return target.id is None or (target.mark is not None and head.mark.definition == target.mark.definition)

    def _before(self, name: str, kept: Kept, run: str) -> bool:
        """Whether a snapshot holds nothing of the run's doing, as far as the table itself and bronze tell."""
        own = [each.number for each in self.standing[name] if each.run == run and each.kind in WORK]
        if own and kept.number >= min(own):
            return False
        landed = [each.number for each in self.known[BRONZE].kept if each.run == run and each.kind == "land"]
        if self.tables[name].source != BRONZE or not landed or kept.source is None:
            return True
        read = self.known[BRONZE].get(kept.source)
        # What bronze does not keep any more is older than what it keeps.
        return read is None or read.number < min(landed)

    def _target(self, run: str) -> Vector | None:
        """The newest snapshots that fit together and hold nothing of the run's doing; None where none are kept, or where
        bronze's snapshot that they were made from is gone: nobody could compare them with it, or make them again.
        """
        candidates = {
            name: [kept for kept in self.standing[name] if kept.mark is not None and self._before(name, kept, run)]
            for name in self.names
        }
        target = newest_fitting(self.tables, self.known, candidates)
        return (
            target if target is not None and all(self._is_founded(name, target[name]) for name in self.names) else None
        )

    def _is_founded(self, name: str, kept: Kept) -> bool:
        bronze = self.known[BRONZE].iceberg
        if self.tables[name].source != BRONZE or kept.source is None:
            return True
        return bronze is not None and bronze.metadata.snapshot_by_id(kept.source) is not None

    def _check(self) -> None:
        for name in self.names:
            for kept in self.known[name].kept:
                if kept.kind in _FINAL and kept.number > self.target[name].number:
                    raise CarlakeError(
                        f"Table {name} cannot return to what it was before {self.run}: personal data was erased since.",
                        "Roll back a run after that.",
                    )

    def _undone(self) -> tuple[UndoneRun, ...]:
        found: dict[str, UndoneRun] = {}
        for name in self.names:
            for kept in self.standing[name]:
                if kept.number > self.target[name].number and kept.changed and kept.kind in WORK and kept.run:
                    before = found.get(kept.run)
                    at = kept.at if before is None or (before.at and kept.at and kept.at < before.at) else before.at
                    found[kept.run] = UndoneRun(kept.run, at)
        return by_time(found)

    def _not_kept(self) -> NotFoundError:
        """The refusal, with what there is left to return to."""
        what = f"What the tables were before {self.run}, or what {BRONZE} was then, is not kept any more."
        for run in runs_of(self.known, DONE)[::-1]:
            if self._target(run) is None:
                continue
            return NotFoundError(what, f"The earliest run that can be rolled back is {run}: carlake rollback {run}")
        return NotFoundError(
            what, "No run can be rolled back. `carlake rebuild --all` makes the tables again from bronze."
        )

    def _files(self, name: str) -> tuple[list[DataFile], list[DataFile]]:
        """The data files that come back to a table, and those that go."""
        iceberg = self.known[name].iceberg
        if iceberg is None:
            return [], []
        now = {file.file_path: file for file in live_files(iceberg, self.known[name].head.id)}
        then = {file.file_path: file for file in live_files(iceberg, self.target[name].id)}
        added = [file for path, file in then.items() if path not in now]
        return added, [file for path, file in now.items() if path not in then]

    def check_files(self) -> None:
        """Raise CarlakeError where a file that comes back is not there."""
        for name in self.names:
            iceberg = self.known[name].iceberg
            if iceberg is None or self._is_back(name):
                continue
            for file in self._files(name)[0]:
                if not iceberg.io.new_input(file.file_path).exists():
                    raise CarlakeError(
                        f"Table {name} cannot return to what it was before {self.run}: its file {file.file_path} is missing.",
                        "Put the file back from a copy. Nothing was changed.",
                    )

    def _stage_return(self, name: str) -> Staged:
        history, target = self.known[name], self.target[name]
        iceberg = self.context.engine.load(name)
        added, removed = self._files(name)
        mark = target.mark
        if target.id is None:
            # No snapshot was there to say by which definition; what the oldest one says is what came next.
            oldest = next((kept.mark for kept in reversed(history.kept) if kept.mark is not None), None)
            mark = replace(oldest, day=None) if oldest is not None else Bookmark(None, self.tables[name].definition)
        assert mark is not None
        hold = self.holds[name]
        properties = self.context.properties(
            self.tables[name],
            "rollback",
            replace(mark, source=self.reads(name)),
            returned_to=target.id if target.id is not None else EMPTY,
            before_run=self.run,
        )
        properties |= {HOLD: hold.to_text()} if hold is not None else {}
        staged = stage_snapshot(
            iceberg,
            name,
            added,
            removed,
            properties,
            base=history.head.id,
            rows_added=sum(file.record_count for file in added),
            rows_removed=sum(file.record_count for file in removed),
        )
        # Its files are those of an older snapshot, so a refusal must remove none of them.
        return replace(staged, updates=(*staged.updates, *unpinned(iceberg)), data_files=())


def stage(
    context: Context, name: str, kind: str, properties: Mapping[str, str], updates: Sequence[TableUpdate]
) -> Staged:
    """A snapshot that changes no row and keeps the bookmark; the table is made first where it is missing."""
    table = context.tables[name]
    iceberg = context.load(name)
    head = iceberg.current_snapshot()
    mark = Bookmark.of(head) or Bookmark(None, table.definition, None, table.parts)
    own = context.properties(table, kind, mark) | dict(properties)
    if head is not None and Bookmark.of(head) is None:
        # Another program wrote it, so nobody can say what it has read.
        own = {key: value for key, value in own.items() if key != BOOKMARK}
    base = head.snapshot_id if head else None
    staged = stage_snapshot(iceberg, name, [], [], own, base=base, rows_added=0, rows_removed=0)
    return replace(staged, updates=(*staged.updates, *updates))


def unpinned(iceberg: IcebergTable) -> tuple[TableUpdate, ...]:
    """The update that takes the tag of the snapshot to return to away, where there is one."""
    return (RemoveSnapshotRefUpdate(ref_name=PIN),) if PIN in iceberg.metadata.refs else ()


def _rows(history: History, kept: Kept) -> int:
    snapshot = history.iceberg.metadata.snapshot_by_id(kept.id) if history.iceberg and kept.id is not None else None
    summary = snapshot.summary.additional_properties if snapshot and snapshot.summary else {}
    return int(summary.get("total-records", 0))


def by_time(found: Mapping[str, UndoneRun]) -> tuple[UndoneRun, ...]:
    """Runs in the order in which they began to change the tables."""
    beginning = datetime.fromtimestamp(0, UTC)
    return tuple(sorted(found.values(), key=lambda undone: (undone.at or beginning, undone.run)))
