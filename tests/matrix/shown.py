"""What the tests print of the matrix at their end: each combination, with what passed and failed. One that is missing fails."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

from matrix.cells import ALL, EACH_PART, FLOW, USUAL, Cell


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--matrix`: which combinations run, and that all of them must have."""
    parser.addoption(
        "--matrix",
        choices=("usual", "all"),
        default=None,
        help="combinations of engine, catalog and store: the usual ones (the default) or all; a missing one then fails",
    )


def cells(config: pytest.Config, test: str = FLOW) -> tuple[Cell, ...]:
    """The combinations that a test is to run on."""
    if config.getoption("--matrix") == "all":
        return ALL
    return tuple(cell for cell in USUAL if cell in EACH_PART or test == FLOW)


def outcomes(stats: dict[str, list[Any]]) -> dict[str, Counter[str]]:
    """By combination, how many tests of it passed and how many did not."""
    found: dict[str, Counter[str]] = {}
    for outcome in ("passed", "failed", "error", "skipped", "xfailed"):
        for report in stats.get(outcome, ()):
            node = getattr(report, "nodeid", "")
            named = re.search(r"matrix/test_.*\[([a-z0-9]+-[a-z0-9]+-[a-z0-9]+)", node)
            if named is not None and (outcome != "passed" or report.when == "call"):
                found.setdefault(named[1], Counter())["passed" if outcome == "passed" else "failed"] += 1
    return found


def missing(config: pytest.Config, found: dict[str, Counter[str]]) -> list[str]:
    """The combinations that had to run and did not, where all were asked for."""
    if config.getoption("--matrix") is None:
        return []
    return [str(cell) for cell in cells(config) if not found.get(str(cell))]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A combination that did not run fails the tests, like one that failed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(session.config, "workerinput") or exitstatus != 0:
        return
    if missing(session.config, outcomes(reporter.stats)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the matrix, if any of it ran or had to."""
    found = outcomes(terminalreporter.stats)
    absent = missing(config, found)
    if not found and not absent:
        return
    terminalreporter.section("engine x catalog x store")
    for name in [*dict.fromkeys([*map(str, ALL), *found])]:
        if name in absent:
            terminalreporter.line(f"{name:<24} MISSING", red=True)
        elif counts := found.get(name):
            failed = counts["failed"]
            said = f"{counts['passed']} passed" + (f", {failed} failed" if failed else "")
            terminalreporter.line(f"{name:<24} {said}", red=bool(failed), green=not failed)
