"""Temporary folders of processes that are gone."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from carlake.upkeep.maintenance.files import clock_of

_ENGINE = re.compile(r"duckdb-(\d+)-.+")
_QUERY = re.compile(r"query-.+")
# A folder whose name tells no process is left behind once nothing in it was touched for so long.
_OLD_SECONDS = 24 * 3600


def leftovers(scratch: Path) -> list[Path]:
    """Temporary folders that no living process of this machine uses. Raises OSError."""
    if not scratch.is_dir():
        return []
    found = []
    for folder in scratch.iterdir():
        if (owner := _ENGINE.fullmatch(folder.name)) and Path("/proc/self").exists():
            if not Path("/proc", owner.group(1)).exists():
                found.append(folder)
        elif _QUERY.fullmatch(folder.name) and clock_of(scratch) - folder.stat().st_mtime > _OLD_SECONDS:
            found.append(folder)
    return found


def clear(found: list[Path]) -> int:
    """Remove them; gives their number."""
    for folder in found:
        shutil.rmtree(folder, ignore_errors=True)
    return sum(not folder.exists() for folder in found)
