"""The lakes that others read, and the readers. Each server is started once for all of these tests, which one worker runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from lakes import NOON, lakehouse
from readers.lake import Read, fed
from servers import postgres, rest_catalog, trino, versitygw
from servers.shared import Servers

CREDENTIALS = {
    "PGPASSWORD": postgres.PASSWORD,
    "AWS_ACCESS_KEY_ID": versitygw.ACCESS,
    "AWS_SECRET_ACCESS_KEY": versitygw.SECRET,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""What no text shows: each reader has it in its environment."""
GLUE_KEYS = {"glue.access-key-id": versitygw.ACCESS, "glue.secret-access-key": versitygw.SECRET}


@pytest.fixture(scope="session")
def running_trino() -> Iterator[trino.Trino]:
    """Trino, started once."""
    with trino.running(CREDENTIALS) as server:
        yield server


@pytest.fixture(scope="session")
def store(servers: Servers) -> versitygw.Server:
    """An S3 server."""
    return servers.s3


@pytest.fixture(scope="session")
def sqlite_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Read]:
    """The default: SQLite's file and local files."""
    folder = tmp_path_factory.mktemp("read")
    with lakehouse(folder / "lake") as house:
        yield fed(house, folder)


@pytest.fixture(scope="session")
def postgres_s3(tmp_path_factory: pytest.TempPathFactory, servers: Servers) -> Iterator[Read]:
    """A lake whole in a store, its catalog in PostgreSQL."""
    uri = servers.postgres.database("fleet")
    yield from _in_store(tmp_path_factory.mktemp("read"), servers.s3, "postgres", uri)


@pytest.fixture(scope="session")
def rest_s3(tmp_path_factory: pytest.TempPathFactory, store: versitygw.Server) -> Iterator[Read]:
    """A lake whole in a store, its catalog behind Iceberg's REST protocol."""
    properties = {
        "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        "s3.endpoint": store.endpoint,
        "s3.path-style-access": "true",
        "client.region": versitygw.REGION,
        "s3.access-key-id": versitygw.ACCESS,
        "s3.secret-access-key": versitygw.SECRET,
    }
    warehouse = f"{store.make_bucket(f'rest-{uuid4().hex[:12]}')}/warehouse"
    with rest_catalog.running(warehouse, properties, s3=True) as server:
        yield from _in_store(tmp_path_factory.mktemp("read"), store, "rest", server.uri)


@pytest.fixture(scope="session")
def glue_s3(tmp_path_factory: pytest.TempPathFactory, servers: Servers) -> Iterator[Read]:
    """A lake whole in a store, its catalog by Glue's API: the shape of it alone."""
    region = {"glue.region": versitygw.REGION}
    uri = servers.moto.endpoint
    yield from _in_store(tmp_path_factory.mktemp("read"), servers.s3, "glue", uri, **region, **GLUE_KEYS)


def _in_store(folder: Path, store: versitygw.Server, catalog: str, uri: str, **properties: str) -> Iterator[Read]:
    options = {
        "endpoint": store.endpoint,
        "region": versitygw.REGION,
        "access_key_id": versitygw.ACCESS,
        "secret_access_key": versitygw.SECRET,
    }
    settings = Settings(
        threads=1,
        catalog=catalog,
        catalog_uri=uri,
        catalog_properties=properties,
        store_properties=options,
        state_folder=folder / "state",
    )
    bucket = store.make_bucket(f"lake-{uuid4().hex[:12]}")
    with Lakehouse.create(f"{bucket}/lake", settings, clock=lambda: NOON) as house:
        yield fed(house, folder)


@pytest.fixture(params=["sqlite_local", "postgres_s3", "rest_s3", "glue_s3"], scope="session")
def any_cell(request: pytest.FixtureRequest) -> Read:
    """Each of the lakes, for readers that take no servers of their own."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Read)
    return found


@pytest.fixture(scope="session")
def cell_of_spark(request: pytest.FixtureRequest) -> Read:
    """One of the lakes, as the test says."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Read)
    return found


@pytest.fixture(params=["sqlite_local", "postgres_s3", "rest_s3"], scope="session")
def cell(request: pytest.FixtureRequest) -> Read:
    """Each of the lakes."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Read)
    return found
