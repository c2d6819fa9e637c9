"""Objects into the archive, written anew where they hold what the lake must not: forgotten cars, personal data."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from carlake.lake import Lake
from carlake.landing.archive import Archived, archive_many
from carlake.landing.archived import is_own
from carlake.landing.forgotten import FORGOTTEN_HASH, Screen
from carlake.landing.objects import LandedObject, UnreadableError, hash_object
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
    asks = house.settings.whole_when != "settled"
    with archive_lock(house.lake, alone=False):
        context = house.context(trigger="archive")
        with context.engine.session():
            # Read under the lock: an erasure whose tombstone is not there yet will look at the archive after us.
            graves = tombstones(context)
        if mode == "delete" or not (graves.marks or context.pseudonyms):
            return archive_many(landed, house.archive, day, mode=mode, asks=asks)
        most = context.engine.max_record_bytes
        screen = Screen(context.contracts, graves, most, context.pseudonyms)

        def new_name(each: LandedObject) -> str:
            return screen.name(each.uri if context.pseudonyms else name_of(each)).rpartition("/")[2]

        def anew(objects: Sequence[tuple[LandedObject, str]]) -> list[Archived]:
            own = [pair for pair in objects if _is_own(pair[0])]
            others = [pair for pair in objects if pair not in own] if own else objects
            return [
                each
                for some, owns in ((own, True), (others, False))
                if some
                for each in archive_rewritten(
                    some, house.archive, day, screen.rewriting(partial(bool, owns)), most, new_name, asks
                )
            ]

        if context.pseudonyms is not None:
            return anew(landed)
        ids = forgotten_objects(house, {source_id for _, source_id in landed})
        apart = [pair for pair in landed if pair[1] in ids or new_name(pair[0]) != name_of(pair[0])]
        done = archive_many([pair for pair in landed if pair not in apart], house.archive, day, mode=mode, asks=asks)
        return done + anew(apart)


def _is_own(landed: LandedObject) -> bool:
    try:
        return is_own(landed.uri, partial(hash_object, landed))
    except UnreadableError:
        return False  # it cannot be archived either, which says why


def name_of(landed: LandedObject) -> str:
    """The last part of an object's uri."""
    return landed.uri.rpartition("/")[2]


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
