"""What the functions' package leaves out of the packages it is made of, so that it stays under what Lambda takes.

Two things go: parts of packages that nothing in the functions loads, named here one by one with the reason; and from compiled
files what only debuggers and linkers read.
"""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

_UNUSED = {
    "pyarrow/include": "for compiling against Arrow",
    "pyarrow/includes": "for compiling against Arrow",
    "pyarrow/src": "for compiling against Arrow",
    "pyarrow/tests": "its tests",
    "pyarrow/*.pyx": "for compiling against Arrow",
    "pyarrow/*.pxi": "for compiling against Arrow",
    "pyarrow/*.pxd": "for compiling against Arrow",
    "pyarrow/_pyarrow_cpp_tests*": "its tests",
    "pyarrow/libarrow_flight*": "Flight, a protocol between servers",
    "pyarrow/libarrow_python_flight*": "Flight",
    "pyarrow/_flight*": "Flight",
    "pyarrow/libarrow_python*.so": "a copy under another name: a wheel holds no links",
    "pyarrow/libarrow_python*.so.*.*": "a copy under another name",
    "pyiceberg_core": "transforms of Arrow columns in PyIceberg's writer: carlake writes its files itself",
    "hive_metastore": "the Hive catalog",
    "fb303": "the Hive catalog",
    "zstandard/_cffi*": "zstandard's second binding, for PyPy",
    "cffi": "compiling bindings",
    "pycparser": "compiling bindings",
    "_duckdb-stubs": "types for checkers",
    "wrapt-stubs": "types for checkers",
    "adbc_driver_duckdb": "another interface to DuckDB",
    "rich": "the command line",
    "typer": "the command line",
    "pygments": "the command line",
    "markdown_it": "the command line",
    "mdurl": "the command line",
    "shellingham": "the command line",
    "watchfiles": "the file system's events, for `carlake watch`",
    "prometheus_client": "figures over HTTP, for `carlake watch`",
    "anyio": "for watchfiles",
    "carlake_aws": "the deployment",
    "bin": "programs",
    "aws_lambda_powertools/event_handler": "functions that answer HTTP",
    "boto3/data/ec2": "machines",
    "click": "the command line",
    "duckdb/experimental": "DuckDB by Spark's interface",
    "pydantic/v1": "pydantic as it was before version 2",
    "sqlalchemy/dialects/mssql": "a catalog in another database",
    "sqlalchemy/dialects/mysql": "a catalog in another database",
    "sqlalchemy/dialects/oracle": "a catalog in another database",
    "sqlalchemy/testing": "its tests",
    "*.dist-info/sboms": "lists of what was compiled in",
}
"""By a pattern within the package, why it goes."""

SERVICES = ("glue", "s3", "secretsmanager", "sqs", "sts", "sso", "sso-oidc", "signin")
"""The services of AWS that boto3 may be asked for: those that carlake uses, and those that give it credentials."""

_ELF = b"\x7fELF\x02\x01"
"""A compiled file of 64 bits, little endian."""


def trim(files: Path) -> None:
    """Take out of a folder of installed packages what the functions do not need."""
    for pattern in _UNUSED:
        for found in files.glob(pattern):
            _remove(found)
    for found in (files / "botocore" / "data").iterdir():
        if found.is_dir() and found.name not in SERVICES:
            _remove(found)
    # What pip notes about its own work, and what differs from one installation to the next.
    for name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
        for found in files.glob(f"*.dist-info/{name}"):
            _remove(found)
    for found in files.rglob("__pycache__"):
        _remove(found)
    for found in files.rglob("*.so*"):
        cut(found)


def cut(file: Path) -> None:
    """Shorten a compiled file to what the loader reads: everything up to the end of its last segment.

    Symbols for linkers and debuggers and the table of sections lie behind that (ELF, "Program Header": a process is made
    from segments alone). A third of Arrow's size is such. Other files stay as they are.
    """
    content = file.read_bytes()
    if content[: len(_ELF)] != _ELF:
        return
    (headers,) = struct.unpack_from("<Q", content, 32)
    each, count = struct.unpack_from("<HH", content, 54)
    end = headers + each * count
    for number in range(count):
        offset, _, _, size = struct.unpack_from("<QQQQ", content, headers + number * each + 8)
        end = max(end, offset + size)
    kept = bytearray(content[:end])
    struct.pack_into("<Q", kept, 40, 0)  # where the table of sections is, their size, their number, that of the names
    struct.pack_into("<HHH", kept, 58, 0, 0, 0)
    file.write_bytes(kept)


def _remove(found: Path) -> None:
    if found.is_dir():
        shutil.rmtree(found)
    else:
        found.unlink()
