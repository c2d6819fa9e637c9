"""What `connect` prints is run as it is, and must read the same rows as carlake itself."""

from __future__ import annotations

import configparser
import json
import os
import shlex
import subprocess
import sys
import venv
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from carlake.errors import NotFoundError, SettingsError
from carlake.lake import exclusive
from carlake.lakehouse import Lakehouse
from carlake.look.connect import TOOLS
from carlake.settings import Settings

from .conftest import Built
from .duckdb_reader import figures

READER = Path(__file__).parents[2] / ".envs" / "duckdb-reader"
PACKAGES = ("duckdb==1.5.5", "duckdb-extension-iceberg==1.5.5", "duckdb-extension-avro==1.5.5", "pytz==2026.1")


@pytest.fixture(scope="session")
def reader() -> Path:
    """The Python of an environment with DuckDB's Iceberg reader; made once and kept in `.envs`."""
    python, ready = READER / "bin" / "python", READER / ".ready"
    wanted = f"{sys.version}\n{READER}\n{PACKAGES}"
    with exclusive(READER.with_suffix(".lock")):
        if not ready.is_file() or ready.read_text() != wanted:
            venv.create(READER, clear=True, with_pip=True)
            install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
            made = subprocess.run(install, capture_output=True, text=True, check=False)
            if made.returncode and not os.environ.get("CI"):
                pytest.skip(f"DuckDB's Iceberg reader cannot be installed here: {made.stderr[-300:]}")
            assert made.returncode == 0, made.stderr
            ready.write_text(wanted)
    return python


def own_figures(house: Lakehouse) -> dict[str, dict[str, str]]:
    """What DuckDB 2 makes of the rows that carlake gives."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = {}
        for name in filter(
            lambda each: house.catalog.table_exists(f"{house.settings.namespace}.{each}"), house.declared
        ):
            connection.register(name, house.query(f"FROM {name}"))
            found[name] = figures(connection, name)
        return found


def ran(text: str, more: str) -> str:
    """The output of Python text in a process of its own, warnings being errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{text}\n{more}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_pyiceberg_by_itself_reads_every_table(built: Built) -> None:
    text = built.house.connect("pyiceberg")
    assert "import carlake" not in text
    more = """
import sys, duckdb
sys.path.insert(0, %r)
from duckdb_reader import figures
with duckdb.connect() as connection:
    connection.execute("SET TimeZone = 'UTC'")
    found = {}
    for namespace, name in catalog.list_tables("carlake"):
        connection.register(name, catalog.load_table((namespace, name)).scan().to_arrow())
        found[name] = figures(connection, name)
import json; print(json.dumps(found)); print(cars.num_rows); assert "carlake" not in sys.modules
""" % str(Path(__file__).parent)  # noqa: UP031  (braces)
    *counts, found, cars = ran(text, more).splitlines()
    own = own_figures(built.house)
    assert json.loads(found) == own
    assert dict(line.split() for line in counts) == {f"carlake.{name}": told["rows"] for name, told in own.items()}
    assert cars == own["gold_car_current_state"]["rows"]


def test_polars_reads_every_table(built: Built) -> None:
    more = "import json\nprint(json.dumps({name: frame.collect().height for name, frame in tables.items()}))"
    more += "\nprint(tables['gold_fuel_efficiency_monthly'].select(pl.col('total_km_driven').sum()).collect().item())"
    *_, counts, distance = ran(built.house.connect("polars"), more).splitlines()
    own = own_figures(built.house)
    assert {name: str(rows) for name, rows in json.loads(counts).items()} == {
        n: told["rows"] for n, told in own.items()
    }
    assert distance == own["gold_fuel_efficiency_monthly"]["total_km_driven"]


def test_duckdbs_own_iceberg_reader_reads_every_table(built: Built, reader: Path) -> None:
    script = Path(__file__).with_name("duckdb_reader.py")
    done = subprocess.run(
        [reader, script], input=built.house.connect("duckdb"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == own_figures(built.house)


def test_every_text_has_this_lakes_own_paths(built: Built) -> None:
    lake = built.house.lake
    for tool in TOOLS:
        text = built.house.connect(tool)
        assert text.endswith("\n") and not text.endswith("\n\n")
        assert str(lake.warehouse) in text
        assert "gold_car_current_state" in text
        assert (str(lake.catalog_db) in text) == (tool != "duckdb")


def test_the_spark_command_is_one_a_shell_takes(small: Callable[..., Lakehouse]) -> None:
    with small("it's a lake") as house:
        words = shlex.split(house.connect("spark"), comments=True)
        settings = dict(word.split("=", 1) for before, word in pairwise(words) if before == "--conf")
        catalog = "spark.sql.catalog.carlake"
        assert words[0] == "spark-sql"
        assert settings[f"{catalog}.uri"] == f"jdbc:sqlite:{house.lake.catalog_db}?busy_timeout=30000"
        assert settings[f"{catalog}.warehouse"] == f"file://{house.lake.warehouse}"
        assert (settings[f"{catalog}.type"], settings[f"{catalog}.jdbc.schema-version"]) == ("jdbc", "V1")
        assert (settings[f"{catalog}.cache-enabled"], settings["spark.sql.session.timeZone"]) == ("false", "UTC")


def test_the_trino_text_is_a_properties_file(built: Built) -> None:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.read_string("[catalog]\n" + built.house.connect("trino"))
    properties = dict(parser["catalog"])
    assert properties["connector.name"] == "iceberg"
    assert properties["iceberg.jdbc-catalog.catalog-name"] == "carlake"
    assert properties["iceberg.jdbc-catalog.default-warehouse-dir"] == f"file://{built.house.lake.warehouse}"


def test_an_unknown_tool_names_the_nearest(built: Built) -> None:
    with pytest.raises(NotFoundError, match="'duckbd'") as error:
        built.house.connect("duckbd")
    assert error.value.advice == "Did you mean duckdb? Tools: pyiceberg, duckdb, polars, spark, trino."


def test_a_lake_with_another_catalog_says_what_to_do(built: Built) -> None:
    elsewhere = Settings(catalog="rest", catalog_uri="https://user:secret@example.com")
    with Lakehouse(built.house.lake, elsewhere) as house, pytest.raises(SettingsError) as error:
        house.connect("spark")
    assert "catalog_uri" in error.value.advice and "secret" not in str(error.value)
