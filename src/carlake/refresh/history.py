"""What is kept of the tables' histories, and which snapshots of several tables fit together.

Snapshots fit where between a table's bookmark and the source's snapshot beside it lies no row change. To tell that
without reading a manifest, the snapshots of a table are numbered by the rows they hold (`Kept.rows`): a snapshot that
changes no row has the number of the one before it, and a rollback has the number of the snapshot that it returned to.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.snapshots import Snapshot

from carlake.engines.manifests import KIND, QUIET_KINDS, ancestry
from carlake.errors import NotFoundError
from carlake.refresh.plan import Bookmark
from carlake.tables.declare import BRONZE
from carlake.tables.table import Table

RUN = "carlake.run-id"
RETURNED_TO = "carlake.returned-to"
"""Summary key of a rollback's snapshot: the snapshot whose rows it has, or `EMPTY`."""
EMPTY = "empty"
TAG = "run_"
"""How the tags of releases begin; the run's id follows."""

WORK = ("refresh", "rebuild")
"""The kinds of snapshots that do a run's work on a table that is made from another."""
DONE = (*WORK, "land")
"""The kinds of snapshots that a rollback can undo, or keep from being read."""
_NAMED = (*DONE, "rollback", "resume")
_FILES = ("added-data-files", "deleted-data-files", "added-delete-files", "removed-delete-files")


@dataclass(frozen=True)
class Kept:
    """One snapshot of a table that is kept; or the table before its first one (`id` None).

    number   its sequence number: of two snapshots of main the later has the greater
    rows     equal for two snapshots of the table that hold the same rows
    changed  whether it changed rows
    """

    id: int | None
    number: int
    rows: int
    changed: bool
    run: str = ""
    kind: str = ""
    at: datetime | None = None
    mark: Bookmark | None = None
    returned_to: str = ""

    @property
    def source(self) -> int | None:
        """The source's snapshot that it has read up to."""
        return self.mark.source if self.mark else None


class History:
    """The snapshots of one table, newest first: main's line, and older ones that tags keep.

    whole  whether it goes back to the table's first snapshot
    """

    def __init__(self, name: str, iceberg: IcebergTable | None) -> None:
        self.name = name
        self.iceberg = iceberg
        self.whole = True
        self.kept: Sequence[Kept] = self._read(iceberg) if iceberg is not None else ()
        self._by_id: dict[int | None, Kept] = {each.id: each for each in self.kept}

    @property
    def head(self) -> Kept:
        """The newest snapshot."""
        return self.kept[0] if self.kept else _NOTHING

    def get(self, snapshot: int | None) -> Kept | None:
        """A snapshot by its id; the table before its first one by None, where the history goes so far back."""
        if snapshot is None:
            return _NOTHING if self.whole else None
        return self._by_id.get(snapshot)

    def same_rows(self, one: int | None, other: int | None) -> bool:
        """Whether two snapshots hold the same rows, as far as that is known."""
        if one == other:
            return True
        first, second = self.get(one), self.get(other)
        return first is not None and second is not None and first.rows == second.rows

    def standing(self) -> tuple[Kept, ...]:
        """The snapshots whose work stands, newest first: what a rollback undid is left out."""
        found: list[Kept] = []
        wanted = ""
        for kept in self.kept:
            if wanted and str(kept.id) != wanted:
                continue
            found.append(kept)
            wanted = kept.returned_to
        return (*found, _NOTHING) if self.whole and wanted in ("", EMPTY) else tuple(found)

    def _read(self, iceberg: IcebergTable) -> list[Kept]:
        head = iceberg.current_snapshot()
        line = ancestry(iceberg, head.snapshot_id if head else None)
        ids = {snapshot.snapshot_id for snapshot in line}
        tagged = {ref.snapshot_id for name, ref in iceberg.metadata.refs.items() if name.startswith(TAG)} - ids
        older = [s for s in map(iceberg.metadata.snapshot_by_id, sorted(tagged)) if s is not None]
        snapshots = sorted([*line, *older], key=lambda s: s.sequence_number or 0)
        kept: list[Kept] = []
        before: int | None = None
        rows, at = 0, {EMPTY: 0}
        for snapshot in snapshots:
            changed = _changes_rows(snapshot)
            properties = snapshot.summary.additional_properties if snapshot.summary else {}
            returned_to = str(properties.get(RETURNED_TO, ""))
            # What lies in a gap of the history may have changed anything. Expiry forgets parents, too: only the first
            # sequence number tells that a line goes back to the beginning.
            gap = snapshot.parent_snapshot_id != before or (before is None and snapshot.sequence_number != 1)
            before = snapshot.snapshot_id
            self.whole = self.whole and not gap
            if returned_to in at and not (returned_to == EMPTY and not self.whole):
                rows = at[returned_to]
            elif changed or gap:
                rows = len(at)
            at[str(snapshot.snapshot_id)] = rows
            kept.append(
                Kept(
                    id=snapshot.snapshot_id,
                    number=snapshot.sequence_number or 0,
                    rows=rows,
                    changed=changed,
                    run=str(properties.get(RUN, "")),
                    kind=str(properties.get(KIND, "")),
                    at=datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC),
                    mark=Bookmark.of(snapshot),
                    returned_to=returned_to,
                )
            )
        return kept[::-1]


