"""What is left of an object that nothing gives back whole: it is put into landing, as an object of its own."""

from __future__ import annotations

import xxhash

from carlake.engines.duckdb.files import quoted
from carlake.landing.archived import put_into
from carlake.landing.defects import judge
from carlake.landing.forgotten import FORGOTTEN_HASH, MARK, wrap
from carlake.landing.salvaged import salvaged_name
from carlake.landing.wholeness import READY
from carlake.refresh.context import Context
from carlake.upkeep.inspection.lake import Inspection
from carlake.upkeep.inspection.ledger import HeldObject
from carlake.upkeep.recovery.tables import Lost, Toll
from carlake.words import count


def salvage(context: Context, lake: Inspection, one: HeldObject, rows: str, landing: str) -> Toll:
    """Put what is left of an object into landing; gives where, and what is lost.

    rows  SQL that reads the data files where its rows lie
    """
    records, edited = _records(context, one.source_id, rows)
    what = f"object {one.uri} ({one.source_id})"
    if not records:
        why = "no record of it can be read, and neither the archive nor another data file has it"
        return Toll(lost=[Lost(what, why, one.source_id)])
    name = salvaged_name(one.source_id)
    longest = context.engine.max_record_bytes
    put_into(landing, name, b"".join(_line(record, longest) + b"\n" for record in records))
    if lake.settings.whole_when == "marker":
        put_into(landing, name + READY, b"")
    can = count(len(records), "record of it can be read", "records of it can be read")
    why = f"only {can}, and neither the archive nor another data file has the rest"
    if edited:
        why += f"; {count(edited, 'record is', 'records are')} not as landed, for another program changed the text"
    place = f"{landing.rstrip('/')}/{name}"
    lost = Lost(what, f"{why}; what is left was landed as {name}", one.source_id)
    return Toll(lost=[lost], land=[place], salvaged=len(records))


def _records(context: Context, source_id: str, rows: str) -> tuple[list[bytes], int]:
    """The records of an object, in their order, those as they were landed first of all; and how many are not."""
    found: dict[object, bytes] = {}
    right: set[object] = set()
    for row, raw, raw_bytes, landed in context.engine.rows(
        f"SELECT source_row, raw, raw_bytes, record_hash FROM ({rows}) "
        f"WHERE source_id = {quoted(source_id)} ORDER BY source_row"
    ):
        record = raw.encode() if isinstance(raw, str) else raw_bytes
        if landed == FORGOTTEN_HASH:
            # A file from before the erasure may have the record yet.
            found.pop(row, None)
            right.add(row)
        elif isinstance(record, bytes) and row not in right:
            found[row] = record
            if xxhash.xxh3_128_hexdigest(record) == landed:
                right.add(row)
    return list(found.values()), len(found.keys() - right)


def _line(record: bytes, max_record_bytes: int) -> bytes:
    """A record as a line that gives it back: what is no JSON object may be taken for more, or less, than one record."""
    plain = record.startswith(b"{") and not record.startswith(MARK.encode()) and b"\n" not in record
    return record if plain and judge(record, max_record_bytes) is None else wrap(record)
