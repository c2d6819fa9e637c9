"""Spark reads the tables by the command that `carlake connect spark` prints, now and at a release."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from readers.conftest import CREDENTIALS
from readers.figures import SPARK, Figures, figures, measures
from readers.lake import Read
from servers.java import java_home

# So that one machine does it in little time: no metastore of Hive's, no code made for a query that is asked once.
SMALL = " ".join(
    [
        "--master 'local[2]' --driver-memory 1g --driver-java-options -XX:TieredStopAtLevel=1",
        "--conf spark.ui.enabled=false --conf spark.sql.catalogImplementation=in-memory",
        "--conf spark.sql.codegen.wholeStage=false --conf spark.sql.codegen.factoryMode=NO_CODEGEN",
    ]
)


def printed(command: str, statements: list[str], folder: Path, variables: Mapping[str, str] | None = None) -> list[str]:
    """What the command prints in a shell, with these statements in place of its own; nothing of carlake is in its path."""
    own = shlex.split(command, comments=True)[-1]
    text = command.replace(shlex.quote(own), shlex.quote(";\n".join(statements)))
    assert text != command
    text = text.replace("spark-sql \\\n", f"spark-sql {SMALL} \\\n", 1)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "JAVA_HOME": str(java_home()),
        "SPARK_LOCAL_IP": "127.0.0.1",
        **(variables or {}),
    }
    done = subprocess.run(
        ["bash", "-c", text], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.splitlines()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A catalog behind a server; with `--matrix all` one that is a file, too. Each takes Spark most of a minute."""
    if "cell_of_spark" in metafunc.fixturenames:
        every = metafunc.config.getoption("--matrix") == "all"
        metafunc.parametrize("cell_of_spark", ["rest_s3", *(["sqlite_local"] if every else [])], indirect=True)


def test_spark_reads_every_table_now_and_at_a_release(cell_of_spark: Read, tmp_path: Path) -> None:
    connection = cell_of_spark.house.connect("spark", as_of_run=cell_of_spark.run)
    reads = [(table, connection.table) for table in cell_of_spark.tables]
    reads += [(table, connection.table_at_release) for table in cell_of_spark.of_release]
    statements = []
    for table, named in reads:
        columns = ", ".join(f"{sql} AS c{number}" for number, sql in enumerate(measures(table, SPARK).values()))
        row = "to_json(struct(*), map('ignoreNullFields', 'false'))"
        statements.append(f"SELECT {row} FROM (SELECT {columns} FROM {named.format(table.name)})")
    rows = [
        json.loads(line) for line in printed(connection.text, statements, tmp_path, CREDENTIALS) if line.startswith("{")
    ]
    found: list[Figures] = [figures(table, row.values()) for (table, _), row in zip(reads, rows, strict=True)]
    assert dict(zip((table.name for table in cell_of_spark.tables), found, strict=False)) == cell_of_spark.now
    assert (
        dict(zip((table.name for table in cell_of_spark.of_release), found[len(cell_of_spark.tables) :], strict=True))
        == cell_of_spark.then
    )
