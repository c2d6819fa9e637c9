"""The tombstones as a writer sees them. Exactness rests on one order: a writer reads its base first, then these.

An erasure commits its tombstone first and then to every table. So a writer that has read no tombstone of a car either
commits before the erasure, which then finds its rows, or is refused, and reads the tombstones again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from carlake.engines.manifests import ancestry
from carlake.errors import DefinitionChangedError, SettingsError
from carlake.landing.forgotten import Tombstones, key_id
from carlake.landing.keys import read_key
from carlake.refresh.plan import Bookmark, head_of
from carlake.tables.declare import BRONZE, OPS_FORGOTTEN
from carlake.words import count

if TYPE_CHECKING:
    from carlake.engines.protocol import Relation
    from carlake.refresh.context import Context
    from carlake.tables.table import Table

KEY = "tombstone key"
PSEUDONYMS = "pseudonyms"
"""The part of a definition that says under which key cars are pseudonyms."""


class ForgottenCars:
    """Reads the lake's tombstones, again only where their table has moved."""

    def __init__(self, key_file: Path) -> None:
        self.key_file = key_file
        self._read: tuple[int, Tombstones] | None = None

    def now(self, context: Context) -> Tombstones:
        """All tombstones of this moment. Raises SettingsError where there are some and their key is not at hand."""
        iceberg = context.find(OPS_FORGOTTEN)
        head = head_of(iceberg)
        if head is None:
            return Tombstones()
        if self._read is None or self._read[0] != head:
            key = read_key(self.key_file, KEY)
            rows = context.engine.rows(f"SELECT tombstone, key_id FROM {context.engine.scan(OPS_FORGOTTEN, head)}")
            if foreign := [row for row in rows if row[1] != key_id(key)]:
                raise SettingsError(
                    f"{self.key_file} is not the key that {len(foreign)} of the lake's tombstones were made with.",
                    "Put the lake's own key back; with another one, records of forgotten cars would be let in again.",
                )
            self._read = (head, Tombstones(key, frozenset(str(row[0]) for row in rows)))
        return self._read[1]


def one_writing(context: Context, base: int | None) -> None:
    """Raise DefinitionChangedError where this process would write cars otherwise than bronze has them: in clear among
    pseudonyms, as pseudonyms among clear names, or under another key. `base` is bronze's snapshot that was just read.
    """
    if base is None:
        return
    iceberg = context.engine.load(BRONZE)
    mark = Bookmark.of(iceberg.metadata.snapshot_by_id(base))
    if mark is None:  # another program wrote it
        mark = next((mark for mark in map(Bookmark.of, ancestry(iceberg, base)) if mark is not None), None)
    own = context.tables[BRONZE].parts.get(PSEUDONYMS)
    there = mark.parts.get(PSEUDONYMS) if mark is not None else own
    if own == there:
        return
    if own is None:
        what, advice = (
            "holds pseudonyms, and this process has no key for them",
            "Set pseudonym_key_file to the key's file.",
        )
    elif there is None:
        what = "holds personal data in clear, and this process is to land pseudonyms"
        advice = "Make a new lake with pseudonym_key_file set, and land this one's archive in it: carlake run ARCHIVE --lake NEW"
    else:
        what, advice = "holds pseudonyms of another key", "Set pseudonym_key_file to the file of the lake's own key."
    raise DefinitionChangedError(f"Table {BRONZE} {what}. Nothing was written.", advice)


def no_clear_values(context: Context, table: Table, rows: Relation | None) -> None:
    """Raise DefinitionChangedError where rows for silver have personal data in clear, in a lake of pseudonyms: a column that
    became personal after its records had landed.
    """
    if rows is None or PSEUDONYMS not in table.parts:
        return
    personal = [column.name for column in table.columns if column.personal and column.type == "string"]
    counts = ", ".join(f"count(*) FILTER (NOT regexp_matches({name}, '^(p_[0-9a-f]{{40}})?$'))" for name in personal)
    (found,) = context.engine.rows(f"SELECT {counts} FROM {rows} AS s")
    clear = {name: int(str(number)) for name, number in zip(personal, found, strict=True) if number}
    if clear:
        which = ", ".join(f"{name} ({count(number, 'row')})" for name, number in clear.items())
        raise DefinitionChangedError(
            f"In a lake of pseudonyms {table.name} would have personal data in clear, of records that landed before their "
            f"contract said so: {which}.",
            "It was left as it is. `carlake rebuild --all --from archive` makes pseudonyms of it in bronze, as far as the "
            "archive goes, which itself keeps it in clear; or do not declare it as personal.",
        )


def tombstones(context: Context) -> Tombstones:
    """The tombstones of this moment; none where the lake keeps none."""
    return context.forgotten.now(context) if context.forgotten is not None else Tombstones()
