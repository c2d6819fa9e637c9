"""Lakes whose landing and archive lie in a real S3 server with object versions, reached through one that can fail."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from carlake.lakehouse import Lakehouse
from carlake.landing import versions
from carlake.settings import Settings
from carlake.storage.clients import forget_clients
from lakes import NOON
from servers.faults import Proxy, failing
from servers.shared import Servers
from servers.versitygw import ACCESS, REGION, SECRET, Server
from stores.bucket import Bucket


@pytest.fixture(scope="session")
def server(servers: Servers) -> Server:
    return servers.s3


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with failing(server.endpoint) as proxy:
        forget_clients()
        versions.heeds_conditions.cache_clear()
        yield proxy
    forget_clients()


@pytest.fixture
def bucket(server: Server, request: pytest.FixtureRequest) -> Bucket:
    """One with versions."""
    return Bucket(server, f"versions-{_digest(request)}", versioned=True)


@pytest.fixture
def plain(server: Server, request: pytest.FixtureRequest) -> Bucket:
    """One without."""
    return Bucket(server, f"plain-{_digest(request)}", versioned=False)


def _digest(request: pytest.FixtureRequest) -> str:
    """A name of the test's own, and the same in every run: which requests fail hangs on their paths."""
    return hashlib.sha256(request.node.name.encode()).hexdigest()[:16]


@pytest.fixture
def options(proxy: Proxy) -> dict[str, str]:
    """What `store_properties` needs to reach the server by way of the proxy."""
    return {
        "endpoint": proxy.endpoint,
        "region": REGION,
        "access_key_id": ACCESS,
        "secret_access_key": SECRET,
        "retry_seconds": "20",
    }


@pytest.fixture
def lake(small_folder: Path, options: dict[str, str]) -> Iterator[Callable[..., Lakehouse]]:
    """Opens the test's lake, with landing and archive in a bucket; more settings by name."""
    opened: list[Lakehouse] = []

    def open_lake(bucket: Bucket, *, clock: Callable[[], datetime] = lambda: NOON, **settings: Any) -> Lakehouse:
        own = {"landing": f"{bucket.uri}/landing", "archive": f"{bucket.uri}/archive", "store_properties": options}
        house = Lakehouse.create(small_folder / "lake", Settings(**{"threads": 1, **own, **settings}), clock)
        opened.append(house)
        return house

    yield open_lake
    for house in opened:
        house.close()
