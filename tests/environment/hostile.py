"""Machines that make trouble: no room, few files, little memory, a clock that jumps, other zones and tongues.

Each works in a child process. Whatever comes of the operation there, the same operation in a healthy process must then
give what an undisturbed one gives.
"""

from __future__ import annotations

import locale
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from carlake.errors import CarlakeError
from crashes.boundaries import Act, Boundaries, Boundary
from crashes.matrix import Matrix, a_minute_passes, differences
from crashes.operations import OPERATIONS, opened, problems, settings, state
from crashes.processes import run
from lakes import NOON, lakehouse

ENDED, REFUSED, CRASHED = 0, 3, 1
"""Exit codes of a child: done; refused with an error that says so; another exception."""


def in_child(prepare: Callable[..., None], name: str, folder: str, *args: Any) -> None:
    """Make the trouble, and do the operation in it."""
    prepare(Path(folder), *args)
    try:
        OPERATIONS[name].command(Path(folder))
    except (CarlakeError, AssertionError):
        # An operation asserts that its report is well: one that is not has said what was wrong.
        sys.exit(REFUSED)


def suffer(matrix: Matrix, prepare: Callable[..., None], *args: Any) -> tuple[int, list[str]]:
    """Do the operation in trouble and again without; gives how the first ended, and what is wrong after the second."""
    matrix.place.restore()
    folder = matrix.place.folder
    code = run(in_child, prepare, matrix.name, str(folder), *args)
    a_minute_passes(folder / "lake")
    wrong: list[str] = [] if code in (ENDED, REFUSED) else [f"the process ended with {code}"]
    try:
        matrix.operation.command(folder)
        with opened(folder) as house:
            wrong += problems(house) + differences(matrix.wanted, state(house))
    except Exception as error:  # noqa: BLE001  (told by who asked)
        wrong.append(f"{type(error).__name__}: {error}")
    return code, wrong


def full_at(boundary: Boundary) -> Act:
    """The act that says, from one boundary on, that the disk is full."""
    full = []

    def act(seen: Boundary) -> None:
        if (seen.name, seen.number, seen.when) == (boundary.name, boundary.number, boundary.when):
            full.append(True)
        if full and seen.when == "before" and seen.name.split(" ", 1)[0] in ("begin", "write", "end", "make", "swap"):
            raise OSError(28, "No space left on device")

    return act


def no_room(folder: Path, at: dict[str, Any]) -> None:
    """The disk is full from a boundary on."""
    Boundaries(folder / "lake", full_at(Boundary(**at))).install()


def small_files(_: Path, size: int) -> None:
    """No file may grow beyond a size; the system says so in the middle of a write."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def few_files(_: Path, number: int) -> None:
    """So many files may be open at once."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))


def little_memory(_: Path, more_bytes: int) -> None:
    """So much more address space than the process has when it begins."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + more_bytes
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def in_zone(_: Path, zone: str, tongue: str = "C") -> None:
    """Another zone, and another locale where the machine has it."""
    os.environ["TZ"], os.environ["LC_ALL"] = zone, tongue
    time.tzset()
    try:
        locale.setlocale(locale.LC_ALL, tongue)
    except locale.Error:
        locale.setlocale(locale.LC_ALL, "C")


def clock_off(_: Path, hours: float) -> None:
    """The machine's clock is off; Iceberg's and the file system's of this process with it, as far as Python tells them."""
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + hours * 3600
    time.time_ns = lambda: real_ns() + int(hours * 3600e9)


def run_at(folder: str, hours: float, offset: float) -> None:
    """In a child: run with a clock, carlake's and the machine's, that is so far off."""
    clock_off(Path(folder), offset)
    with lakehouse(Path(folder) / "lake", settings(Path(folder)), at=NOON + timedelta(hours=hours)) as house:
        report = house.run()
        assert report.status == "succeeded", report


def writes(matrix: Matrix) -> list[Boundary]:
    """The boundaries at which something is written."""
    return [
        each
        for each in matrix.boundaries
        if each.when == "before" and each.name.split(" ", 1)[0] in ("begin", "write", "end", "make", "swap")
    ]


def fill(matrix: Matrix, boundary: Boundary) -> list[str]:
    """What is wrong after the disk was full at a boundary."""
    _, wrong = suffer(matrix, no_room, asdict(boundary))
    return [f"disk full {boundary}: {each}" for each in wrong]
