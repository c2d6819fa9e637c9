"""Work for processes of their own, which import no more than it needs."""

from __future__ import annotations

from pathlib import Path

from carlake.journal import Journal


def write_many(folder: Path, name: str, times: int) -> None:
    """Write lines to a small log."""
    log = Journal(folder, 256 << 10)
    for number in range(times):
        log.write("info", "line", f"{name}-{number}", filling="x" * 50)
