"""Folders for what a session puts aside: each process has its own, and what dead ones have left goes."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


def own_folder(scratch: Path, kind: str) -> Path:
    """A new folder in `scratch` for a session of this process; those of dead processes are removed. Raises OSError."""
    scratch.mkdir(parents=True, exist_ok=True)
    for folder in scratch.glob(f"{kind}-*-*"):
        owner = folder.name.split("-")[1]
        if owner.isdigit() and not Path("/proc", owner).exists() and Path("/proc/self").exists():
            shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{kind}-{os.getpid()}-", dir=scratch))
