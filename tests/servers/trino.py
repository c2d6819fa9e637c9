"""A real Trino: one coordinator that is its own worker, with the Iceberg connector and SQLite's driver.

Catalogs come and go by SQL, with the properties that `carlake connect trino` prints, so that one start serves all tests.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from servers.ivy import jars
from servers.java import java
from servers.processes import Process, free_port, start
from servers.provide import once

VERSION = "476"
DRIVER = "org.xerial:sqlite-jdbc:3.54.1.0"
_JAVA = (24, 25)
_HEAP = "768m"
_FIRST_ANSWER_SECONDS = 60
# Micros in times, and not the milliseconds that clients of long ago are given.
_HEADERS = {
    "X-Trino-User": "tests",
    "X-Trino-Time-Zone": "UTC",
    "X-Trino-Client-Capabilities": "PARAMETRIC_DATETIME",
}


class TrinoError(RuntimeError):
    """What Trino says of a statement that failed, with its name for it."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name


@dataclass(frozen=True)
class Trino:
    """A running server."""

    url: str
    process: Process

    def rows(self, sql: str, *, within: str = "") -> list[list[Any]]:
        """The rows of a statement; decimals and times are text, as Trino's protocol has them. Raises TrinoError.

        within  CATALOG.SCHEMA of tables that are named without
        """
        until = time.monotonic() + _FIRST_ANSWER_SECONDS
        while True:
            try:
                return self._rows(sql, within)
            except TrinoError as error:
                # The server says that it has started before it counts itself among its workers.
                if error.name != "NO_NODES_AVAILABLE" or time.monotonic() > until:
                    raise
                time.sleep(0.2)

    def _rows(self, sql: str, within: str) -> list[list[Any]]:
        found: list[list[Any]] = []
        headers = dict(_HEADERS)
        if within:
            headers["X-Trino-Catalog"], headers["X-Trino-Schema"] = within.split(".")
        request = Request(f"{self.url}/v1/statement", sql.encode(), headers)
        while True:
            with urlopen(request, timeout=60) as response:
                answer = json.load(response)
            if "error" in answer:
                raise TrinoError(answer["error"]["errorName"], answer["error"]["message"])
            found += answer.get("data", [])
            if "nextUri" not in answer:
                return found
            request = Request(answer["nextUri"], headers=headers)

    @contextmanager
    def catalog(self, name: str, properties: Mapping[str, str]) -> Iterator[None]:
        """Within, a catalog with the properties that its file would have."""
        given = dict(properties)
        connector = given.pop("connector.name")
        pairs = ", ".join(f'"{key}" = {_quoted(value)}' for key, value in given.items())
        self.rows(f"CREATE CATALOG {name} USING {connector} WITH ({pairs})")
        try:
            yield
        finally:
            self.rows(f"DROP CATALOG {name}")


@contextmanager
def running(environment: Mapping[str, str] | None = None) -> Iterator[Trino]:
    """A server on a free port of 127.0.0.1. `environment`: further variables, which `${ENV:...}` of properties reads."""
    program = provide()
    folder = Path(tempfile.mkdtemp(prefix="carlake-trino-"))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "coordinator": "true",
        "node-scheduler.include-coordinator": "true",
        "http-server.http.port": str(port),
        "discovery.uri": url,
        "plugin.dir": str(program / "plugin"),
        "catalog.management": "dynamic",
        "catalog.store": "memory",
        "query.max-memory": "384MB",
        "query.max-memory-per-node": "256MB",
        "memory.heap-headroom-per-node": "128MB",
    }
    node = {
        "node.environment": "tests",
        "node.id": f"tests-{port}",
        "node.data-dir": str(folder / "data"),
        "node.bind-ip": "127.0.0.1",
        "node.internal-address": "127.0.0.1",
        "config": str(folder / "config.properties"),
    }
    (folder / "data").mkdir()
    (folder / "config.properties").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    command = [str(java(*_JAVA)), "-cp", f"{program / 'lib'}/*", f"-Xmx{_HEAP}", "-XX:+UseSerialGC"]
    # It starts in half the time and lives for a minute: not worth the second compiler.
    command += ["-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError", "-Djdk.attach.allowAttachSelf=true"]
    command += ["--sun-misc-unsafe-memory-access=allow", *(f"-D{key}={value}" for key, value in node.items())]
    log = folder / "log"
    process = start(
        "Trino",
        [*command, "io.trino.server.TrinoServer"],
        log,
        lambda: b"SERVER STARTED" in log.read_bytes(),
        environment={**os.environ, **(environment or {})},
        folder=folder / "data",
    )
    try:
        yield Trino(url, process)
    finally:
        process.stop()
        shutil.rmtree(folder, ignore_errors=True)


def provide() -> Path:
    """The folder with the server and its plugin."""
    java(*_JAVA)
    return once(f"trino-{VERSION}", _make)


def _make(folder: Path) -> None:
    server, plugin = f"io.trino:trino-server-core:{VERSION}@tar.gz", f"io.trino:trino-iceberg:{VERSION}@zip"
    found = {file.name.split("-")[1]: file for file in jars(server, plugin, alone=True)}
    with tarfile.open(found["server"]) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = folder.glob("trino-server-core-*")
    shutil.rmtree(unpacked / "plugin")
    (unpacked / "plugin").mkdir()
    with zipfile.ZipFile(found["iceberg"]) as archive:
        archive.extractall(unpacked / "plugin")
    (iceberg,) = (unpacked / "plugin").iterdir()
    iceberg.rename(iceberg.with_name("iceberg"))
    for driver in jars(DRIVER, alone=True):
        shutil.copy(driver, unpacked / "plugin" / "iceberg")
    for part in ("lib", "plugin"):
        (unpacked / part).rename(folder / part)
    shutil.rmtree(unpacked)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
