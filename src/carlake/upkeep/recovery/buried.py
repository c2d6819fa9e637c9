"""The table of forgotten cars made whole: it is made from no other, and without it these cars would be let in again."""

from __future__ import annotations

from collections.abc import Callable

from carlake.engines.snapshots import total_records
from carlake.refresh.context import Context
from carlake.refresh.plan import Bookmark
from carlake.tables.declare import OPS_FORGOTTEN
from carlake.upkeep.inspection.graves import buried
from carlake.upkeep.inspection.lake import Inspection
from carlake.upkeep.recovery.tables import Lost, Toll, publish_afresh, write_rows
from carlake.words import count


def bury_again(context: Context, lake: Inspection, toll: Toll, note: Callable[[Toll], object]) -> None:
    """A snapshot of every tombstone that a readable data file holds; adds what is lost to `toll`, and tells `note` before.

    Raises CommitRefusedError when main moved meanwhile.
    """
    table = context.tables[OPS_FORGOTTEN]
    rows = buried(lake)
    context.load(OPS_FORGOTTEN)  # made first where it is gone
    files = write_rows(context, table, context.engine.table(rows)) if rows.num_rows else []
    told = total_records(lake.newest(OPS_FORGOTTEN)) or 0
    if told > rows.num_rows:
        why = "no file has them any more: forget these cars again, or their records are let in"
        toll.lost.append(Lost(f"{count(told - rows.num_rows, 'row')} of {OPS_FORGOTTEN}", why))
    note(toll)
    publish_afresh(context, table, files, Bookmark(None, table.definition, None, table.parts), lake.head(OPS_FORGOTTEN))
