"""One Spark for the tests of a process: to start one takes longer than most tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from carlake import lake as lakes
from carlake.engines.spark.session import close_session, open_session
from spark.sessions import spark_settings


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """To start Spark twice more is for `make test-all`."""
    late = collection_path.name == "test_ended.py" and config.getoption("--matrix") != "all"
    return True if late else None


@pytest.fixture(scope="session", autouse=True)
def _spark_stays() -> Iterator[None]:
    """Sessions of lakes come and go; this one keeps the context between them."""
    with tempfile.TemporaryDirectory(prefix="carlake-spark-") as folder:
        session = open_session(spark_settings(), lakes.create(Path(folder) / "lake"))
        yield
        close_session(session)
