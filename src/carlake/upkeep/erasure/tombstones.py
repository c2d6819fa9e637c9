"""Tombstones are written before anything is erased: from then on no writer lets the car in again."""

from __future__ import annotations

from datetime import UTC

import pyarrow as pa

from carlake.engines.schemas import arrow_schema
from carlake.errors import CarlakeError, CommitRefusedError
from carlake.landing.forgotten import Tombstones, key_id
from carlake.landing.keys import make_key, read_key
from carlake.refresh.context import Context
from carlake.refresh.forgotten import KEY, tombstones
from carlake.refresh.lease import Turn
from carlake.refresh.plan import Bookmark, head_of
from carlake.refresh.refresh import publish
from carlake.tables.declare import OPS_FORGOTTEN


def bury(context: Context, car: str) -> str:
    """Write the tombstone of a car, if there is none yet. Gives it. Raises CarlakeError where that cannot be done."""
    if context.forgotten is None:
        raise CarlakeError("This lake keeps no tombstones.", "Open it by its path.")
    path = context.forgotten.key_file
    table = context.tables[OPS_FORGOTTEN]
    with context.engine.session(), Turn(context.lease_folder, OPS_FORGOTTEN) as turn:
        while True:
            base = head_of(context.load(OPS_FORGOTTEN))
            # With tombstones there, a key that is lost must not be made anew: it would no longer be theirs.
            key = make_key(path, KEY) if base is None else read_key(path, KEY)
            mark = Tombstones(key).of(car)
            if mark in tombstones(context).marks:
                return mark
            row = {
                "tombstone": mark,
                "key_id": key_id(key),
                "forgotten_at": context.clock().astimezone(UTC),
                "run_id": context.run_id,
            }
            added = context.engine.table(pa.Table.from_pylist([row], schema=arrow_schema(table.columns)))
            properties = context.properties(table, "log", Bookmark(None, table.definition, None, table.parts))
            try:
                publish(context, context.engine.stage(table, base, None, added, properties))
                return mark
            except CommitRefusedError:
                if not turn.again():
                    raise
