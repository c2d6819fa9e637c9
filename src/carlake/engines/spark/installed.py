"""Whether what this engine needs is installed, found out without importing any of it."""

from __future__ import annotations

from importlib.util import find_spec

from carlake.errors import SettingsError
from carlake.words import to_install

NEEDED = ("pyspark", "sqlglot")


def check_installed() -> None:
    """Raise SettingsError where a package that the engine needs is missing."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"The engine 'spark' needs Spark, which is not installed: there is no {' and no '.join(missing)}.",
            f"Install it, {to_install('spark')}",
        )
