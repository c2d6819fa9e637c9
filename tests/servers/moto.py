"""AWS's APIs by their shape: moto's server, a process of its own on 127.0.0.1.

It keeps what it is told, in memory, and enforces little: Glue's table versions are not checked, so two writers can both
succeed there. Nothing about concurrency can be shown with it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from servers.aws import ACCESS as ACCESS
from servers.aws import REGION as REGION
from servers.aws import environment
from servers.processes import Process, free_port, start

SECRET = "test-secret"


@dataclass(frozen=True)
class Server:
    """A running server. `endpoint` may be replaced by a proxy's: `server.behind(proxy.endpoint)`."""

    endpoint: str
    process: Process

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which AWS's clients find it."""
        return environment(self.endpoint, SECRET)

    def behind(self, endpoint: str) -> Server:
        """The same server, reached by way of a proxy."""
        return Server(endpoint, self.process)

    def client(self, service: str) -> Any:
        """A client of one of its services."""
        import boto3

        return boto3.session.Session(ACCESS, SECRET, region_name=REGION).client(service, endpoint_url=self.endpoint)


@contextmanager
def running() -> Iterator[Server]:
    """A server without any resource."""
    folder = Path(tempfile.mkdtemp(prefix="carlake-moto-"))
    try:
        port = free_port()
        endpoint = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            try:
                with urlopen(f"{endpoint}/moto-api/data.json", timeout=5) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        process = start(
            "moto", command, folder / "log", answers, environment={**os.environ, "PYTHONWARNINGS": "ignore"}
        )
        try:
            yield Server(endpoint, process)
        finally:
            process.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
