"""What `connect` prints: this lake's places, no secrets, and what to do where a tool cannot read the lake.

That what it prints works is shown by tests/readers, which paste it.
"""

from __future__ import annotations

import configparser
import shlex
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from carlake.catalogs.addresses import PostgresAddress, postgres_address, secrets_in
from carlake.cli.names import TOOLS as COMPLETED
from carlake.errors import NotFoundError, SettingsError
from carlake.lakehouse import Lakehouse
from carlake.look.connect import TOOLS
from carlake.look.connect.connection import connection
from carlake.look.connect.place import Place, Variable, located

from .conftest import Built


def test_every_text_has_this_lakes_own_paths(built: Built) -> None:
    lake = built.house.lake
    for tool in set(TOOLS) - {"athena"}:
        text = built.house.connect(tool).text
        assert text.endswith("\n") and not text.endswith("\n\n")
        assert str(lake.warehouse) in text
        assert "gold_car_current_state" in text
        assert (str(lake.catalog_db) in text) == (tool != "duckdb")


def test_the_spark_command_is_one_a_shell_takes(small: Callable[..., Lakehouse]) -> None:
    with small("it's a lake") as house:
        words = shlex.split(house.connect("spark").text, comments=True)
        settings = dict(word.split("=", 1) for before, word in pairwise(words) if before == "--conf")
        catalog = "spark.sql.catalog.carlake"
        assert words[0] == "spark-sql"
        assert settings[f"{catalog}.uri"] == f"jdbc:sqlite:{house.lake.catalog_db}?busy_timeout=30000"
        assert settings[f"{catalog}.warehouse"] == f"file://{house.lake.warehouse}"
        assert (settings[f"{catalog}.type"], settings[f"{catalog}.jdbc.schema-version"]) == ("jdbc", "V1")
        assert (settings[f"{catalog}.cache-enabled"], settings["spark.sql.session.timeZone"]) == ("false", "UTC")


def test_the_trino_text_is_a_properties_file(built: Built) -> None:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.read_string("[catalog]\n" + built.house.connect("trino").text)
    properties = dict(parser["catalog"])
    assert properties["connector.name"] == "iceberg"
    assert properties["iceberg.jdbc-catalog.catalog-name"] == "carlake"
    assert properties["iceberg.jdbc-catalog.default-warehouse-dir"] == f"file://{built.house.lake.warehouse}"


def test_an_unknown_tool_names_the_nearest(built: Built) -> None:
    with pytest.raises(NotFoundError, match="'duckbd'") as error:
        built.house.connect("duckbd")
    assert error.value.advice == "Did you mean duckdb? Tools: pyiceberg, pandas, polars, duckdb, spark, trino, athena."


def test_the_shell_completes_every_tool() -> None:
    assert set(COMPLETED) == set(TOOLS)


HIDDEN = "s3cr3t-val"
"""Stands in every value that nobody is to see."""
GIVEN = {
    "postgres": {"uri": f"postgresql+psycopg://fleet:{HIDDEN}@db.example.com:5433/lake?sslmode=require"},
    "sql": {"uri": f"postgresql://fleet:{HIDDEN}@db.example.com/lake"},
    "postgres among options": {"uri": f"postgresql://db.example.com/lake?user=fleet&password={HIDDEN}&sslmode=require"},
    "rest": {
        "uri": "https://catalog.example.com/api",
        "warehouse": "fleet",
        "credential": f"id:{HIDDEN}",
        "token": HIDDEN,
        "scope": "PRINCIPAL_ROLE:ALL",
        "header.X-Api-Key": HIDDEN,
    },
    "glue": {"glue.region": "eu-west-1", "glue.access-key-id": HIDDEN, "glue.secret-access-key": HIDDEN},
}
STORE = {
    "s3.endpoint": "http://127.0.0.1:7070",
    "s3.region": "eu-west-1",
    "s3.access-key-id": HIDDEN,
    "s3.secret-access-key": HIDDEN,
    "s3.session-token": HIDDEN,
    "carlake.store.secret_access_key": HIDDEN,
    "py-io-impl": "carlake.storage.durable.DurableFileIO",
}


def place(catalog: str, **more: str) -> Place:
    """A place with a table, whose files lie in a store of one's own."""
    given = {"warehouse": "s3://fleet/lake", **GIVEN[catalog], **STORE, **more}
    table = {"gold_car_current_state": "s3://fleet/lake/metadata/1.metadata.json"}
    return replace(
        located(catalog.partition(" ")[0], given),
        store="s3",
        tables=table,
        release="R",
        snapshots={"gold_car_current_state": 7},
    )


@pytest.mark.parametrize("catalog", GIVEN)
@pytest.mark.parametrize("tool", TOOLS)
def test_no_text_has_a_secret_or_anything_of_carlakes_own(tool: str, catalog: str) -> None:
    if tool == "athena" and catalog != "glue":
        with pytest.raises(SettingsError, match="Athena cannot read a lake whose catalog is of type"):
            connection(tool, place(catalog))
        return
    found = connection(tool, place(catalog))
    assert HIDDEN not in str(found)
    assert "carlake.store" not in found.text and "DurableFileIO" not in found.text
    assert found.release == "R"


