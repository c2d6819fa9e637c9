"""Following a row: from gold back to the file it came in, and from a file or a record forward to gold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyiceberg.exceptions import NoSuchTableError

from carlake.engines.duckdb.files import quoted
from carlake.errors import NotFoundError
from carlake.landing.archived import archived_as
from carlake.landing.landed import VERSION
from carlake.look.origin import origin, writers
from carlake.look.traced import Event, LandedFile, Outcome, Record, Trace, TracedRow, Written
from carlake.refresh.plan import head_of
from carlake.tables.declare import BRONZE, QUARANTINE, SILVER

if TYPE_CHECKING:
    from carlake.engines.protocol import Relation
    from carlake.lakehouse import Lakehouse

__all__ = ["Trace", "trace"]

STATE, MONTHLY, ALERTS = "gold_car_current_state", "gold_fuel_efficiency_monthly", "gold_performance_alerts_log"

_LATEST = 10
_MOST_RECORDS = 100
_UNVERSIONED = f"split_part(source_uri, {quoted(VERSION)}, 1)"
_SOURCE_ID = re.compile(r"[0-9a-f]{64}")
_NO_FILE = LandedFile("", "", None, None, datetime.min.replace(tzinfo=UTC), None, Written())


def trace(house: Lakehouse, key: str) -> Trace:
    """Follow `key` back to its files and forward to gold; changes nothing.

    key  an event id, a car's chassis number, or a landed object: its uri, path or file name, its path in the archive,
         its source_id or the first 8 or more digits of that
    Raises NotFoundError where the lake knows nothing of that name.
    """
    with house.engine.session():
        lineage = _Lineage(house)
        for found in (lineage.event(key), lineage.car(key), lineage.file(key)):
            if found is not None:
                return found
        raise lineage.unknown(key)


class _Table:
    """One table at its newest snapshot."""

    def __init__(self, house: Lakehouse, name: str) -> None:
        self.name = name
        self.engine = house.engine
        try:
            self.iceberg = house.engine.load(name)
            self.head = head_of(self.iceberg)
        except NoSuchTableError:
            self.head = None

    def rows(self, keys: Relation | None = None, on: str = "") -> Relation:
        return self.engine.scan(self.name, self.head, keys, {on: on} if keys else None, located=True)

    def select(
        self, where: str, *, columns: str = "*", keys: Relation | None = None, on: str = ""
    ) -> list[dict[str, Any]]:
        """Rows as dicts; with the default columns they have `_file`, too. `where` may go on with ORDER BY and LIMIT."""
        found: list[dict[str, Any]] = self.engine.arrow(
            f"SELECT {columns} FROM {self.rows(keys, on)} WHERE {where}"
        ).to_pylist()
        return found

    def traced(self, rows: Iterable[dict[str, Any]]) -> tuple[TracedRow, ...]:
        """Rows with the snapshots that made them."""
        identity = self.engine.tables[self.name].identity
        return tuple(
            TracedRow(self.name, {k: v for k, v in row.items() if not k.startswith("_")}, self.written(row, identity))
            for row in rows
        )

    @cached_property
    def _writers(self) -> dict[str, int | None]:
        return writers(self.iceberg, self.head)

    def written(self, row: Mapping[str, Any], columns: Sequence[str]) -> Written:
        """The snapshot that made a row, and its run, as far as they are kept; `columns` tell it from other rows."""
        writer, declared = self._writers.get(row["_file"]), self.engine.tables[self.name]
        return origin(self.engine, declared, self.iceberg, writer, row, columns)


class _Lineage:
    """The lake's tables, joined by what their rows say of where they come from."""

    def __init__(self, house: Lakehouse) -> None:
        self.house = house
        self.engine = house.engine
        self._tables: dict[str, _Table] = {}

    def table(self, name: str) -> _Table:
        return self._tables.setdefault(name, _Table(self.house, name))

    # -- what a key may be ---------------------------------------------------------------------------------------------

    def event(self, key: str) -> Trace | None:
        """The trace of an event id; the same id under two cars is two events."""
        silver = self.table(SILVER).select(f"event_id = {quoted(key)} ORDER BY car_chassis")
        events = tuple(self._event(row["car_chassis"], key, row) for row in silver)
        known = {row["car_chassis"] for row in silver}
        quarantined = self._quarantined(f"event_id = {quoted(key)}")
        # Accepted by a contract, but silver has not read it yet.
        waiting = [
            record
            for record in self._judged(self._bronze(f"event_id = {quoted(key)}"))
            if record.outcome == "pending" and record.event_id == key and record.car_chassis not in known
        ]
        for car in dict.fromkeys(record.car_chassis or "" for record in waiting):
            events += (Event(car, key, None, tuple(r for r in waiting if r.car_chassis == car)),)
        if not events and not quarantined:
            return None
        gold: list[TracedRow] = []
        for row in silver:
            gold += self._gold(row["car_chassis"], row)
        return Trace(key, "event", tuple(gold), events, quarantined=quarantined)

    def car(self, key: str) -> Trace | None:
        """The trace of a car: counts, its state, its months, its latest events."""
        keys = self._keys("car_chassis", [key])
        silver = self.table(SILVER)
        latest = silver.select(
            f"true ORDER BY event_timestamp DESC, event_id LIMIT {_LATEST}", keys=keys, on="car_chassis"
        )
        where = f"car_chassis = {quoted(key)}"
        quarantined = self._quarantined(f"{where} ORDER BY quarantined_at DESC, source_id, source_row LIMIT {_LATEST}")
        if not latest and not quarantined:
            return None
        total = silver.select(
            "true", columns="count(*) AS n, count(DISTINCT source_id) AS files", keys=keys, on="car_chassis"
        )[0]
        counts = {
            "events": total["n"],
            "files": total["files"],
            "records": self.table(BRONZE).select(where, columns="count(*) AS n")[0]["n"],
            "quarantined": self.table(QUARANTINE).select(where, columns="count(*) AS n")[0]["n"],
        }
        alerts = self.table(ALERTS).select(
            "true GROUP BY ALL ORDER BY 1", columns="alert_type, count(*) AS n", keys=keys, on="car_chassis"
        )
        counts |= {row["alert_type"]: row["n"] for row in alerts}
        files = self._files({row["source_id"] for row in latest})
        events = tuple(
            Event(
                key,
                row["event_id"],
                silver.traced([row])[0],
                (_record("current", "the newest version of its event", row, files, row["event_version"]),),
            )
            for row in latest
        )
        return Trace(key, "car", tuple(self._gold(key, None)), events, quarantined=quarantined, counts=counts)

    def file(self, key: str) -> Trace | None:
        """The trace of landed objects: their records and what became of each."""
        ids = self._source_ids(key)
        if not ids:
            return None
        files = self._files(ids)
        keys = self._keys("source_id", ids)
        bronze, silver, alerts = self.table(BRONZE), self.table(SILVER), self.table(ALERTS)
        counted = bronze.select(
            "record_hash IS NOT NULL GROUP BY source_id", columns="source_id, count(*) AS n", keys=keys, on="source_id"
        )
        per_file = {row["source_id"]: row["n"] for row in counted}
        within = f"source_id IN ({', '.join(map(quoted, ids))})"
        # An object may have a million records: all are counted, the first are followed one by one.
        first = "record_hash IS NOT NULL ORDER BY source_id, source_row LIMIT"
        records = self._judged(self._bronze(f"{first} {_MOST_RECORDS}", keys, "source_id"))
        records.sort(key=lambda record: (record.file.source_uri, record.file.source_id, record.source_row))
        own = {(r.car_chassis, r.event_id) for r in records if r.outcome == "current"}
        cars = self._keys("car_chassis", {str(car) for car, _ in own})
        found = alerts.select("true ORDER BY event_timestamp, event_id, alert_type", keys=cars, on="car_chassis")
        state = self.table(STATE)
        gold = state.traced(state.select(f"true ORDER BY 1 LIMIT {_LATEST}", keys=cars, on="car_chassis"))
        gold += alerts.traced(row for row in found if (row["car_chassis"], row["event_id"]) in own)
        events = f"(SELECT car_chassis, event_id FROM {silver.rows()} WHERE {within})"
        of_events = f"(car_chassis, event_id) IN {events}"
        counts = {
            "records": sum(per_file.values()),
            "current": silver.select(within, columns="count(*) AS n")[0]["n"],
            "quarantined": self.table(QUARANTINE).select(within, columns="count(*) AS n")[0]["n"],
            "cars": silver.select(within, columns="count(DISTINCT car_chassis) AS n")[0]["n"],
            "alerts": alerts.select(of_events, columns="count(*) AS n")[0]["n"],
        }
        return Trace(
            key,
            "file",
            gold,
            files=tuple(replace(file, records=per_file.get(source, 0)) for source, file in files.items()),
            records=tuple(records),
            counts=counts,
        )

    def unknown(self, key: str) -> NotFoundError:
        """The error for a key that is nothing here, with what begins like it."""
        near = self.table(SILVER).select(
            f"starts_with(event_id, {quoted(key)}) OR starts_with(car_chassis, {quoted(key)}) ORDER BY 1 LIMIT 3",
            columns=f"DISTINCT CASE WHEN starts_with(event_id, {quoted(key)}) THEN event_id ELSE car_chassis END AS name",
        )
        hint = f"These begin so: {', '.join(row['name'] for row in near)}. " if near and key else ""
        return NotFoundError(
            f"No event, car or landed file is known as {key!r}.",
            f"{hint}Give an event id, a car's chassis number, or the path of a landed file.",
        )

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _keys(self, column: str, values: Iterable[str]) -> Relation:
        return f"(SELECT unnest(CAST([{', '.join(map(quoted, sorted(values)))}] AS VARCHAR[])) AS {column})"

    def _event(self, car: str, event_id: str, row: dict[str, Any]) -> Event:
        """One event of silver with all the records that bronze has of it."""
        moment = quoted(row["event_timestamp"].isoformat())
        bronze = self._bronze(
            f"event_id = {quoted(event_id)}"
            # Where an event has no id of its own, its hints are its car and time.
            f" OR (event_id IS NULL AND car_chassis = {quoted(car)} AND event_timestamp = CAST({moment} AS TIMESTAMPTZ))"
            f" OR (source_id = {quoted(row['source_id'])} AND source_row = {row['source_row']})"
        )
        records = [
            r
            for r in self._judged(bronze)
            if (r.car_chassis, r.event_id) == (car, event_id) and r.outcome != "quarantined"
        ]
        return Event(car, event_id, self.table(SILVER).traced([row])[0], tuple(records))

    def _gold(self, car: str, event: Mapping[str, Any] | None) -> list[TracedRow]:
        """The rows of gold that an event is in; of the whole car where none is given, without its alerts."""
        found: list[TracedRow] = []
        wanted = {STATE: "true", MONTHLY: "true ORDER BY year_month"}
        if event is not None:
            wanted[MONTHLY] = f"year_month = '{event['event_year']}-{event['event_month']:02}'"
            wanted[ALERTS] = f"event_id = {quoted(event['event_id'])} ORDER BY alert_type"
        for name, where in wanted.items():
            table = self.table(name)
            found += table.traced(table.select(where, keys=self._keys("car_chassis", [car]), on="car_chassis"))
        return found

    def _bronze(self, where: str, keys: Relation | None = None, on: str = "") -> Relation:
        """Records of bronze, kept, so that they can be parsed."""
        return self.engine.keep(f"SELECT * FROM {self.table(BRONZE).rows(keys, on)} WHERE {where}")

    def _judged(self, bronze: Relation) -> list[Record]:
        """What became of each record, the best version of each event first, then in landed order."""
        parsed = self.engine.parse(bronze)
        accepted = self.engine.arrow(
            f"SELECT * FROM {parsed.accepted} ORDER BY car_chassis, event_id, event_version DESC, record_hash DESC, "
            "ingested_at, source_id, source_row"
        ).to_pylist()
        refused = self.engine.arrow(f"SELECT * FROM {parsed.quarantined} ORDER BY source_id, source_row").to_pylist()
        files = self._files({row["source_id"] for row in (*accepted, *refused)})
        silver = self._current(accepted)
        records: list[Record] = []
        for row in accepted:
            key = (row["car_chassis"], row["event_id"])
            outcome, why = _outcome(row, silver.get(key))
            records.append(_record(outcome, why, row, files, row["event_version"]))
        for row in refused:
            why = f"{row['reason']}: {row['detail'] or 'no detail'}"
            records.append(_record("quarantined", why, row, files, None))
        return records

    def _current(self, accepted: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
        """The rows that silver has of these records' events."""
        cars = {row["car_chassis"] for row in accepted}
        if not cars:
            return {}
        events = ", ".join(sorted({quoted(row["event_id"]) for row in accepted}))
        rows = self.table(SILVER).select(
            f"event_id IN ({events})",
            columns="car_chassis, event_id, event_version, record_hash, source_id, source_row",
            keys=self._keys("car_chassis", cars),
            on="car_chassis",
        )
        return {(row["car_chassis"], row["event_id"]): row for row in rows}

    def _quarantined(self, where: str) -> tuple[Record, ...]:
        rows = self.table(QUARANTINE).select(where)
        files = self._files({row["source_id"] for row in rows})
        return tuple(
            _record("quarantined", f"{row['reason']}: {row['detail'] or 'no detail'}", row, files, None) for row in rows
        )

    def _files(self, ids: Iterable[str]) -> dict[str, LandedFile]:
        """The landed objects by source id."""
        wanted = sorted(set(ids))
        if not wanted:
            return {}
        table = self.table(BRONZE)
        rows = table.select(
            "true GROUP BY source_id ORDER BY 2",
            columns="source_id, any_value(source_uri) AS source_uri, any_value(source_size) AS source_size, "
            "any_value(source_modified_at) AS source_modified_at, any_value(ingested_at) AS ingested_at, any_value(_file) AS _file",
            keys=self._keys("source_id", wanted),
            on="source_id",
        )
        return {
            row["source_id"]: LandedFile(
                source_uri=row["source_uri"],
                source_id=row["source_id"],
                source_size=row["source_size"],
                source_modified_at=row["source_modified_at"],
                ingested_at=row["ingested_at"],
                archived=self._archived(row["source_id"], row["ingested_at"]),
                written=table.written(row, ("source_id",)),
            )
            for row in rows
        }

    def _archived(self, source_id: str, ingested_at: datetime) -> str | None:
        """Where the object lies in the archive: `archive/<day ingested>/<source_id>/<name>`."""
        found = archived_as(self.house.archive, source_id, ingested_at.astimezone(UTC).date())
        return found.uri if found is not None else None

    def _source_ids(self, key: str) -> list[str]:
        """The objects that a person means by a uri, path, file name or source id."""
        if not key:
            return []
        names = {key, str(Path(key).expanduser().absolute())}
        where = [
            f"{uri} IN ({', '.join(map(quoted, sorted(names)))}) OR ends_with({uri}, {quoted('/' + key)})"
            for uri in ("source_uri", _UNVERSIONED)
        ]
        if re.fullmatch(r"[0-9a-f]{8,64}", key):
            where.append(f"starts_with(source_id, {quoted(key)})")
        if inside := _SOURCE_ID.search(key):
            where.append(f"source_id = {quoted(inside.group())}")
        rows = self.table(BRONZE).select(" OR ".join(where) + " ORDER BY 1", columns="DISTINCT source_id")
        return [row["source_id"] for row in rows]


def _outcome(row: Mapping[str, Any], current: Mapping[str, Any] | None) -> tuple[Outcome, str]:
    """What became of an accepted record, seen from silver's row of its event."""
    if current is None:
        return "pending", "accepted, but silver has not read it yet"
    if (row["source_id"], row["source_row"]) == (current["source_id"], current["source_row"]):
        return "current", f"the newest version of its event ({row['event_version'].isoformat()})"
    version, newest = row["event_version"], current["event_version"]
    if (version, row["record_hash"]) > (newest, current["record_hash"]):
        return "pending", "newer than silver's row, which has not read it yet"
    if (version, row["record_hash"]) == (newest, current["record_hash"]):
        return "duplicate", "says the same as the current record, which was landed before it"
    if version == newest:
        return "superseded", f"of the same version ({version.isoformat()}) and the smaller record_hash"
    return "superseded", f"its version {version.isoformat()} is older than {newest.isoformat()}"


def _record(
    outcome: Outcome, why: str, row: Mapping[str, Any], files: Mapping[str, LandedFile], version: datetime | None
) -> Record:
    return Record(
        outcome=outcome,
        why=why,
        file=files.get(row["source_id"], replace(_NO_FILE, source_id=row["source_id"])),
        source_row=row["source_row"],
        event_id=row["event_id"],
        car_chassis=row["car_chassis"],
        event_version=version,
        record_hash=row.get("record_hash"),
        contract=row["contract"],
    )
