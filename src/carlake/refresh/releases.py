"""Releases: a snapshot of each table that fit together, under one tag, `run_<run id>`, that any engine can read.

A run tags each table in the same commit as the table's own snapshot, so the way of the events pays for no commit more.
Afterwards, off that way, `settle` looks whether the tagged snapshots fit, which they do unless another process wrote
between, and sets what is missing in commits of references alone. So a release counts when every table has the tag and
the snapshots fit; what a crash leaves before that is none, and its tags go with time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.update import RemoveSnapshotRefUpdate, SetSnapshotRefUpdate, TableUpdate

from carlake.engines.protocol import Staged
from carlake.errors import CommitRefusedError, CommitUnknownError, NotFoundError
from carlake.refresh.commit import commit
from carlake.refresh.history import (
    TAG,
    Histories,
    History,
    Kept,
    Vector,
    derived,
    fits,
    histories,
    newest_fitting,
    resolve_run,
)
from carlake.refresh.plan import head_of
from carlake.tables.table import Table

# A release that is not whole after so long is none: its run has ended long ago, or can set its tags again.
_UNFINISHED = timedelta(hours=1)
# Runs after which `settle` is due even if there was no idle moment, so that tags stay few.
_SETTLE_AFTER = 10
_NO_SNAPSHOT = -1


@dataclass(frozen=True)
class Release:
    """One release: its run, its snapshot of each table, and when the newest of them was made."""

    run: str
    vector: Vector
    at: datetime


class Releases:
    """What one process knows of the releases: which runs of its own are not settled, and which tags are to go.

    keep   so many newest releases are kept
    days   and the newest of each of so many days
    """

    def __init__(self, keep: int, days: int) -> None:
        self.keep = keep
        self.days = days
        self._unsettled: list[str] = []
        self._drop: frozenset[str] | None = None

    @property
    def due(self) -> bool:
        """Whether `settle` should not wait for an idle moment any longer."""
        return len(self._unsettled) >= _SETTLE_AFTER

    @property
    def unsettled(self) -> bool:
        """Whether runs of this process wait for `settle`."""
        return bool(self._unsettled)

    def tagged(
        self,
        staged: Staged,
        iceberg: IcebergTable,
        run: str,
        tables: Mapping[str, Table],
        find: Callable[[str], IcebergTable | None],
    ) -> Staged:
        """The same commit, with the run's tag on its snapshot, and without tags that are too old.

        Which those are is found out once in a process, with what `find` loads; then `settle` tells.
        """
        if not self.keep:
            return staged
        if self._drop is None:
            self._drop = self._too_old(histories(tables, find))
        if run not in self._unsettled:
            self._unsettled.append(run)
        refs = iceberg.metadata.refs
        updates = [_tag(run, staged.snapshot_id), *(_untag(name) for name in sorted(self._drop or ()) if name in refs)]
        return replace(staged, updates=(*staged.updates, *updates))

    def settle(
        self, catalog: Catalog, tables: Mapping[str, Table], find: Callable[[str], IcebergTable | None]
    ) -> list[str]:
        """Make the releases of this process's runs whole where their snapshots fit. Gives the runs that are releases now.

        A commit that another writer is faster than is left to the next time; a release is worth no waiting.
        """
        runs, self._unsettled = self._unsettled, []
        if not runs or not self.keep:
            return []
        known = histories(tables, find)
        made = [run for run in runs if self._made_whole(catalog, tables, known, run)]
        self._drop = self._too_old(histories(tables, find) if made else known)
        return made

    def _made_whole(self, catalog: Catalog, tables: Mapping[str, Table], known: Histories, run: str) -> bool:
        vector = _tags(known, run)
        if len(vector) < len(known) or not fits(tables, known, vector):
            wanted = {name: kept.id for name, kept in vector.items()}
            # The run's own snapshots, and of tables where it made none what stood then.
            latest = max((kept.at for kept in vector.values() if kept.at), default=None)
            candidates = {
                name: [kept for kept in known[name].kept if name in vector or latest is None or not_after(kept, latest)]
                for name in derived(tables)
            }
            first = derived(tables)[0]
            if first in vector:
                candidates[first] = [vector[first]]
            fitting = newest_fitting(tables, known, candidates, wanted)
            if fitting is None or len(fitting) < len(known) or any(kept.id is None for kept in fitting.values()):
                return False
            vector = fitting
        for name, kept in vector.items():
            iceberg = known[name].iceberg
            assert iceberg is not None
            assert kept.id is not None
            ref = iceberg.metadata.refs.get(TAG + run)
            if ref is None or ref.snapshot_id != kept.id:
                try:
                    commit_references(catalog, name, iceberg, [_tag(run, kept.id)])
                except (CommitRefusedError, CommitUnknownError):
                    return False
        return True

    def _too_old(self, known: Histories) -> frozenset[str]:
        """The tags of releases that are not to be kept, and of what has not become a release for a long time."""
        releases = whole_releases(known)
        kept = to_keep(releases, self.keep, self.days)
        whole = {release.run for release in releases}
        newest = max((r.at for r in releases), default=None)
        drop = {TAG + run for run in whole - kept}
        for history in known.values():
            for run, kept_at in _tagged(history).items():
                if run not in whole and newest and kept_at.at and kept_at.at < newest - _UNFINISHED:
                    drop.add(TAG + run)
        return frozenset(drop)


def to_keep(releases: Sequence[Release], newest: int, days: int) -> set[str]:
    """The runs whose releases are kept: so many newest ones, and the newest of each of the last days. Newest first."""
    kept = {release.run for release in releases[:newest]}
    last_of_day: dict[date, str] = {}
    for release in releases:
        if releases[0].at.date() - release.at.date() < timedelta(days=days):
            last_of_day.setdefault(release.at.date(), release.run)
    return kept | set(last_of_day.values())


def whole_releases(known: Histories, tables: Mapping[str, Table] | None = None) -> list[Release]:
    """Every run whose tag all tables have, newest first; with `tables` only those whose snapshots fit together."""
    there = [history for history in known.values() if history.kept]
    if not there:
        return []
    runs = set.intersection(*(set(_tagged(history)) for history in there))
    found = []
    for run in runs:
        vector = _tags(known, run)
        if tables is None or fits(tables, known, vector):
            times = [kept.at for kept in vector.values() if kept.at]
            found.append(Release(run, vector, max(times, default=datetime.fromtimestamp(0, UTC))))
    return sorted(found, key=lambda release: (release.at, release.run), reverse=True)


def release_of(known: Histories, tables: Mapping[str, Table], run: str) -> Vector | None:
    """The snapshot of each table at the end of a run: by its tag, else the newest that fit together; None without.

    Without a tag, a table that the run wrote counts at the run's last snapshot of it or before, another one at its last
    snapshot of that time or before.
    """
    there = {name for name, history in known.items() if history.kept}
    vector = _tags(known, run)
    if vector and set(vector) == there and fits(tables, known, vector):
        return vector
    own = {name: [k for k in history.kept if k.run == run] for name, history in known.items()}
    times = [kept.at for found in own.values() for kept in found if kept.at] + [k.at for k in vector.values() if k.at]
    if not times:
        return None
    end = max(times)
    candidates = {}
    for name in derived(tables):
        history = known[name]
        last = own[name][0].number if own[name] else None
        candidates[name] = [
            kept
            for kept in (*history.kept, *([history.get(None)] if history.whole else []))
            if kept is not None and (not_after(kept, end) if last is None else kept.number <= last)
        ]
    return newest_fitting(tables, known, candidates)


def snapshots_of_run(known: Histories, tables: Mapping[str, Table], run: str) -> dict[str, int | None]:
    """The snapshot of each table that `release_of` gives (None: it was empty), for a run as a person names it.

    Raises NotFoundError where no kept snapshot is of that run, or no kept snapshots of that time fit together.
    """
    tagged = {tag for history in known.values() for tag in _tagged(history) if run and tag.startswith(run)}
    run = next(iter(tagged)) if len(tagged) == 1 else resolve_run(known, run)
    vector = release_of(known, tables, run)
    if vector is None:
        kept = whole_releases(known, tables)
        newest = f"{', '.join(release.run for release in kept[:3])}" if kept else "none"
        raise NotFoundError(
            f"What the tables were together at the end of run {run} is not kept.", f"The newest releases: {newest}."
        )
    return {name: kept.id for name, kept in vector.items()}


def not_after(kept: Kept, moment: datetime) -> bool:
    """Whether a snapshot was there at a moment."""
    return kept.at is None or kept.at <= moment


def commit_references(catalog: Catalog, name: str, iceberg: IcebergTable, updates: Iterable[TableUpdate]) -> None:
    """Commit references alone: main stays, and must still be what it was loaded as.

    Sending such a commit twice changes nothing, so there is no snapshot to look for after a lost answer.
    Raises CommitRefusedError, CommitUnknownError.
    """
    head = head_of(iceberg)
    commit(catalog, iceberg, Staged(name, head, _NO_SNAPSHOT, tuple(updates), 0, 0))


def _tagged(history: History) -> dict[str, Kept]:
    if history.iceberg is None:
        return {}
    refs = history.iceberg.metadata.refs
    found = {name.removeprefix(TAG): history.get(ref.snapshot_id) for name, ref in refs.items() if name.startswith(TAG)}
    return {run: kept for run, kept in found.items() if kept is not None}


def _tags(known: Histories, run: str) -> Vector:
    found = {}
    for name, history in known.items():
        ref = history.iceberg.metadata.refs.get(TAG + run) if history.iceberg is not None else None
        with suppress(KeyError):
            kept = history.get(ref.snapshot_id) if ref is not None else None
            if kept is not None:
                found[name] = kept
    return found


def _tag(run: str, snapshot: int) -> TableUpdate:
    return SetSnapshotRefUpdate(ref_name=TAG + run, type=SnapshotRefType.TAG, snapshot_id=snapshot)


def _untag(name: str) -> TableUpdate:
    return RemoveSnapshotRefUpdate(ref_name=name)
