"""One event that is landed to see whether it arrives everywhere, and is removed again so that no row of it stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from carlake.aws.deployed import open_deployed
from carlake.lakehouse import Lakehouse
from carlake.tables.declare import BRONZE, GOLD, SILVER
from carlake_aws.lake_settings import settings
from carlake_aws.names import CANARY, Names

TABLES = (BRONZE, SILVER, *GOLD)
"""Every table that the event reaches: it tells of a trip, and it speeds."""
FOLDER = "carlake-check"

Rows = dict[str, int]


@dataclass(frozen=True)
class Canary:
    """An event of a car that nobody has."""

    car: str
    at: datetime

    @classmethod
    def new(cls) -> Canary:
        """Another one each time: it may be landed while others are checked."""
        return cls(f"{CANARY}{uuid4().hex[:12].upper()}", datetime.now(UTC))

    def key(self, names: Names) -> str:
        """Where it lands."""
        return f"{names.landing}{FOLDER}/{self.car}.json"

    def uri(self, names: Names) -> str:
        """Where it lands, as bronze says it."""
        return f"s3://{names.bucket('landing')}/{self.key(names)}"

    @property
    def body(self) -> bytes:
        """The object: one nested event."""
        at = f"{self.at:%Y-%m-%dT%H:%M:%SZ}"
        block = {"extraction_timestamp": at, "source_system": FOLDER}
        telemetry = {"currentMileage": 1000.0, "fuelAvailableLiters": 40.0, "engineTempCelsius": 90.0}
        trip = {"tripMileage": 10.0, "tripTimeMinutes": 5.0, "tripFuelLiters": 1.0, "tripMaxSpeedKm": 120.0}
        event = {
            "event_id": self.car,
            "event_primary_timestamp": at,
            "processing_timestamp": at,
            "carChassis": self.car,
            "vehicle_static_info": {**block, "data": {"Manufacturer": FOLDER, "Model": FOLDER, "year": self.at.year}},
            "trip_data": {
                "trip_summary": {**block, "data": trip},
                "vehicle_telemetry_snapshot": {**block, "data": telemetry},
            },
        }
        return json.dumps(event).encode()


class Tables:
    """The lake's tables, read and written with the credentials at hand."""

    def __init__(self, house: Lakehouse, names: Names) -> None:
        self._house, self._names = house, names

    def question(self, canary: Canary) -> str:
        """How many rows each table has of it, in SQL that Athena and DuckDB both take. Raises CarlakeError."""
        car = self._house.identities(canary.car)[0]
        parts = (
            f"SELECT '{table}' AS table_name, count(*) AS row_count FROM {table} WHERE "
            + (self._landed_as(canary) if table == BRONZE else f"car_chassis = '{car}'")
            for table in TABLES
        )
        return "\nUNION ALL\n".join(parts)

    def _landed_as(self, canary: Canary) -> str:
        """How bronze's rows of it are known: by what they say, or where that is not understood, by where it landed."""
        car, uri = self._house.identities(canary.car)[0], canary.uri(self._names)
        return f"(car_chassis = '{car}' OR event_id = '{canary.car}' OR source_uri = '{uri}')"

    def rows(self, canary: Canary) -> Rows:
        """How many rows each table has of it. Raises CarlakeError."""
        found = self._house.query(self.question(canary)).to_pylist()
        return {str(row["table_name"]): int(row["row_count"]) for row in found}

    def behind(self) -> list[str]:
        """The tables that do not hold yet what their source has. Raises CarlakeError."""
        return [table for table, refresh in self._house.plan().refreshes if refresh is not None]

    @property
    def has_pseudonyms(self) -> bool:
        """Whether personal data is rewritten on the way in."""
        return self._house.pseudonyms is not None

    @property
    def stays_in_landing(self) -> bool:
        """Whether what is taken in stays where it landed."""
        return self._house.settings.after_landing == "leave"

    def remove(self, canary: Canary, s3: Any) -> None:
        """Take it out of every table, and of the archive, wherever it has come to. May be repeated.

        Raises CarlakeError, botocore's errors.
        """
        self._remove(self._landed_as(canary), s3)

    def remove_older(self, before: datetime, s3: Any) -> int:
        """Remove the events that checks before that moment have left, each a broken-off one's. Gives how many there were.

        Raises CarlakeError, botocore's errors.
        """
        bucket, folder = self._names.bucket("landing"), f"{self._names.landing}{FOLDER}/"
        found = set()
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder):
            for one in page.get("Contents", ()):
                if one["LastModified"] < before:
                    found.add(one["Key"].removeprefix(folder).removesuffix(".json"))
                    _delete(s3, bucket, one["Key"])
        moment = f"TIMESTAMPTZ '{before:%Y-%m-%d %H:%M:%S}+00'"
        theirs = f"event_id LIKE '{CANARY}%' OR source_uri LIKE '%/{FOLDER}/{CANARY}%'"
        return len(found | self._remove(f"({theirs}) AND ingested_at < {moment}", s3))

    def _remove(self, known_by: str, s3: Any) -> set[str]:
        """Take back what bronze has of this; gives the events' names."""
        columns = "source_id, source_uri, ingested_at, coalesce(event_id, source_uri) AS name"
        rows = self._house.query(f"SELECT DISTINCT {columns} FROM {BRONZE} WHERE {known_by}").to_pylist()
        for row in rows:
            self._house.withdraw(str(row["source_uri"]))
            # The listing may have archived it meanwhile, by the day on which it was taken in.
            for prefix in (f"{row['ingested_at']:%Y-%m-%d}/{row['source_id']}/", f"{row['source_id']}/"):
                _delete(s3, self._names.bucket("archive"), prefix)
        return {str(row["name"]).rpartition("/")[2].removesuffix(".json") for row in rows}

    def left(self, canary: Canary, s3: Any) -> list[str]:
        """Where something of it still is: tables, and objects that are not merely hidden."""
        places = [table for table, count in self.rows(canary).items() if count]
        for kind in ("landing", "archive"):
            bucket = self._names.bucket("landing" if kind == "landing" else "archive")
            prefix = canary.key(self._names) if kind == "landing" else f"{canary.at:%Y-%m-%d}/"
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                places += [
                    f"s3://{bucket}/{one['Key']}" for one in page.get("Contents", ()) if canary.car in one["Key"]
                ]
        return places


@contextmanager
def tables(names: Names) -> Iterator[Tables]:
    """The lake of a deployment, opened from outside with the settings that its functions have. Raises CarlakeError."""
    given, own = settings(names), names.parameters
    # Rows are taken back by the same contracts and rules that they came in by, or their tables would be left alone.
    with open_deployed(
        given["CARLAKE_LAKE"], file=own.settings_file, secret=own.pseudonym_secret, make=False, environ=given
    ) as house:
        yield Tables(house, names)


def take_back(canary: Canary, names: Names, s3: Any) -> None:
    """Take it out of landing, before anything else: what is not there is not landed again. Raises botocore's errors."""
    _delete(s3, names.bucket("landing"), canary.key(names))


def _delete(s3: Any, bucket: str, prefix: str) -> None:
    """Every version of what lies there."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for one in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]:
            s3.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])
