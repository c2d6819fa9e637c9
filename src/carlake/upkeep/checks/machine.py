"""Checks of the machine: its clock, its disk, and what this user may do."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from carlake.landing.landed import PROBE
from carlake.landing.listing import is_store
from carlake.upkeep.checks.finding import Check, Found
from carlake.upkeep.inspection.lake import Inspection
from carlake.words import count

_SKEW_SECONDS = 300
_LITTLE_BYTES, _LITTLE_SHARE = 1 << 30, 0.05
_NO_BYTES = 64 << 20


def _clock(lake: Inspection) -> Iterator[Found]:
    now = lake.now.timestamp()
    for name, table in lake.tables.items():
        file = lake.best(name)
        snapshot = table.snapshot(file)
        if snapshot is not None and snapshot.timestamp_ms / 1000 > now + _SKEW_SECONDS:
            at = datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)
            yield (
                name,
                f"its newest snapshot is of {at:%Y-%m-%d %H:%M:%S}Z, and now it is {lake.now:%Y-%m-%d %H:%M:%S}Z",
            )
    if not lake.lake.landing.is_dir():
        return
    ahead = [
        path for path in lake.lake.landing.rglob("*") if path.is_file() and path.stat().st_mtime > now + _SKEW_SECONDS
    ]
    if ahead:
        yield str(ahead[0]), f"has a modification time in the future ({count(len(ahead), 'such object')})"


def _little(lake: Inspection) -> Iterator[Found]:
    yield from _free(lake, full=False)


def _full(lake: Inspection) -> Iterator[Found]:
    yield from _free(lake, full=True)


def _free(lake: Inspection, *, full: bool) -> Iterator[Found]:
    seen = set()
    for folder in folders_of_runs(lake):
        if not folder.is_dir() or (device := folder.stat().st_dev) in seen:
            continue
        seen.add(device)
        usage = shutil.disk_usage(folder)
        no_more = usage.free < _NO_BYTES
        little = usage.free < _LITTLE_BYTES or usage.free < usage.total * _LITTLE_SHARE
        if no_more if full else little and not no_more:
            yield str(folder), f"{usage.free:,} bytes of {usage.total:,} are free"


def folders_of_runs(lake: Inspection) -> tuple[Path, ...]:
    """The folders in which runs write."""
    return lake.root, lake.lake.landing, lake.lake.archive, lake.lake.warehouse, lake.lake.scratch


def _permission(lake: Inspection) -> Iterator[Found]:
    if not lake.is_lake:
        return
    if lake.own_catalog and (file := lake.lake.catalog_db).exists() and not os.access(file, os.R_OK | os.W_OK):
        yield str(file), "may not be read and written"
    for folder in folders_of_runs(lake):
        if folder.is_dir() and (trouble := try_folder(folder)):
            yield str(folder), trouble
    prefixes = [lake.archive] if lake.settings.after_landing == "leave" else [lake.landing, lake.archive]
    for prefix in filter(is_store, dict.fromkeys(prefixes)):
        from carlake.landing.store_listing import try_prefix  # the store client is loaded only where there is a store

        if trouble := try_prefix(prefix):
            yield prefix, trouble


def try_folder(folder: Path) -> str:
    """Do in a folder what runs do: write a file, sync it, lock it, rename it, link it, remove it. Says what fails."""
    file, other, link = (folder / f"{PROBE}{os.getpid()}{end}" for end in ("", ".renamed", ".linked"))
    doing = "listed"
    try:
        with os.scandir(folder) as entries:
            next(entries, None)
        doing = "written to"
        with file.open("wb") as stream:
            stream.write(b"carlake")
            stream.flush()
            doing = "synced (fsync)"
            os.fsync(stream.fileno())
            doing = "locked (flock)"
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        doing = "renamed in"
        file.rename(other)
        doing = "synced (fsync of the folder)"
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        doing = "cleared"
        other.unlink()
    except OSError as error:
        return f"cannot be {doing}: {error.strerror or error}"
    finally:
        for left in (file, other, link):
            try:
                left.unlink(missing_ok=True)
            except OSError:
                continue
    return ""


CHECKS = (
    Check(
        "clock",
        "machine",
        "warning",
        "Times of snapshots or objects lie in the future.",
        "The clock of this machine, or of the one that wrote, is wrong. Rows are right: no order rests on the clock, but "
        "for records whose shape has no `processing_timestamp`, where the object's time says which is the newer.",
        "The newest snapshots' times and the times of objects in landing are compared with the clock.",
        "Set the clock (NTP). Nothing needs to be mended in the tables.",
        _clock,
    ),
    Check(
        "disk-low",
        "machine",
        "warning",
        'Runs will fail soon with "No space left on device".',
        "Less than 1 GiB or 5 % of a disk that the lake lies on is free.",
        "The file system is asked.",
        "Make room, or move the lake to a larger disk and make it whole there.",
        _little,
    ),
    Check(
        "disk-full",
        "machine",
        "error",
        'Runs fail with "No space left on device". The tables stay as they were.',
        "A disk that the lake lies on is full.",
        "The file system is asked.",
        "Make room. The next run does what is missing.",
        _full,
    ),
    Check(
        "permission",
        "machine",
        "error",
        'Runs fail with "Permission denied" or "Read-only file system".',
        "This user may not do what a run does in one of the lake's folders.",
        "Each is tried in each folder, with a hidden file that is removed again: list, write, fsync, flock, rename.",
        "Give the user that runs carlake the right to write in the folder and all below, or mount the disk writable.",
        _permission,
    ),
)
