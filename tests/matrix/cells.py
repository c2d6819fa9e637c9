"""The combinations of engine, catalog and store that the behaviour suite runs on, and how a lake of one is made.

A part is plugged in by its name here: an engine in `ENGINES`, a catalog in `_catalog`, a store in `STORES` and `Cell.lake`.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.storage.places import Places
from lakes import MODIFIED, NOON, Landed, put
from servers.shared import Servers
from servers.versitygw import ACCESS, REGION, SECRET

ENGINES = ("duckdb", "spark")
CATALOGS = ("sqlite", "postgres", "rest")
STORES = ("local", "s3")


@dataclass(frozen=True)
class Cell:
    """One combination."""

    engine: str
    catalog: str
    store: str

    def __str__(self) -> str:
        return f"{self.engine}-{self.catalog}-{self.store}"

    def lake(self, servers: Servers, folder: Path) -> CellLake:
        """An empty lake of this combination. `folder` is empty, and the lake's own."""
        settings: dict[str, Any] = {"threads": 1, "engine": self.engine, **_catalog(self.catalog, servers)}
        if self.engine == "spark":
            from spark.sessions import PROPERTIES

            settings |= {"spark_master": "local[2]", "spark_properties": PROPERTIES}
        if self.store == "local":
            return CellLake(str(folder / "lake"), settings, None)
        bucket = servers.s3.make_bucket(f"cell-{uuid.uuid4().hex[:12]}")
        options = {"endpoint": servers.s3.endpoint, "region": REGION} | {
            "access_key_id": ACCESS,
            "secret_access_key": SECRET,
        }
        settings |= {"store_properties": options, "state_folder": folder / "state"}
        if self.catalog == "sqlite":  # a file cannot lie in a store: the lake's folder is local, all else is not
            settings |= {name: f"{bucket}/{name}" for name in ("landing", "archive", "warehouse")}
            return CellLake(str(folder / "lake"), settings, Places(options), f"{bucket}/landing")
        return CellLake(f"{bucket}/lake", settings, Places(options), f"{bucket}/lake/landing")


@dataclass(frozen=True)
class CellLake:
    """A lake of a cell: where it is, its settings, and where its landing is if that is in a store."""

    place: str
    settings: dict[str, Any]
    store: Places | None
    landing: str = ""

    def open(self, at: datetime = NOON, **more: Any) -> Lakehouse:
        """Open it, and make it first if it is not there."""
        return Lakehouse.create(self.place, Settings(**self.settings | more), clock=lambda: at)

    def land(self, name: str, *records: str) -> list[Landed]:
        """Put an object of these records into its landing; gives them as the model takes them."""
        if self.store is None:
            put(Path(self.place, "landing", name), *records)
            return [(record, MODIFIED) for record in records]
        location = f"{self.landing}/{name}"
        self.store.write(location, "\n".join(records).encode())
        found = self.store.stat(location)
        assert found is not None
        modified = datetime.fromtimestamp(found.modified, UTC)
        return [(record, modified) for record in records]


def _catalog(name: str, servers: Servers) -> dict[str, Any]:
    """Settings of an empty catalog of this kind."""
    own = f"cell_{uuid.uuid4().hex[:12]}"
    if name == "postgres":
        return {"catalog": name, "catalog_uri": servers.postgres.database(own)}
    if name == "rest":
        return {"catalog": name, "catalog_uri": servers.rest.uri, "namespace": own}
    return {"catalog": name}


ALL = tuple(Cell(*parts) for parts in product(ENGINES, CATALOGS, STORES))
"""Every combination: `make test-all`."""

# Spark on SQLite and local files is what the tests of Spark itself work on; here it has a server and a store.
USUAL = (*(cell for cell in ALL if cell.engine == "duckdb"), Cell("spark", "rest", "s3"))
"""Those of `make test`: each part at least once, each pair of a catalog and a store, and Spark where it differs most."""

FLOW = "test_the_tables_are_right_whatever_lands"
"""The test that all usual combinations run."""

EACH_PART = (Cell("duckdb", "sqlite", "local"), Cell("duckdb", "postgres", "s3"), Cell("duckdb", "rest", "s3"))
"""The usual combinations that run every test: on Spark they do what the embedded engine does, and take minutes."""
