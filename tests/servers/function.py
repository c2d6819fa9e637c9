"""The functions' package, as a folder: what it takes from others once for all, carlake itself as it is now."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from carlake_aws import build

from servers import lambda_runtime
from servers.provide import once


@dataclass(frozen=True)
class Package:
    """A package that was built and not zipped: its files, and the hash that would be in its name."""

    files: Path
    code: str

    @property
    def bytes(self) -> int:
        """What it takes unpacked."""
        return sum(path.stat().st_size for _, path in build.contents_of(self.files))


@contextmanager
def built() -> Iterator[Package]:
    """The package of the code that lies here; it goes with the tests."""
    others = provide()
    folder = Path(tempfile.mkdtemp(prefix=".function-", dir=others.parent))
    try:
        files = folder / "files"
        shutil.copytree(others, files, copy_function=os.link)
        build.own_code(files, folder)
        build.compiled(files, [*build.imports_itself(files), *build.own_sources(files)])
        yield Package(files, build.code_of(build.contents_of(files)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def provide() -> Path:
    """What the package takes from others, and AWS's client of the runtime."""
    lambda_runtime.provide()
    inputs = [build.PROJECT / "pyproject.toml", build.PROJECT / "constraints.txt"]
    inputs += [Path(build.__file__), Path(build.__file__).with_name("trimmed.py")]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()[:12]
    return once(f"function-{sys.version_info.major}.{sys.version_info.minor}-{digest}", build.dependencies)
