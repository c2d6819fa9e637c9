"""Imports go one way, and heavy packages are known to few."""

from __future__ import annotations

import subprocess
import sys

import pytest

from structure.layers import LAYERS, ONLY_FROM, OWED, circles, imports, misplaced, orphans, place, sources


def test_imports_go_one_way() -> None:
    assert misplaced(sources(), OWED) == []


def test_nothing_is_owed_that_was_paid() -> None:
    modules = sources()
    for module, target in OWED:
        if module in modules:
            assert target in {name for name, _ in imports(module, modules[module], modules)}, "take it out of OWED"


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles(sources()) == []


def test_no_module_is_an_orphan() -> None:
    assert orphans(sources(), ("carlake", "carlake.cli.main", "carlake.aws.spark_job", "carlake.aws.handler")) == []


def test_an_orphan_is_found() -> None:
    planted = {"carlake": "HOMES = {'A': 'carlake.a'}", "carlake.a": "def f():\n    import carlake.b", "carlake.b": ""}
    assert orphans(planted, ("carlake",)) == []
    assert orphans({**planted, "carlake.a": ""}, ("carlake",)) == ["carlake.b"]


def test_no_pattern_of_a_layer_hides_another() -> None:
    for depth, layer in enumerate(LAYERS):
        for number, unit in enumerate(layer):
            for pattern in unit:
                assert place(f"carlake.{pattern.replace('*', 'x')}".rstrip(".")) == (depth, number), pattern


@pytest.mark.parametrize(
    ("module", "line", "blame"),
    [
        ("carlake.tables.declare", "from carlake.refresh.plan import plan", "upper layer carlake.refresh.plan"),
        ("carlake.tables.declare", "from carlake.refresh import plan", "upper layer carlake.refresh.plan"),
        ("carlake.tables.declare", "from ..refresh import plan", "upper layer carlake.refresh.plan"),
        ("carlake.tables.declare", "def late():\n    import carlake.lakehouse", "upper layer carlake.lakehouse"),
        (
            "carlake.refresh.plan",
            "from carlake.engines.duckdb.engine import DuckDBEngine",
            "neighbour carlake.engines.duckdb.engine",
        ),
        ("carlake.refresh.plan", "from carlake.engines.duckdb import land", "neighbour carlake.engines.duckdb.land"),
        ("carlake.errors", "from carlake import settings", "upper layer carlake.settings"),
        ("carlake.landing.listing", "import carlake.simulator.fleet", "neighbour carlake.simulator.fleet"),
        ("carlake.refresh.plan", "import duckdb", "imports duckdb, which is for engines.duckdb.*"),
        ("carlake.lakehouse", "from pyiceberg.catalog import Catalog", "imports pyiceberg.catalog, which is for"),
        ("carlake.lakehouse", "import rich.table", "imports rich.table, which is for cli.*"),
        ("carlake.stray", "import os", "carlake.stray has no layer"),
    ],
)
def test_a_bad_import_is_found(module: str, line: str, blame: str) -> None:
    names = ("refresh.plan", "lakehouse", "engines.duckdb.engine", "engines.duckdb.land", "settings", "simulator.fleet")
    planted = {"carlake": "", **{f"carlake.{name}": "" for name in names}}
    (found,) = misplaced({**planted, module: line})
    assert blame in found


def test_good_imports_pass() -> None:
    assert misplaced(
        {
            "carlake": "",
            "carlake.lakehouse": "from carlake.refresh.run import run\nfrom carlake.engines.duckdb.engine import DuckDBEngine",
            "carlake.refresh.run": "from carlake.engines.protocol import Engine\nfrom carlake.refresh import plan",
            "carlake.refresh.plan": "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from carlake.lakehouse import Lakehouse",
            "carlake.engines.duckdb.land": "import duckdb\nfrom carlake.engines.duckdb.engine import DuckDBEngine",
        }
    ) == []  # fmt: skip


def test_a_circle_is_found() -> None:
    modules = {
        "carlake.tables.a": "from carlake.tables import b",
        "carlake.tables.b": "def late():\n    from carlake.tables.c import x",
        "carlake.tables.c": "import carlake.tables.a",
        "carlake.tables.d": "import carlake.tables.a",
    }
    assert circles(modules) == ["carlake.tables.a -> carlake.tables.b -> carlake.tables.c -> carlake.tables.a"]


def _loaded_by(statement: str) -> set[str]:
    script = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    return set(
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    )


@pytest.mark.parametrize("module", ["carlake.cli.main", "carlake.lake", "carlake.errors"])
def test_what_every_command_imports_is_light(module: str) -> None:
    """`carlake --help` answers at once: no engine, no catalog, no settings before a command needs them."""
    if module not in sources():
        pytest.skip(f"{module} is not there yet")
    assert (
        _loaded_by(f"import {module}") & {"pyarrow", "numpy", "asyncio", *(ONLY_FROM.keys() - {"typer", "rich"})}
        == set()
    )


def test_settings_import_nothing_heavy() -> None:
    assert _loaded_by("import carlake.settings") & {"pyarrow", "duckdb", "pyiceberg", "sqlalchemy", "asyncio"} == set()