def test_a_secret_is_a_variable_that_the_tool_reads() -> None:
    for tool, password in {
        "spark": '--conf "spark.sql.catalog.carlake.jdbc.password=$PGPASSWORD"',
        "trino": "iceberg.jdbc-catalog.connection-password=${ENV:PGPASSWORD}",
        "polars": "PGPASSWORD",  # the driver reads it by itself
    }.items():
        text = connection(tool, place("postgres")).text
        assert password in text
        assert "Set before, with what carlake's settings have: PGPASSWORD" in text
    assert '"uri": "postgresql+psycopg://fleet@db.example.com:5433/lake?sslmode=require"' in text
    for tool, line in {
        "spark": '--conf "spark.sql.catalog.carlake.credential=$ICEBERG_CREDENTIAL"',
        "trino": "iceberg.rest-catalog.oauth2.credential=${ENV:ICEBERG_CREDENTIAL}",
        "pyiceberg": '"credential": os.environ["ICEBERG_CREDENTIAL"],',
    }.items():
        assert line in connection(tool, place("rest")).text
    for uri in (f"https://user:{HIDDEN}@catalog.example.com", f"https://catalog.example.com?token={HIDDEN}"):
        assert place("rest", uri=uri).uri == Variable("CARLAKE_CATALOG_URI")


def test_a_postgres_catalog_is_its_jdbc_address() -> None:
    properties = dict(
        line.split("=", 1) for line in connection("trino", place("postgres")).text.splitlines() if "=" in line
    )
    assert (
        properties["iceberg.jdbc-catalog.connection-url"]
        == "jdbc:postgresql://db.example.com:5433/lake?sslmode=require"
    )
    assert properties["iceberg.jdbc-catalog.connection-user"] == "fleet"
    assert properties["iceberg.jdbc-catalog.driver-class"] == "org.postgresql.Driver"
    assert "--packages" in (text := connection("spark", place("sql")).text)
    assert ",org.postgresql:postgresql:" in text and ",org.apache.iceberg:iceberg-aws-bundle:" in text
    assert "spark.sql.catalog.carlake.uri=jdbc:postgresql://db.example.com/lake" in text


@pytest.mark.parametrize(
    ("uri", "shown", "jdbc", "user", "password"),
    [
        ("postgresql:///lake?password=p", "postgresql:///lake", "localhost/lake", "", "p"),
        ("postgresql://a%40b:p%2Fw@[::1]:5433/x", "postgresql://a%40b@[::1]:5433/x", "[::1]:5433/x", "a@b", "p/w"),
        ("postgresql://h/x?user=a&password=p%2Fw", "postgresql://h/x?user=a", "h/x", "a", "p/w"),
        (
            "postgresql+psycopg://a:p@h/x?connect_timeout=3&options=-c%20x&sslkey=/k&sslpassword=p",
            "postgresql+psycopg://a@h/x?connect_timeout=3&options=-c%20x&sslkey=/k",
            "h/x?connectTimeout=3&sslkey=/k",
            "a",
            "p",
        ),
    ],
)
def test_an_address_is_taken_apart(uri: str, shown: str, jdbc: str, user: str, password: str) -> None:
    assert postgres_address(uri) == PostgresAddress(shown, jdbc, user, password)
    assert set(secrets_in(uri)) <= {"p", "p/w", "p%2Fw"} and (password in secrets_in(uri)) is bool(password)


def test_a_store_of_ones_own_is_asked_by_path() -> None:
    for tool, lines in {
        "spark": ["s3.endpoint=http://127.0.0.1:7070", "s3.path-style-access=true", "client.region=eu-west-1"],
        "trino": ["s3.endpoint=http://127.0.0.1:7070", "s3.path-style-access=true", "s3.region=eu-west-1"],
        "duckdb": ["ENDPOINT '127.0.0.1:7070'", "USE_SSL false", "URL_STYLE 'path'", "REGION 'eu-west-1'"],
        "polars": ['"s3.endpoint": "http://127.0.0.1:7070"', '"s3.region": "eu-west-1"'],
    }.items():
        assert [line for line in lines if line not in connection(tool, place("postgres")).text] == []


def test_glue_is_found_in_its_region() -> None:
    for tool, line in {
        "spark": "--conf spark.sql.catalog.carlake.client.region=eu-west-1",
        "trino": "hive.metastore.glue.region=eu-west-1",
        "pyiceberg": '"glue.region": "eu-west-1"',
    }.items():
        assert line in connection(tool, place("glue")).text
    assert "spark.sql.catalog.carlake.type=glue" in connection("spark", place("glue")).text


def test_athena_takes_snapshots_by_number() -> None:
    found = connection("athena", place("glue"))
    assert 'SELECT * FROM "AwsDataCatalog"."carlake"."gold_car_current_state" FOR VERSION AS OF 7;' in found.text


def test_what_cannot_be_read_says_what_would_do(built: Built) -> None:
    with pytest.raises(SettingsError) as error:
        built.house.connect("athena")
    assert "It reads glue" in error.value.advice
    with pytest.raises(SettingsError, match="DuckDB cannot read tables whose files are at gs://") as error:
        connection("duckdb", replace(place("postgres"), store="gs", warehouse="gs://fleet/lake"))
    assert "carlake connect polars" in error.value.advice
    with pytest.raises(SettingsError, match="memory"):
        connection("polars", located("in-memory", {}))
    with pytest.raises(SettingsError, match="Trino cannot read a lake whose catalog is of type 'dynamodb'"):
        connection("trino", located("dynamodb", {"warehouse": "s3://fleet"}))
