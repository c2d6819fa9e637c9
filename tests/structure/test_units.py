"""The tests that share a session of Spark, an account or a server run in one process: seen in a run of several."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from structure.layers import ROOT
from units import ONE_UNIT, rank_of, unit_of

NOTES = """\
import json, os, pathlib, pytest

@pytest.mark.parametrize("n", range(4))
def test_one(n, worker_id, request):
    file = pathlib.Path({folder!r}) / f"{{request.node.path.stem}}-{{n}}"
    file.write_text(json.dumps([request.node.nodeid, worker_id]))
"""


def test_a_unit_is_run_by_one_process_alone(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    seen.mkdir()
    for name in ("spark/test_a", "spark/test_b", "watch/test_c", "watch/test_d", "cli/test_e"):
        file = tmp_path / "tests" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(NOTES.format(folder=str(seen)))
    (tmp_path / "conftest.py").write_text("from units import pytest_xdist_make_scheduler\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    words = ["-n", "3", "--dist", "loadscope", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", "tests"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT / "tests"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    processes: dict[str, set[str]] = {}
    for note in seen.iterdir():
        test, process = json.loads(note.read_text())
        processes.setdefault(unit_of(test), set()).add(process)
    assert {unit: len(found) for unit, found in processes.items()} == {
        "tests/spark/": 1,
        "tests/watch/test_c.py": 1,
        "tests/watch/test_d.py": 1,
        "tests/cli/test_e.py": 1,
    }


@pytest.mark.parametrize(
    ("test", "unit"),
    [
        ("tests/cli/test_main.py::test_help[a-b]", "tests/cli/test_main.py"),
        ("tests/spark/test_engine.py::test_few", "tests/spark/"),
        ("tests/matrix/test_behaviour.py::test_it[spark-rest-s3]", "tests/spark/"),
        ("tests/matrix/test_behaviour.py::test_it[duckdb-rest-s3]", "tests/matrix/test_behaviour.py::rest"),
        ("tests/matrix/test_shown.py::test_it", "tests/matrix/test_shown.py"),
    ],
    # The matrix that is printed is read off the tests' names.
    ids=["file", "folder", "engine", "catalog", "beside"],
)
def test_what_lies_where_is_which_unit(test: str, unit: str) -> None:
    assert unit_of(test) == unit
    assert rank_of(test) <= rank_of("tests/somewhere/test_else.py::test_it")


def test_the_folders_of_one_unit_are_there() -> None:
    assert all((ROOT / "tests" / folder).is_dir() for folder in ONE_UNIT)
