"""What all tests share: how Hypothesis runs, and that no variable of the caller's reaches a test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from matrix import shown
from matrix.shown import pytest_sessionfinish, pytest_terminal_summary  # noqa: F401  (hooks)
from servers.shared import Servers
from units import pytest_xdist_make_scheduler, rank_of  # noqa: F401  (hook)

# The same cases on every run and machine: a failure is the change's, not the day's. A slow machine is no failure.
settings.register_profile(
    "steady", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
# To look for new cases: HYPOTHESIS_PROFILE=search pytest ...
settings.register_profile("search", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--matrix`, and `--aws`: whether the long proofs of the deployment run, too."""
    shown.pytest_addoption(parser)
    what = "proofs of the deployment on AWS: the usual ones (the default), or all, which takes minutes"
    parser.addoption("--aws", choices=("usual", "all"), default="usual", help=what)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long."""
    items.sort(key=lambda item: rank_of(item.nodeid))


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith(("CARLAKE_", "PYICEBERG_"))]:
        monkeypatch.delenv(variable)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The servers of this process of tests: one of each, from the first test that uses it to the last."""
    with Servers() as found:
        yield found


@pytest.fixture
def small_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one, else on the disk: most of a small lake's time is waiting for the disk."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or not os.access(memory, os.W_OK) or shutil.disk_usage(memory).free < 1 << 30:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="carlake-test-") as folder:
        yield Path(folder)
