"""Spark and Trino: both take a catalog by properties, and read a release by its tag."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from carlake.engines.spark.catalog_conf import POSTGRES_JDBC, SQLITE_JDBC
from carlake.engines.spark.session import EXTENSIONS, RUNTIMES
from carlake.look.connect.place import CATALOG, Place, Value, Variable

_SPARK = "4.1"
_RUNTIME = RUNTIMES[_SPARK]
_BUNDLES = {"s3": "aws", "gs": "gcp", "abfs": "azure", "abfss": "azure"}
_FILES = {
    "s3": "org.apache.iceberg.aws.s3.S3FileIO",
    "gs": "org.apache.iceberg.gcp.gcs.GCSFileIO",
    "abfs": "org.apache.iceberg.azure.adlsv2.ADLSFileIO",
    "abfss": "org.apache.iceberg.azure.adlsv2.ADLSFileIO",
}
_ANY_REGION = "us-east-1"  # a store of one's own has none, and the SDK wants one


def spark(place: Place) -> Iterator[str]:
    """A command for the shell, with all that Spark has to be told."""
    catalog = f"spark.sql.catalog.{CATALOG}"
    settings: dict[str, Value] = {
        "spark.sql.extensions": EXTENSIONS,
        catalog: "org.apache.iceberg.spark.SparkCatalog",
        **{f"{catalog}.{key}": value for key, value in _spark_catalog(place).items()},
        f"{catalog}.cache-enabled": "false",
        "spark.sql.session.timeZone": "UTC",
    }
    yield f"# Spark {_SPARK}: spark-sql, spark-shell, pyspark and spark-submit take the same."
    yield from _variables(settings)
    yield "spark-sql \\"
    yield f"  --packages {','.join(_packages(place))} \\"
    for key, value in settings.items():
        if isinstance(value, Variable):
            yield f'  --conf "{key}=${value.name}" \\'
        else:
            yield f"  --conf {shlex.quote(f'{key}={value}')} \\"
    yield f"  -e 'SELECT * FROM {CATALOG}.{place.namespace}.gold_car_current_state'"
    if place.tag:
        yield f"# As it was at the end of run {place.release}; all tables of a release fit together:"
        yield f"#     SELECT * FROM {CATALOG}.{place.namespace}.gold_car_current_state VERSION AS OF '{place.tag}'"


def trino(place: Place) -> Iterator[str]:
    """A catalog's properties file, and what else has to be there."""
    properties: dict[str, Value] = {
        "connector.name": "iceberg",
        **_trino_catalog(place),
        **_trino_files(place),
    }
    yield f"# Trino 476: save as etc/catalog/{CATALOG}.properties on every node."
    if place.catalog == "sqlite":
        group, artifact, version = SQLITE_JDBC.split(":")
        yield f"# Put the driver {group}:{artifact}:{version} (Maven's {artifact}-{version}.jar) in plugin/iceberg/, as Trino has"
        yield "# none for SQLite. The coordinator reads the lake's catalog.db itself, so it has to be on that machine."
    if place.store == "file":
        yield "# Trino reads the tables' files itself: on every node they have to be under the same path."
    yield from _variables(properties)
    for key, value in properties.items():
        yield f"{key}={'${ENV:' + value.name + '}' if isinstance(value, Variable) else value}"
    yield f"# then: SELECT * FROM {CATALOG}.{place.namespace}.gold_car_current_state;"
    if place.tag:
        yield f"# As it was at the end of run {place.release}; all tables of a release fit together:"
        yield f"#       SELECT * FROM {CATALOG}.{place.namespace}.gold_car_current_state FOR VERSION AS OF '{place.tag}';"


def _variables(values: dict[str, Value]) -> Iterator[str]:
    names = [value.name for value in values.values() if isinstance(value, Variable)]
    if names:
        yield f"# Set before, with what carlake's settings have: {', '.join(dict.fromkeys(names))}"


def _packages(place: Place) -> Iterator[str]:
    yield _RUNTIME
    if place.catalog == "sqlite":
        yield SQLITE_JDBC
    if place.catalog == "postgres":
        yield POSTGRES_JDBC
    bundle = _BUNDLES.get(place.store) or ("aws" if place.catalog in ("glue", "dynamodb") else None)
    if bundle:
        yield f"org.apache.iceberg:iceberg-{bundle}-bundle:{_RUNTIME.rpartition(':')[2]}"


