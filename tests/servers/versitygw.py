"""A real S3 server: versitygw over a folder of the local disk, with object versions where a bucket asks for them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from servers import go
from servers.aws import ACCESS as ACCESS
from servers.aws import REGION as REGION
from servers.aws import environment
from servers.processes import free_port

VERSION = "v1.8.0"
SECRET = "test-secret-0123456789"

_START_SECONDS = 30


@dataclass(frozen=True)
class Server:
    """A running server. `endpoint` may be replaced by a proxy's: `server.behind(proxy.endpoint)`."""

    endpoint: str
    pid: int
    folder: Path
    buckets: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which the usual clients find it."""
        return environment(self.endpoint, SECRET)

    def behind(self, endpoint: str) -> Server:
        """The same server, reached by way of a proxy."""
        return Server(endpoint, self.pid, self.folder, self.buckets)

    def client(self) -> Any:
        """A client that is not carlake's."""
        import boto3
        from botocore.config import Config

        return boto3.session.Session(ACCESS, SECRET, region_name=REGION).client(
            "s3",
            endpoint_url=self.endpoint,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 10, "mode": "standard"}),
        )

    def make_bucket(self, name: str, *, versioned: bool = True) -> str:
        """Make a bucket; gives its uri, `s3://NAME`."""
        client = self.client()
        client.create_bucket(Bucket=name)
        if versioned:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        self.buckets.append(name)
        return f"s3://{name}"


@contextmanager
def running() -> Iterator[Server]:
    """A server on a free port of 127.0.0.1, with a folder of its own, which goes with it."""
    executable = program()
    folder = Path(tempfile.mkdtemp(prefix="carlake-s3-", dir=_memory()))
    for name in ("data", "versions"):
        (folder / name).mkdir()
    log = (folder / "log").open("wb")
    try:
        for _ in range(5):  # a free port may be taken by another between the look and the start
            port = free_port()
            process = subprocess.Popen(
                [
                    str(executable),
                    *("--port", f"127.0.0.1:{port}", "--access", ACCESS, "--secret", SECRET, "--region", REGION),
                    *("--iam-dir", str(_made(folder / "iam")), "--quiet"),
                    *("posix", "--versioning-dir", str(folder / "versions"), str(folder / "data")),
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
            if _answers(process, port):
                break
        else:
            raise RuntimeError(f"versitygw does not start: {(folder / 'log').read_text(errors='replace')[-2000:]}")
        try:
            yield Server(f"http://127.0.0.1:{port}", process.pid, folder)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def program() -> Path:
    """The program, built once for all by Go."""
    return go.program(f"versitygw/{VERSION}", f"github.com/versity/versitygw/cmd/versitygw@{VERSION}")


def _memory() -> str | None:
    """A folder in memory where there is one with room and with the attributes that the server keeps its own notes in."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK) or shutil.disk_usage(shared).free < 1 << 30:
        return None
    probe = Path(tempfile.mkdtemp(dir=shared))
    try:
        os.setxattr(probe, "user.carlake", b"1")
        return str(shared)
    except OSError:
        return None
    finally:
        probe.rmdir()


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Whether it is this process that answers on the port, within the time for it."""
    until = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        with socket.socket() as client:
            client.settimeout(1)
            if client.connect_ex(("127.0.0.1", port)) == 0:
                time.sleep(0.05)  # another's port: this process ends, for it cannot have it
                return process.poll() is None
        time.sleep(0.02)
    if process.poll() is None:
        process.kill()
    process.wait()
    return False
