"""A combination that did not run is not overlooked."""

from __future__ import annotations

import subprocess
import sys

from structure.layers import ROOT


def test_a_combination_that_is_missing_fails_the_tests() -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--matrix",
        "usual",
        "tests/matrix/test_cells.py",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout
    assert "duckdb-sqlite-local      MISSING" in done.stdout
    assert " passed" in done.stdout
