"""What is said of a catalog that cannot be opened: what happened, what to do, and no secret."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from carlake import lake as lakes
from carlake.catalogs.by_name import open_catalog
from carlake.errors import LakeError
from carlake.lake import Lake
from carlake.settings import Settings
from carlake.tables.declare import BRONZE
from lakes import lakehouse, nested, put, step
from servers.postgres import PASSWORD
from servers.shared import Servers


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return lakes.create(tmp_path / "lake")


def said(lake: Lake, catalog: str, uri: str | None = None, **properties: str) -> str:
    """What the error says, with what stands around it: nothing of that may be a secret."""
    settings = Settings(catalog=catalog, catalog_uri=uri, catalog_properties=properties)
    with pytest.raises(LakeError) as caught:
        open_catalog(settings, lake)
    whole = "".join(traceback.format_exception(caught.value))
    for secret in (PASSWORD, "hunter2", "hunter%202"):
        assert secret not in whole
    return str(caught.value)


def test_a_wrong_password(lake: Lake, servers: Servers) -> None:
    text = said(lake, "postgres", servers.postgres.uri(password="hunter2"))
    assert "refused the password of user 'carlake'" in text
    assert "CARLAKE_CATALOG_URI" in text.splitlines()[1]


def test_no_password(lake: Lake, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"postgresql://carlake@127.0.0.1:{servers.postgres.port}/postgres"
    assert "wants a password and was given none" in said(lake, "postgres", uri)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    catalog = open_catalog(Settings(catalog="postgres", catalog_uri=uri, namespace="by_environment"), lake)
    assert ("by_environment",) in catalog.list_namespaces()
    catalog.close()


def test_a_database_that_is_not_there(lake: Lake, servers: Servers) -> None:
    text = said(lake, "postgres", servers.postgres.uri("nowhere"))
    assert "has no database 'nowhere'" in text and "CREATE DATABASE nowhere" in text


def test_a_server_that_is_not_there(lake: Lake) -> None:
    for catalog, uri in (("postgres", "postgresql://me:hunter2@127.0.0.1:1/x"), ("rest", "http://127.0.0.1:1")):
        text = said(lake, catalog, uri)
        assert "cannot be reached" in text and "host and port in catalog_uri" in text


def test_a_user_who_may_not_make_tables(lake: Lake, servers: Servers) -> None:
    servers.postgres.database("guarded")
    servers.postgres.execute("CREATE ROLE guest LOGIN PASSWORD 'hunter2'")
    text = said(lake, "postgres", f"postgresql://guest:hunter2@127.0.0.1:{servers.postgres.port}/guarded")
    assert "may not use schema public" in text and "GRANT USAGE, CREATE ON SCHEMA public" in text


def test_a_user_who_may_only_read(lake: Lake, servers: Servers) -> None:
    uri = servers.postgres.database("read_only")
    open_catalog(Settings(catalog="postgres", catalog_uri=uri), lake).close()
    servers.postgres.execute("CREATE ROLE reader LOGIN PASSWORD 'hunter2'")
    servers.postgres.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader", "read_only")
    reading = f"postgresql://reader:hunter2@127.0.0.1:{servers.postgres.port}/read_only"
    catalog = open_catalog(Settings(catalog="postgres", catalog_uri=reading), lake)
    assert catalog.list_namespaces() == [("carlake",)]
    catalog.close()


def test_a_commit_that_a_user_may_not_make_says_who_may_grant_it(small_folder: Path, servers: Servers) -> None:
    uri = servers.postgres.database("granted")
    house = lakehouse(small_folder, Settings(catalog="postgres", catalog_uri=uri))
    put(small_folder / "landing" / "1.json", nested("C1", "E1", "2025-01-01T10:00:00Z"))
    assert house.run().status == "succeeded"
    house.close()
    servers.postgres.execute("CREATE ROLE looker LOGIN PASSWORD 'hunter2'")
    servers.postgres.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO looker", "granted")
    looking = f"postgresql://looker:hunter2@127.0.0.1:{servers.postgres.port}/granted"
    house = lakehouse(small_folder, Settings(catalog="postgres", catalog_uri=looking))
    landed = put(small_folder / "landing" / "2.json", nested("C2", "E2", "2025-01-01T10:00:00Z"))
    report = house.run()
    told = step(report, BRONZE).error
    assert report.status == "failed"
    assert "bronze_car_data was not committed: its user may not use table iceberg_tables" in told
    assert "GRANT SELECT, INSERT, UPDATE, DELETE ON iceberg_tables" in told
    assert landed.exists()
    house.close()


@pytest.mark.parametrize(
    ("catalog", "uri", "package", "extra"),
    [
        ("postgres", "postgresql://me:hunter2@127.0.0.1:1/x", "psycopg", "postgres"),
        ("glue", None, "boto3", "aws"),
    ],
)
def test_an_extra_that_is_not_installed(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, catalog: str, uri: str | None, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for name in [name for name in sys.modules if name.startswith("pyiceberg.catalog.glue")]:
        monkeypatch.delitem(sys.modules, name)
    text = said(lake, catalog, uri)
    assert f"'{catalog}' is not installed" in text and f"pip install -c constraints.txt -e '.[{extra}]'" in text


class _Answering(BaseHTTPRequestHandler):
    """Answers everything with the status that the path begins with."""

    def do_GET(self) -> None:
        status = int(self.path.split("/")[1])
        body = b'{"error": {"message": "no", "type": "Forbidden", "code": 403}}' if status != 404 else b"<html>"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def answering() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "does not accept the credentials"),
        (403, "does not permit it"),
        (404, "is no Iceberg REST catalog"),
    ],
)
def test_a_rest_server_that_refuses(lake: Lake, answering: str, status: int, words: str) -> None:
    assert words in said(lake, "rest", f"{answering}/{status}", token="hunter2")


def test_a_closed_catalog_leaves_no_connection(lake: Lake, servers: Servers) -> None:
    """Also one that is only forgotten: the driver warns of a connection that nobody closed, and warnings fail tests."""
    uri = servers.postgres.database("counted")
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'counted'"
    catalog = open_catalog(Settings(catalog="postgres", catalog_uri=uri), lake)
    assert catalog.list_namespaces() == [("carlake",)]
    assert servers.postgres.execute(count) == [(1,)]
    del catalog
    for _ in range(100):
        if servers.postgres.execute(count) == [(0,)]:
            return
    pytest.fail("a connection is left open")
