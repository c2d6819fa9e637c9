"""The DuckDB that reads Iceberg by itself: an older one than carlake's, for which its extensions are published."""

from __future__ import annotations

from pathlib import Path

from servers.provide import packages

VERSION = "1.5.5"
_EXTENSIONS = ("iceberg", "avro", "httpfs", "aws")


def provide() -> Path:
    """The folder to set as PYTHONPATH: DuckDB with its extensions as Python packages."""
    extensions = [f"duckdb-extension-{name}=={VERSION}" for name in _EXTENSIONS]
    return packages(f"duckdb-{VERSION}", f"duckdb=={VERSION}", *extensions, "pytz==2026.1")
