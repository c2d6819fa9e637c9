"""Which tests one process runs one after another, and which begin first: told by the folder and file that they lie in.

A file is a unit, so that what its tests share is made once. Where files share what is slow to start (a session of Spark, an
account, another engine), they are one unit together. What takes minutes begins first, so that nothing long is left at the
end. Marks of xdist would say it at the tests themselves; it hands them on as part of a test's id, which pytest 9.2 passes over
without a word, and every process started everything.
"""

from __future__ import annotations

from typing import Any

from xdist.scheduler import LoadScopeScheduling

ONE_UNIT = ("spark", "readers", "aws")
"""Folders whose files share what is slow to start."""

_FIRST = (
    *("tests/spark/", "tests/readers/", "tests/bench/", "tests/aws/"),
    *("tests/matrix/", "tests/concurrency/", "tests/order/", "tests/stores/", "tests/watch/", "tests/docs/"),
    *("tests/queues/", "tests/upkeep/", "tests/releases/", "tests/catalogs/", "tests/stateful/", "tests/circuits/"),
)
"""What takes long, the longest first."""


def unit_of(test: str) -> str:
    """The unit of a test, by its id (`tests/folder/test_file.py::test_name[parameter]`)."""
    file, _, name = test.partition("::")
    folder = file.split("/")[1] if file.count("/") > 1 else ""
    if folder in ONE_UNIT:
        return f"tests/{folder}/"
    if file == "tests/matrix/test_behaviour.py":
        # By what is started: Spark, which its own tests have running, or a catalog's server.
        engine, _, rest = name.partition("[")[2].partition("-")
        return "tests/spark/" if engine == "spark" else f"{file}::{rest.partition('-')[0]}"
    return file


def rank_of(test: str) -> int:
    """A unit with a lower rank begins earlier."""
    unit = unit_of(test)
    return next((number for number, start in enumerate(_FIRST) if unit.startswith(start)), len(_FIRST))


class ByUnit(LoadScopeScheduling):  # type: ignore[misc]
    """Hands units out in the order of the tests, which is that of the ranks."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def pytest_xdist_make_scheduler(config: Any, log: Any) -> ByUnit:
    """Units instead of xdist's own ways, whichever is asked for."""
    config.option.loadscopereorder = False  # by the number of tests, which says nothing of their time
    return ByUnit(config, log)
