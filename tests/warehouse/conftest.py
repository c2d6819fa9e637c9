"""One S3 server for the tests of a process, a bucket with versions for each test, and a lake in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from servers.faults import Proxy, failing
from servers.shared import Servers
from servers.versitygw import Server
from warehouse.lake_of_store import StoreLake


@pytest.fixture(scope="session")
def server(servers: Servers) -> Server:
    return servers.s3


@pytest.fixture
def bucket(server: Server) -> str:
    """A bucket of the test's own, as `s3://NAME`."""
    return server.make_bucket(f"lake-{uuid4().hex[:12]}")


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A server in front of the other, which counts what comes, and fails once a test says so."""
    with failing(server.endpoint) as found:
        yield found


@pytest.fixture
def lake(bucket: str, proxy: Proxy, small_folder: Path) -> StoreLake:
    """A lake whole in the store, reached by way of the proxy; its catalog is a database beside it."""
    return StoreLake(f"{bucket}/fleet/lake", proxy.endpoint, small_folder)
