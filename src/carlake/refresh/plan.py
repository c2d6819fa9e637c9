"""What a refresh will do, as plain data: made here from the tables' heads and bookmarks, executed elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.snapshots import Snapshot

from carlake.engines.manifests import is_ancestor, quiet_between
from carlake.refresh.hold import Hold
from carlake.tables.table import Table

BOOKMARK = "carlake.bookmark"

# A table that is right leaves so many snapshots unread that change nothing in its source.
_MOST_QUIET = 10
_WAITS = frozenset({"compaction"})

Why = Literal["landing", "source", "definition", "day", "foreign", "history", "asked", "held"]
"""Why a table is refreshed.

landing     objects arrived
source      the source moved on from the bookmark
definition  the table's definition changed and is adopted
day         a later day makes rows wrong
foreign     the newest snapshot carries no bookmark: another program wrote it
history     the bookmark is no ancestor of the source's newest snapshot
asked       it was asked to be made again, right or not
held        it was rolled back: nothing is done before `carlake resume`
"""


@dataclass(frozen=True)
class Bookmark:
    """What a snapshot was made from; it lies in the snapshot itself, so data and bookmark cannot disagree."""

    source: int | None
    definition: str
    day: date | None = None
    parts: Mapping[str, str] = field(default_factory=dict)

    def to_text(self) -> str:
        """As the snapshot's summary holds it."""
        day = self.day.isoformat() if self.day else None
        return json.dumps({"source": self.source, "definition": self.definition, "day": day, "parts": dict(self.parts)})

    @staticmethod
    def of(snapshot: Snapshot | None) -> Bookmark | None:
        """The bookmark that a snapshot carries, None where it carries none that can be read."""
        text = snapshot.summary.additional_properties.get(BOOKMARK) if snapshot and snapshot.summary else None
        if not text:
            return None
        try:
            mark = json.loads(text)
            day = date.fromisoformat(mark["day"]) if mark.get("day") else None
            return Bookmark(mark["source"], mark["definition"], day, mark.get("parts", {}))
        except (ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True)
class Refresh:
    """One refresh of one table.

    base        own snapshot it builds on (None: the table is empty)
    since       the source's snapshot up to which the table has read
    until       the source's snapshot it will have read
    full        every key counts as touched; all source rows are read
    day         what "today" is in the table's SELECT
    definition  the definition that will be in the bookmark
    changed     the parts of the definition that differ from the bookmark's
    blocked     true: the definition differs and is not adopted, so nothing may be done
    held        the hold that the table is under: nothing may be done before `carlake resume`
    """

    table: str
    why: Why
    base: int | None
    since: int | None
    until: int | None
    full: bool
    day: date
    definition: str
    changed: tuple[str, ...] = ()
    blocked: bool = False
    held: Hold | None = None


def head_of(iceberg: IcebergTable | None) -> int | None:
    """The snapshot that main points to; None where there is none, or no table."""
    snapshot = iceberg.current_snapshot() if iceberg else None
    return snapshot.snapshot_id if snapshot else None


def changed_parts(table: Table, mark: Bookmark) -> tuple[str, ...]:
    """The names of the parts of the definition that differ from the bookmark's, their order included."""
    now = table.parts
    names = [name for name in {**mark.parts, **now} if mark.parts.get(name) != now.get(name)]
    return tuple(names) or (("order",) if mark.definition != table.definition else ())


def plan(
    table: Table,
    own: IcebergTable | None,
    source: IcebergTable | None,
    today: date,
    *,
    asked: bool = False,
    adopt: bool = False,
    anew: bool = False,
) -> Refresh | None:
    """What `table` needs now; None where it is right already.

    own, source  the table and its source, freshly loaded; None where they are not made yet
    today        the UTC day of the refresh; it never goes back behind the bookmark's unless `asked`
    adopt        take over a definition that differs from the bookmark's (`carlake rebuild`)
    anew         make it again from its source, even if it is right (`carlake rebuild TABLE`)

    A table that is held always has a refresh, marked so: it is to be left alone.
    """
    base, until = head_of(own), head_of(source)
    mark = Bookmark.of(own.current_snapshot() if own else None)
    day = today if asked or mark is None or mark.day is None else max(today, mark.day)

    def refresh(why: Why, full: bool, since: int | None = None, **more: object) -> Refresh:
        return Refresh(table.name, why, base, since, until, full, day, table.definition, **more)  # type: ignore[arg-type]

    if base is None:
        return refresh("source", full=False) if until is not None else None
    if hold := Hold.of(own):
        return refresh("held", full=False, held=hold)
    if anew:
        changed = changed_parts(table, mark) if mark is not None and mark.definition != table.definition else ()
        return refresh("asked", full=True, changed=changed)
    if mark is None:
        return refresh("foreign", full=True)
    if mark.definition != table.definition:
        return refresh(
            "definition", full=True, since=mark.source, changed=changed_parts(table, mark), blocked=not adopt
        )
    if mark.source != until:
        if source is None or not is_ancestor(source, mark.source, until):
            return refresh("history", full=True)
        quiet = quiet_between(source, mark.source, until, _WAITS)
        # A compaction alone is no reason to commit to every table; the bookmark waits, but not out of history's reach.
        # It does not wait after a retention, since what it has read up to holds what is to go.
        if quiet is None or quiet >= _MOST_QUIET:
            return refresh("source", full=False, since=mark.source)
    if table.stale and mark.day != day:
        return refresh("day", full=False, since=mark.source)
    return None
