"""A contract was added: only the records that no contract recognised are tried again, not all of history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from carlake.engines.manifests import ancestry, is_ancestor
from carlake.engines.protocol import Changed, Relation
from carlake.refresh.plan import Bookmark, Refresh
from carlake.tables.declare import BRONZE, QUARANTINE
from carlake.tables.table import Table

if TYPE_CHECKING:
    from carlake.refresh.context import Context

_CONTRACT = "contract "
# The reason of records that no contract recognised; any other record already belongs to a contract.
_UNRECOGNISED = "unknown_shape"


@dataclass(frozen=True)
class Candidates:
    """Records to try again: those of quarantine's snapshot, and what bronze gained after `since`."""

    quarantine_snapshot: int
    since: int | None


def candidates(context: Context, table: Table, refresh: Refresh) -> Candidates | None:
    """Where the records to try again are, if all that changed is that contracts were added behind the others.

    The candidates come from the newest quarantine snapshot that was made by the contracts the table was made by: after
    a crash between silver and quarantine that is one from before, so nothing is lost. None where all of history has to
    be read: another change, or no such snapshot.
    """
    own = context.engine.load(table.name)
    mark = Bookmark.of(own.current_snapshot())
    if not table.parses or mark is None or not mark.parts:
        return None
    new = set(refresh.changed) - {"added columns"}
    if not new or any(not name.startswith(_CONTRACT) or name in mark.parts for name in new):
        return None
    quarantine = context.find(QUARANTINE)
    bronze = context.engine.load(BRONZE)
    head = quarantine.current_snapshot() if quarantine else None
    if quarantine is None or head is None:
        return None
    for snapshot in ancestry(quarantine, head.snapshot_id):
        tried = Bookmark.of(snapshot)
        if tried is not None and _contracts(tried) == _contracts(mark):
            known = [since for since in (mark.source, tried.source) if is_ancestor(bronze, since, refresh.until)]
            if len(known) < 2:
                return None
            older = mark.source if is_ancestor(bronze, mark.source, tried.source) else tried.source
            return Candidates(snapshot.snapshot_id, older)
    return None


def _contracts(mark: Bookmark) -> dict[str, str]:
    judged = ("max_record_bytes", "fields")
    return {name: part for name, part in mark.parts.items() if name.startswith(_CONTRACT) or name in judged}


def changes(context: Context, table: Table, refresh: Refresh, found: Candidates) -> Changed | None:
    """The change of the table's source that trying the candidates again amounts to; None without a history."""
    engine = context.engine
    later = engine.diff(BRONZE, found.since, refresh.until)
    if later is None or later.rows_gone:
        return None
    quarantined = engine.scan(QUARANTINE, found.quarantine_snapshot)
    keys = engine.keep(
        f"SELECT source_id, source_row FROM {quarantined} AS q WHERE contract IS NULL AND reason = '{_UNRECOGNISED}'"
    )
    on = {"source_id": "source_id", "source_row": "source_row"}
    records: Relation = engine.scan(BRONZE, refresh.until, keys, on)
    # A record may be among the candidates and among the later ones; it is tried once.
    tried = engine.view(f"SELECT * FROM {records} AS c UNION SELECT * FROM {later.added} AS l")
    key = (found.quarantine_snapshot, refresh.until)
    parsed = context.parsed.get(key) or engine.parse(tried)
    context.parsed[key] = parsed
    if table.parses == "accepted":
        return Changed(
            parsed.accepted, engine.view(f"SELECT * FROM {parsed.accepted} WHERE false"), parsed.rows_accepted, 0
        )
    # Each candidate leaves quarantine, unless it is refused again, perhaps for another reason.
    return Changed(parsed.quarantined, keys, parsed.rows_quarantined, engine.count(keys), complete=True)
