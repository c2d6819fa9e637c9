"""Apache Iceberg's own REST catalog: its adapter and servlet over its JDBC catalog, on 127.0.0.1 and nowhere else.

The classes are those of Iceberg's tests; the stock server of them binds every address, so the launcher here is ours.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from servers.ivy import class_path, jars
from servers.java import java
from servers.processes import Process, free_port, start
from servers.provide import called, once

_ICEBERG, _JETTY = "1.10.0", "11.0.26"
_LIBRARIES = (
    f"org.apache.iceberg:iceberg-core:{_ICEBERG}",
    f"org.apache.iceberg:iceberg-core:{_ICEBERG}:tests",
    f"org.eclipse.jetty:jetty-servlet:{_JETTY}",
    "org.xerial:sqlite-jdbc:3.54.1.0",
    "org.slf4j:slf4j-simple:2.0.17",
)
_S3 = ("org.apache.iceberg:iceberg-aws:1.10.0", "org.apache.iceberg:iceberg-aws-bundle:1.10.0")
_COMPILER = "org.eclipse.jdt:ecj:3.33.0"
"""Eclipse's compiler, a jar that any Java runs: the Java of a Python package has none."""

_SOURCE = Path(__file__).with_name("RestCatalog.java")


class Server:
    """A running catalog; its tables' metadata lie in `warehouse`."""

    def __init__(self, folder: Path, warehouse: str, properties: Mapping[str, str], s3: bool) -> None:
        self.warehouse, self.port = warehouse, free_port()
        self._folder, self._properties, self._s3 = folder, dict(properties), s3
        self._process: Process | None = None

    @property
    def uri(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, on what it knew before, and wait until it answers."""
        about = self._folder / "catalog.properties"
        database = self._folder / "catalog.db"
        own = {
            "uri": f"jdbc:sqlite:{database}?busy_timeout=30000",
            "warehouse": self.warehouse,
            "jdbc.schema-version": "V1",
        }
        about.write_text(json.dumps(own | self._properties), encoding="utf-8")
        libraries = class_path([program(), *jars(*_LIBRARIES, *(_S3 if self._s3 else ()))])
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        light = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
        command = [str(java()), *light, quiet, "-cp", libraries, "RestCatalog", str(self.port), str(about)]
        self._process = start("The REST catalog", command, self._folder / "log", self._answers)

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is not None:
            self._process.stop()

    def crash(self) -> None:
        """End it without a last word."""
        if self._process is not None:
            self._process.kill()

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.uri}/v1/config", timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False


@contextmanager
def running(
    warehouse: str | None = None, properties: Mapping[str, str] | None = None, *, s3: bool = False
) -> Iterator[Server]:
    """A catalog on a free port. `properties` are those of Iceberg's catalogs (`io-impl`, `s3.endpoint`, ...).

    `s3` gives it Iceberg's S3FileIO too, for tables in `s3://`; it then is as `s3.endpoint` and the like say.
    """
    folder = Path(tempfile.mkdtemp(prefix="carlake-rest-"))
    try:
        server = Server(folder, warehouse or f"file://{folder}/warehouse", properties or {}, s3)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def provide() -> None:
    """Have the program and what it needs."""
    program()
    jars(*_LIBRARIES, *_S3)


def program() -> Path:
    """The folder with the launcher's class, compiled once."""
    version = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:12]

    def compiled(folder: Path) -> None:
        (compiler,) = jars(_COMPILER, alone=True)
        command = [str(java()), "-jar", str(compiler), "-17", "-nowarn", "-cp", class_path(jars(*_LIBRARIES))]
        called([*command, "-d", str(folder), str(_SOURCE)])

    return once(f"rest-catalog-{version}", compiled)