_NOTHING = Kept(None, 0, 0, changed=False, mark=Bookmark(None, ""))

Histories = Mapping[str, History]
Vector = dict[str, Kept]
"""A snapshot of each table."""


def resolve_run(known: Histories, run: str, kinds: Collection[str] = _NAMED) -> str:
    """The run that is meant by its id, the beginning of it that no other run has, or `last`. Raises NotFoundError."""
    runs = runs_of(known, kinds)
    if run == "last" and runs:
        return runs[0]
    meant = [run] if run in runs else [each for each in runs if run and each.startswith(run)]
    if len(meant) == 1:
        return meant[0]
    if meant:
        some = ", ".join(meant[:5]) + (", ..." if len(meant) > 5 else "")
        raise NotFoundError(f"{len(meant)} runs begin with {run!r}: {some}.", "Give more of the id.")
    newest = f" The newest: {', '.join(runs[:3])}." if runs else ""
    raise NotFoundError(
        f"No snapshot that is kept was made by a run {run!r}.",
        f"A run that changed nothing has none, and old ones are removed.{newest} `carlake runs` lists runs.",
    )


def runs_of(known: Histories, kinds: Collection[str] = _NAMED) -> list[str]:
    """The runs that made snapshots or releases that are kept, newest first."""
    found: dict[str, datetime] = {}
    for history in known.values():
        for kept in history.kept:
            if kept.run and kept.kind in kinds and kept.at is not None:
                found[kept.run] = max(kept.at, found.get(kept.run, kept.at))
    return sorted(found, key=lambda run: (found[run], run), reverse=True)


def histories(tables: Mapping[str, Table], find: Callable[[str], IcebergTable | None]) -> dict[str, History]:
    """The histories of all tables that a release has: all but those that nothing feeds. `find` loads a table."""
    return {name: History(name, find(name)) for name, table in tables.items() if table.source is not None}


def derived(tables: Mapping[str, Table]) -> list[str]:
    """The tables that are made from other tables, sources first."""
    return [name for name, table in tables.items() if table.source in tables]


def fits(tables: Mapping[str, Table], known: Histories, vector: Mapping[str, Kept]) -> bool:
    """Whether the snapshots fit together: each table's bookmark says the rows of the source's snapshot beside it."""
    for name in derived(tables):
        source = tables[name].source
        assert source is not None
        if name in vector and source in vector:
            mark = vector[name].mark
            if mark is None or not known[source].same_rows(mark.source, vector[source].id):
                return False
    return True


def newest_fitting(
    tables: Mapping[str, Table],
    known: Histories,
    candidates: Mapping[str, Sequence[Kept]],
    wanted: Mapping[str, int | None] | None = None,
) -> Vector | None:
    """The newest snapshots that fit together: of each derived table one of its candidates (newest first), of bronze the one they have read.

    wanted  snapshots that are taken first where they fit
    The first derived table leads: its newest candidate that the others can follow is taken.
    """
    first, *others = derived(tables)
    for leading in _preferred(candidates[first], (wanted or {}).get(first, 0)):
        if leading.mark is None:
            continue
        vector = {first: leading}
        for name in others:
            found = next(
                (
                    kept
                    for kept in _preferred(candidates[name], (wanted or {}).get(name, 0))
                    if kept.mark is not None and _follows(tables, known, vector, name, kept)
                ),
                None,
            )
            if found is None:
                break
            vector[name] = found
        else:
            read = _read_bronze(known[BRONZE], leading, (wanted or {}).get(BRONZE, 0))
            return {BRONZE: read, **vector} if read is not None else vector
    return None


def _follows(tables: Mapping[str, Table], known: Histories, vector: Vector, name: str, kept: Kept) -> bool:
    """Whether a snapshot of a table fits to what is chosen of its source, or has read the same as its siblings."""
    source = tables[name].source
    assert source is not None
    beside = vector[source].id if source in vector else next(iter(vector.values())).source
    return known[source].same_rows(kept.source, beside)


def _read_bronze(bronze: History, leading: Kept, wanted: int | None) -> Kept | None:
    if wanted and bronze.same_rows(wanted, leading.source):
        return bronze.get(wanted)
    return bronze.get(leading.source)


def _preferred(candidates: Sequence[Kept], wanted: int | None) -> Iterator[Kept]:
    yield from (kept for kept in candidates if wanted and kept.id == wanted)
    yield from candidates


def _changes_rows(snapshot: Snapshot) -> bool:
    if snapshot.summary is None:
        return True
    properties = snapshot.summary.additional_properties
    if properties.get(KIND) in QUIET_KINDS:
        return False
    return KIND not in properties or any(int(properties.get(name, 0)) for name in _FILES)
