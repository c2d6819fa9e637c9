"""The lake's catalog as Spark's properties: the one that PyIceberg opens, under the same name and with the same warehouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carlake.catalogs import CATALOG_NAME, file_io_properties, warehouse_location
from carlake.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from carlake.lake import Lake
    from carlake.settings import Settings

SPARK_CATALOG = f"spark.sql.catalog.{CATALOG_NAME}"
"""The properties of the catalog begin so."""

SQLITE_JDBC = "org.xerial:sqlite-jdbc:3.54.1.0"

_BUSY_MILLISECONDS = 30_000


def spark_catalog(settings: Settings, lake: Lake) -> dict[str, str]:
    """Spark's properties of the lake's catalog. Raises SettingsError for a catalog that Spark is not known to open."""
    return {
        SPARK_CATALOG: "org.apache.iceberg.spark.SparkCatalog",
        f"{SPARK_CATALOG}.cache-enabled": "false",  # or it would go on reading old tables
        **{f"{SPARK_CATALOG}.{key}": value for key, value in _properties(settings, lake).items()},
    }


def file_access(settings: Settings, lake: Lake) -> dict[str, str]:
    """The properties by which Iceberg in Spark reaches the lake's data files: none where they are local."""
    if not lake.warehouse_uri:
        return {}
    # Local files too: the driver's own metadata of file sets is beside its other scratch files.
    return {"io-impl": "org.apache.iceberg.io.ResolvingFileIO", **file_io_properties(settings)}


def catalog_packages(settings: Settings) -> list[str]:
    """What Spark fetches to open the catalog, as `spark.jars.packages` names it."""
    return [SQLITE_JDBC] if settings.catalog == "sqlite" else []


def _properties(settings: Settings, lake: Lake) -> Mapping[str, str]:
    if settings.catalog == "sqlite":
        return {
            "type": "jdbc",
            "uri": f"jdbc:sqlite:{lake.catalog_db}?busy_timeout={_BUSY_MILLISECONDS}",
            "jdbc.schema-version": "V1",
            "warehouse": warehouse_location(lake),
            **file_access(settings, lake),
        }
    raise SettingsError(
        f"The engine 'spark' does not know the catalog type {settings.catalog!r}.",
        "Use catalog = 'sqlite', or engine = 'duckdb'.",
    )
