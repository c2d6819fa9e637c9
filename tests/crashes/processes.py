"""Child processes that start fast: forked from one that has imported everything and opened nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

# DuckDB and SQLite have no threads or files before they are opened, so a process that only imported them may be forked.
_PRELOADED = [
    "pytest",
    "carlake.lakehouse",
    "carlake.engines.duckdb.engine",
    "carlake.refresh.run",
    "carlake.look.verify",
    "carlake.look.names",
    "carlake.catalogs.by_name",
    "carlake.settings",
    "pyiceberg.catalog.sql",
    "pyiceberg.avro.file",
    "sqlalchemy.dialects.sqlite",
    "sqlalchemy.engine.default",
    "pyarrow.parquet",
    "pyarrow.compute",
    "pytz",
]
CHILDREN: Any = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(_PRELOADED)
_LONGEST_SECONDS = 180


def start(target: Callable[..., object], *args: object) -> Any:
    """A child process that calls `target`, started."""
    process = CHILDREN.Process(target=quietly, args=(target, *args))
    process.start()
    return process


def finish(process: Any, seconds: float = _LONGEST_SECONDS) -> int:
    """Its exit code, once it has ended; 0 is well, -9 is SIGKILL. A child that hangs is killed, and TimeoutError raised."""
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"a child process did not end within {seconds} s")
    return int(process.exitcode)


def run(target: Callable[..., object], *args: object) -> int:
    """Call `target` in a child process; gives its exit code."""
    return finish(start(target, *args))


def quietly(target: Callable[..., object], *args: object) -> None:
    """Without a trace on the screen for what a test does on purpose; the exit code tells. For a look: CRASHES_LOUD=1."""
    if not os.environ.get("CRASHES_LOUD"):
        with Path(os.devnull).open("w") as nothing:
            os.dup2(nothing.fileno(), 2)
    target(*args)


def killed(code: int) -> bool:
    """Whether a process ended by SIGKILL."""
    return code == -signal.SIGKILL
