"""The lake's catalog, opened by the name in the settings: what knows the tables and swaps their metadata."""

from __future__ import annotations

import os
import re

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import NotInstalledError
from sqlalchemy.exc import SQLAlchemyError

from carlake.catalogs.addresses import secrets_in
from carlake.catalogs.failures import meaning, without
from carlake.catalogs.metadata import CATALOG_NAME, FILE_IO, WritesMetadata, make_namespace, warehouse_location
from carlake.catalogs.sql import LakeSqlCatalog, psycopg_uri
from carlake.catalogs.sqlite import BUSY_SECONDS, SqliteCatalog, sqlite_uri
from carlake.errors import CarlakeError, LakeError
from carlake.lake import Lake
from carlake.settings import Settings
from carlake.storage.places import forget_kept
from carlake.storage.store_files import as_properties

__all__ = [
    "BUSY_SECONDS",
    "CATALOG_NAME",
    "SqliteCatalog",
    "close_catalog",
    "file_io_properties",
    "forget_metadata",
    "make_namespace",
    "open_catalog",
    "plain_properties",
    "sqlite_uri",
    "warehouse_location",
]

_SECRET = re.compile("key|secret|token|password")
_SQL = ("postgres", "sql")


def open_catalog(settings: Settings, lake: Lake) -> Catalog:
    """The lake's catalog, with its namespace made if missing. Safe when several processes open it first at once.

    `catalog = "sqlite"` is `catalog.db` in the lake; "postgres", "rest" and "glue" are servers at `catalog_uri`; any other
    type goes to PyIceberg as it is. Raises `LakeError` where the catalog is missing, damaged, out of reach, not installed,
    or does not let this user in.
    """
    try:
        catalog = _opened(settings, lake)
        if settings.catalog != "sqlite":  # made under the lock
            make_namespace(catalog, settings.namespace)
    except CarlakeError:
        raise
    except Exception as error:
        found = meaning(error)
        if found is None and not isinstance(error, (SQLAlchemyError, NotInstalledError, ValueError, OSError)):
            raise
        what, advice = found or (str(error), "")
        secrets = _secrets(settings)
        if isinstance(error, (NotInstalledError, ModuleNotFoundError)):
            said = f"The catalog type {settings.catalog!r} is not installed."
        else:
            where = lake.catalog_db if settings.catalog == "sqlite" else f"of type {settings.catalog!r}"
            said = f"The catalog {where} cannot be opened: {without(what, secrets).rstrip('.')}."
        raise LakeError(said, without(advice, secrets)) from None  # without its cause, which holds the secrets too
    return catalog


def close_catalog(catalog: Catalog) -> None:
    """End a catalog's connections, where it has any that stay open."""
    if isinstance(catalog, LakeSqlCatalog):
        catalog.close()


def forget_metadata(catalog: Catalog) -> None:
    """Parse every metadata file again when it is next needed: for checks of what really lies there."""
    forget_kept()
    if isinstance(catalog, LakeSqlCatalog):
        catalog.known_metadata.clear()


def plain_properties(settings: Settings) -> dict[str, str]:
    """`catalog_properties` with the secrets readable: for the catalog, never for people."""
    return {key: value.get_secret_value() for key, value in settings.catalog_properties.items()}


def file_io_properties(settings: Settings) -> dict[str, str]:
    """What lets a catalog's tables reach an object store as `store_properties` say, secrets readable.

    PyIceberg's own names, which other programs' FileIO and Spark's S3FileIO know too, and carlake's.
    """
    return as_properties({name.lower(): value.get_secret_value() for name, value in settings.store_properties.items()})


def _opened(settings: Settings, lake: Lake) -> Catalog:
    properties = {**file_io_properties(settings), **plain_properties(settings)}
    if settings.catalog == "sqlite":
        return SqliteCatalog.of(lake, settings.namespace, properties)
    properties.setdefault("py-io-impl", FILE_IO)
    if settings.catalog_uri is not None:
        properties["uri"] = settings.catalog_uri.get_secret_value()
    if settings.catalog in (*_SQL, "in-memory", "glue"):  # these have no warehouse of their own
        properties.setdefault("warehouse", warehouse_location(lake))
    if settings.catalog in _SQL:
        properties["uri"] = psycopg_uri(properties["uri"])
        return LakeSqlCatalog(CATALOG_NAME, **properties)
    if settings.catalog == "rest":
        from carlake.catalogs.rest import LakeRestCatalog

        return LakeRestCatalog(CATALOG_NAME, **properties)
    region = os.environ.get("AWS_REGION")  # boto3 knows AWS_DEFAULT_REGION alone
    if settings.catalog in ("glue", "dynamodb") and region and not properties.get("client.region"):
        properties.setdefault(f"{settings.catalog}.region", region)
    if settings.catalog == "glue":
        return _glue(properties)
    return load_catalog(CATALOG_NAME, type=settings.catalog, **properties)


def _glue(properties: dict[str, str]) -> Catalog:
    from pyiceberg.catalog.glue import GlueCatalog

    class LakeGlueCatalog(WritesMetadata, GlueCatalog):  # type: ignore[misc]  # PyIceberg is untyped here
        """PyIceberg's Glue catalog. `glue.endpoint` is the service's own unless `catalog_uri` says another."""

    if "uri" in properties:
        properties.setdefault("glue.endpoint", properties["uri"])
    return LakeGlueCatalog(CATALOG_NAME, **properties)


def _secrets(settings: Settings) -> list[str]:
    """What no message may show."""
    secrets = list(plain_properties(settings).values())
    secrets += [
        value.get_secret_value() for name, value in settings.store_properties.items() if _SECRET.search(name.lower())
    ]
    if settings.catalog_uri is not None:
        uri = settings.catalog_uri.get_secret_value()
        secrets += [uri, *secrets_in(uri)]
    return secrets
