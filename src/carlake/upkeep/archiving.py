"""Objects into the archive, written anew where they hold what the lake must not: records of forgotten cars."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from carlake.lake import Lake
from carlake.landing.archive import Archived, archive_many
from carlake.landing.forgotten import FORGOTTEN_HASH, Screen
from carlake.landing.objects import LandedObject
from carlake.landing.rewriting import archive_rewritten
from carlake.refresh.forgotten import tombstones
from carlake.refresh.plan import head_of
from carlake.tables.declare import BRONZE

if TYPE_CHECKING:
    from carlake.lakehouse import Lakehouse


def archive(
    house: Lakehouse, landed: Sequence[tuple[LandedObject, str]], day: date, mode: Literal["move", "delete"]
) -> list[Archived]:
    """Archive or delete objects whose rows are committed; gives one `Archived` for each, in no order.

    An object of which bronze has forgotten records goes into the archive without them.
    """
    with archive_lock(house.lake, alone=False):
        context = house.context(trigger="archive")
        with context.engine.session():
            # Read under the lock: an erasure whose tombstone is not there yet will look at the archive after us.
            graves = tombstones(context)
        apart = forgotten_objects(house, {source_id for _, source_id in landed}) if graves.marks else set()
        if mode == "delete" or not apart:
            return archive_many(landed, house.lake.archive, day, mode=mode)
        screen = Screen(context.contracts, graves, context.engine.max_record_bytes)
        anew = [pair for pair in landed if pair[1] in apart]
        done = archive_many([pair for pair in landed if pair[1] not in apart], house.lake.archive, day, mode=mode)
        return done + archive_rewritten(anew, house.lake.archive, day, screen, context.engine.max_record_bytes)


@contextmanager
def archive_lock(lake: Lake, *, alone: bool) -> Iterator[None]:
    """Archiving holds this together, an erasure alone: so no object of before comes into the archive behind its back."""
    path = lake.lock.with_name("archive.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def forgotten_objects(house: Lakehouse, among: set[str] | None = None) -> set[str]:
    """The source ids of objects of which bronze has forgotten records."""
    context = house.context(trigger="archive")
    engine = context.engine
    with engine.session():
        head = head_of(context.find(BRONZE))
        if head is None:
            return set()
        keys = None if among is None else engine.table(pa.table({"source_id": pa.array(sorted(among), pa.string())}))
        rows = engine.scan(BRONZE, head, keys, None if keys is None else {"source_id": "source_id"})
        sql = f"SELECT DISTINCT source_id FROM {rows} AS b WHERE record_hash = '{FORGOTTEN_HASH}'"
        return {str(row[0]) for row in engine.rows(sql)}
