"""A lake that lies whole in an object store, for tests: how to open it, and how to put objects into its landing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.storage.places import Places
from lakes import NOON, Landed, nested
from servers.versitygw import ACCESS, REGION, SECRET


@dataclass(frozen=True)
class StoreLake:
    """Where it lies, and how it is reached. It can be given to a child process.

    folder  of this machine: the catalog's database, and what is of the machine
    """

    uri: str
    endpoint: str
    folder: Path

    @property
    def options(self) -> dict[str, str]:
        """What the setting `store_properties` holds."""
        return {
            "endpoint": self.endpoint,
            "region": REGION,
            "access_key_id": ACCESS,
            "secret_access_key": SECRET,
        }

    @property
    def places(self) -> Places:
        """Reads and writes its objects."""
        return Places(self.options)

    def settings(self, **more: Any) -> Settings:
        """Its settings."""
        own = {
            "threads": 1,
            "catalog": "sql",
            "catalog_uri": f"sqlite:///{self.folder}/catalog.db",
            "store_properties": self.options,
            "state_folder": self.folder / "state",
        }
        return Settings(**own | more)

    def open(self, at: datetime = NOON, **more: Any) -> Lakehouse:
        """The lake, made where it is not there yet."""
        return Lakehouse.create(self.uri, self.settings(**more), clock=lambda: at)

    def land(self, name: str, *records: str) -> None:
        """Put an object of these records, one a line, into its landing."""
        self.places.write(f"{self.uri}/landing/{name}", "\n".join(records).encode())

    def below(self, folder: str) -> list[str]:
        """The objects in one of its folders."""
        return sorted(found.path.removeprefix(f"{self.uri}/") for found in self.places.below(f"{self.uri}/{folder}"))

    def at(self, endpoint: str) -> StoreLake:
        """The same lake, reached by way of another server."""
        return replace(self, endpoint=endpoint)


def trip(number: int, version: int = 0, **more: Any) -> str:
    """A record of a car's trip; `version` makes it a later one of the same event."""
    at = f"2025-{number % 2 + 9:02d}-{number % 27 + 1:02d}T00:00:00Z"
    own = {"trip_distance_km": number + version, "trip_fuel_consumed_liters": 1, "current_mileage_km": 1000 + number}
    hot = {"engine_temp_celsius": 130 if (number + version) % 3 == 0 else 90}
    return nested(f"car{number % 5}", f"e{number}", at, f"2025-11-01T{version:02d}:00:00Z", **own | hot | more)


def landed(*records: str) -> list[Landed]:
    """Records as the model takes them: each says itself which version it is, so the object's time counts nothing."""
    return [(record, NOON) for record in records]
