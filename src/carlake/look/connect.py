"""How other tools read the tables: what a person pastes, with this lake's own paths. Nothing of it needs carlake."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pyiceberg.exceptions import NoSuchTableError

from carlake.catalogs import CATALOG_NAME, sqlite_uri, warehouse_location
from carlake.engines.duckdb_files import local_path, quoted
from carlake.errors import NotFoundError, SettingsError
from carlake.look.names import did_you_mean

if TYPE_CHECKING:
    from carlake.lakehouse import Lakehouse

ICEBERG_SPARK = "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0"
SQLITE_JDBC = "org.xerial:sqlite-jdbc:3.54.1.0"


def connect(house: Lakehouse, tool: str) -> str:
    """The text that connects a tool to this lake's tables; it ends in a line break.

    tool  pyiceberg or polars (Python), duckdb (SQL), spark (shell), trino (a catalog's properties file)
    Raises NotFoundError for another tool, SettingsError where the lake's catalog is not its own `catalog.db`.
    """
    name = tool.strip().lower()
    if name not in TOOLS:
        hint = did_you_mean(name, TOOLS)
        raise NotFoundError(
            f"carlake does not know how {tool!r} connects.", f"{hint} Tools: {', '.join(TOOLS)}.".strip()
        )
    if house.settings.catalog != "sqlite" and name != "duckdb":
        raise SettingsError(
            f"The lake's catalog is of type {house.settings.catalog!r}, not its own catalog.db.",
            f"Give {name} the same catalog as the settings do: catalog, catalog_uri and catalog_properties.",
        )
    # So that ops_runs is there for others, too.
    house.write_down_runs()
    return "\n".join(TOOLS[name](house)) + "\n"


def _catalog(house: Lakehouse) -> Iterator[str]:
    yield "from pyiceberg.catalog.sql import SqlCatalog"
    yield ""
    yield "catalog = SqlCatalog("
    yield f"    {_text(CATALOG_NAME)},"
    yield f"    uri={_text(sqlite_uri(house.lake))},"
    yield f"    warehouse={_text(warehouse_location(house.lake))},"
    yield '    init_catalog_tables="false",'
    yield ")"


def _pyiceberg(house: Lakehouse) -> Iterator[str]:
    namespace = house.settings.namespace
    yield '# Python: pip install "pyiceberg[sql-sqlite,pyarrow]"'
    yield from _catalog(house)
    yield f"for identifier in sorted(catalog.list_tables({_text(namespace)})):"
    yield '    print(".".join(identifier), catalog.load_table(identifier).scan().count())'
    yield ""
    yield f"cars = catalog.load_table({_text(f'{namespace}.gold_car_current_state')}).scan().to_arrow()"


def _polars(house: Lakehouse) -> Iterator[str]:
    namespace = house.settings.namespace
    yield '# Python: pip install polars "pyiceberg[sql-sqlite,pyarrow]"'
    yield "import os"
    yield ""
    yield "import polars as pl"
    yield from _catalog(house)
    yield ""
    yield "# polars warns where its own planner of scans is not installed; PyIceberg plans them as well."
    yield 'os.environ.setdefault("POLARS_ICEBERG_PLANNER", "pyiceberg")'
    yield "tables = {"
    yield "    name: pl.scan_iceberg(catalog.load_table((namespace, name)))"
    yield f"    for namespace, name in catalog.list_tables({_text(namespace)})"
    yield "}"
    yield 'print(tables["gold_car_current_state"].collect())'


def _duckdb(house: Lakehouse) -> Iterator[str]:
    yield "-- SQL for a DuckDB whose iceberg extension is published for its version (1.5.5 is one)."
    yield "-- Each view reads its table as it is now: after a further run, ask for this text again."
    yield "INSTALL avro;"
    yield "INSTALL iceberg;"
    yield "LOAD avro;"
    yield "LOAD iceberg;"
    yield "SET TimeZone = 'UTC';"
    for name in house.declared:
        try:
            iceberg = house.catalog.load_table(f"{house.settings.namespace}.{name}")
        except NoSuchTableError:
            continue
        metadata = quoted(local_path(iceberg.metadata_location))
        yield f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM iceberg_scan({metadata});"
    yield "SELECT * FROM gold_car_current_state;"


def _spark(house: Lakehouse) -> Iterator[str]:
    catalog = f"spark.sql.catalog.{CATALOG_NAME}"
    settings = {
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        catalog: "org.apache.iceberg.spark.SparkCatalog",
        f"{catalog}.type": "jdbc",
        f"{catalog}.uri": _jdbc(house),
        f"{catalog}.jdbc.schema-version": "V1",
        f"{catalog}.warehouse": warehouse_location(house.lake),
        f"{catalog}.cache-enabled": "false",
        "spark.sql.session.timeZone": "UTC",
    }
    yield "# Spark 4.1: spark-sql, spark-shell, pyspark and spark-submit take the same."
    yield "spark-sql \\"
    yield f"  --packages {ICEBERG_SPARK},{SQLITE_JDBC} \\"
    yield from (f"  --conf {shlex.quote(f'{key}={value}')} \\" for key, value in settings.items())
    yield f"  -e 'SELECT * FROM {CATALOG_NAME}.{house.settings.namespace}.gold_car_current_state'"


def _trino(house: Lakehouse) -> Iterator[str]:
    properties = {
        "connector.name": "iceberg",
        "iceberg.catalog.type": "jdbc",
        "iceberg.jdbc-catalog.catalog-name": CATALOG_NAME,
        "iceberg.jdbc-catalog.driver-class": "org.sqlite.JDBC",
        "iceberg.jdbc-catalog.connection-url": _jdbc(house),
        "iceberg.jdbc-catalog.schema-version": "V1",
        "iceberg.jdbc-catalog.default-warehouse-dir": warehouse_location(house.lake),
        "fs.hadoop.enabled": "true",
    }
    group, artifact, version = SQLITE_JDBC.split(":")
    jar = f"{group.replace('.', '/')}/{artifact}/{version}/{artifact}-{version}.jar"
    yield f"# Trino: save as etc/catalog/{CATALOG_NAME}.properties, and put this driver in plugin/iceberg/:"
    yield f"# {jar} of Maven Central"
    yield from (f"{key}={value}" for key, value in properties.items())
    yield f"# then: SELECT * FROM {CATALOG_NAME}.{house.settings.namespace}.gold_car_current_state;"


def _jdbc(house: Lakehouse) -> str:
    return f"jdbc:sqlite:{house.lake.catalog_db}?busy_timeout=30000"


def _text(value: str) -> str:
    """A Python text literal."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


TOOLS: dict[str, Callable[[Lakehouse], Iterator[str]]] = {
    "pyiceberg": _pyiceberg,
    "duckdb": _duckdb,
    "polars": _polars,
    "spark": _spark,
    "trino": _trino,
}
"""The tools that `connect` knows."""