def _spark_catalog(place: Place) -> dict[str, Value]:
    found: dict[str, Value] = {}
    if place.catalog in ("sqlite", "postgres"):
        found |= {"type": "jdbc", "uri": _jdbc(place)}
        if place.user:
            found["jdbc.user"] = place.user
        if place.password:
            found["jdbc.password"] = place.password
        found |= {"jdbc.schema-version": "V1", "warehouse": place.warehouse}
    elif place.catalog == "dynamodb":
        found |= {"catalog-impl": "org.apache.iceberg.aws.dynamodb.DynamoDbCatalog", "warehouse": place.warehouse}
    else:
        found |= {"type": place.catalog}
        if place.uri is not None:
            found["uri"] = place.uri
        known = ("s3.", "client.", "type", "glue.region")
        found |= {key: value for key, value in place.properties.items() if not key.startswith(known)}
        if "glue.region" in place.properties:
            found["client.region"] = place.properties["glue.region"]
    if place.store in _FILES:
        found["io-impl"] = _FILES[place.store]
    if place.store == "s3":
        found |= {"client.region": place.region} if place.region else {}
        if place.endpoint:
            found |= {"s3.endpoint": place.endpoint, "s3.path-style-access": str(place.by_path).lower()}
            found.setdefault("client.region", _ANY_REGION)
    return found


def _trino_catalog(place: Place) -> dict[str, Value]:
    if place.catalog in ("sqlite", "postgres"):
        own: dict[str, Value] = {
            "iceberg.catalog.type": "jdbc",
            "iceberg.jdbc-catalog.catalog-name": CATALOG,
            "iceberg.jdbc-catalog.driver-class": "org.sqlite.JDBC"
            if place.catalog == "sqlite"
            else "org.postgresql.Driver",
            "iceberg.jdbc-catalog.connection-url": _jdbc(place),
            "iceberg.jdbc-catalog.schema-version": "V1",
            "iceberg.jdbc-catalog.default-warehouse-dir": place.warehouse,
        }
        if place.user:
            own["iceberg.jdbc-catalog.connection-user"] = place.user
        if place.password:
            own["iceberg.jdbc-catalog.connection-password"] = place.password
        return own
    given = place.properties
    if place.catalog == "rest":
        names = {
            "warehouse": "warehouse",
            "prefix": "prefix",
            "token": "oauth2.token",
            "credential": "oauth2.credential",
            "scope": "oauth2.scope",
            "oauth2-server-uri": "oauth2.server-uri",
        }
        found = {f"iceberg.rest-catalog.{names[key]}": value for key, value in given.items() if key in names}
        secure = {"token", "credential"} & given.keys()
        return {
            "iceberg.catalog.type": "rest",
            **({"iceberg.rest-catalog.uri": place.uri} if place.uri is not None else {}),
            **({"iceberg.rest-catalog.security": "OAUTH2"} if secure else {}),
            **found,
        }
    if place.catalog == "glue":
        names = {
            "glue.region": "region",
            "client.region": "region",
            "glue.endpoint": "endpoint-url",
            "glue.id": "catalogid",
        }
        found = {f"hive.metastore.glue.{names[key]}": value for key, value in given.items() if key in names}
        return {"iceberg.catalog.type": "glue", **found}
    return {"iceberg.catalog.type": "hive_metastore", **({"hive.metastore.uri": place.uri} if place.uri else {})}


def _trino_files(place: Place) -> dict[str, Value]:
    if place.store == "s3":
        found: dict[str, Value] = {"fs.native-s3.enabled": "true"}
        if place.endpoint:
            found |= {"s3.endpoint": place.endpoint, "s3.path-style-access": str(place.by_path).lower()}
        if place.region or place.endpoint:
            found["s3.region"] = place.region or _ANY_REGION
        return found
    if place.store == "gs":
        return {"fs.native-gcs.enabled": "true"}
    if place.store in ("abfs", "abfss"):
        return {"fs.native-azure.enabled": "true", "azure.auth-type": "DEFAULT"}
    return {"fs.native-local.enabled": "true", "local.location": "/"}


def _jdbc(place: Place) -> str:
    if place.catalog == "sqlite":
        return f"jdbc:sqlite:{place.database}?busy_timeout=30000"
    return f"jdbc:postgresql://{place.database}"
