"""The lake's catalog as Spark's properties: the one that PyIceberg opens, under the same name and with the same warehouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carlake.catalogs.addresses import postgres_address
from carlake.catalogs.by_name import CATALOG_NAME, file_io_properties, plain_properties, warehouse_location
from carlake.errors import SettingsError
from carlake.storage.places import parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from carlake.lake import Lake
    from carlake.settings import Settings

SPARK_CATALOG = f"spark.sql.catalog.{CATALOG_NAME}"
"""The properties of the catalog begin so."""

SQLITE_JDBC = "org.xerial:sqlite-jdbc:3.54.1.0"
POSTGRES_JDBC = "org.postgresql:postgresql:42.7.8"

# The libraries of clouds that Iceberg's runtime leaves out, of its own version, by the scheme of the files' locations.
_BUNDLES = {"s3": "iceberg-aws-bundle", "gs": "iceberg-gcp-bundle", "az": "iceberg-azure-bundle"}

# Properties of PyIceberg's catalogs that Iceberg's Java library names otherwise.
_JAVA = {"glue.region": "client.region"}
_PYTHONS_OWN = ("py-io-impl", "pool_pre_ping", "init_catalog_tables", "echo", "schema_version", "ssl", "auth", "uri")

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


def catalog_packages(settings: Settings, lake: Lake, runtime: str) -> list[str]:
    """What Spark fetches to open the catalog and its tables' files, as `spark.jars.packages` names it.

    runtime  Iceberg's runtime, as it is named there
    """
    drivers = {"sqlite": [SQLITE_JDBC], "postgres": [POSTGRES_JDBC], "sql": [POSTGRES_JDBC, SQLITE_JDBC]}
    schemes = {parts(lake.warehouse_uri)[0].partition("://")[0]} if lake.warehouse_uri else set()
    if settings.catalog == "glue":
        schemes.add("s3")
    bundles = [bundle(scheme, runtime) for scheme in sorted(schemes & set(_BUNDLES))]
    return [*drivers.get(settings.catalog, []), *bundles]


def bundle(scheme: str, runtime: str) -> str:
    """The library by which Iceberg reaches a kind of store ("s3", "gs", "az"), of the version of its runtime."""
    return f"org.apache.iceberg:{_BUNDLES[scheme]}:{runtime.rpartition(':')[2]}"


def _properties(settings: Settings, lake: Lake) -> Mapping[str, str]:
    given = settings.catalog_uri.get_secret_value() if settings.catalog_uri is not None else ""
    scheme = given.split(":", 1)[0].split("+", 1)[0]
    own = {_JAVA.get(k, k): v for k, v in plain_properties(settings).items() if k not in _PYTHONS_OWN}
    own = {**file_access(settings, lake), **own}
    if settings.catalog == "sqlite":
        uri = f"jdbc:sqlite:{lake.catalog_db}?busy_timeout={_BUSY_MILLISECONDS}"
        place = {"type": "jdbc", "uri": uri, "jdbc.schema-version": "V1"}
        return {**place, "warehouse": warehouse_location(lake), **file_access(settings, lake)}
    if settings.catalog in ("postgres", "sql") and scheme in ("postgresql", "postgres"):
        return {"warehouse": warehouse_location(lake), **own, "type": "jdbc", **_postgres(given)}
    if settings.catalog == "rest":
        return {**own, "type": "rest", "uri": given}
    if settings.catalog == "glue":
        endpoint = {"glue.endpoint": given} if given else {}
        return {"warehouse": warehouse_location(lake), **endpoint, **own, "type": "glue"}
    raise SettingsError(
        f"The engine 'spark' does not know the catalog type {settings.catalog!r}.",
        "Use catalog = 'sqlite', 'postgres', 'rest' or 'glue', or engine = 'duckdb'.",
    )


def _postgres(uri: str) -> dict[str, str]:
    """A database's address as JDBC has it, user and password apart. Neither driver knows all that the other's takes."""
    address = postgres_address(uri)
    return {
        "uri": f"jdbc:postgresql://{address.jdbc}",
        "jdbc.schema-version": "V1",
        **({"jdbc.user": address.user} if address.user else {}),
        **({"jdbc.password": address.password} if address.password else {}),
    }
