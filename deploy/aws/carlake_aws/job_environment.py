"""The environment of the Spark job: carlake's wheel and all that it needs, as one archive.

Glue 5 (`--python-virtual-env`) and EMR Serverless (`spark.archives`) take the same form, a packed virtual environment with
`bin/python` in its root. So nothing is resolved or fetched when a job begins, and what runs is what was tested. Spark's own
Python library is the service's, and is not in it.
"""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from carlake.errors import CarlakeError
from carlake_aws.own_settings import place

PYTHON = "3.11"
"""Python of Glue 5 and of EMR 7, beside the system's own."""
HOME = Path("/usr/bin")
"""Where both have it (Amazon Linux 2023)."""

ARCHIVE = "environment.tar.gz"
"""Its name in a package."""
SCRIPT = "spark_job.py"
"""What Spark starts, beside it."""
EXTRAS = "aws,job"
_PINNED = {"pandas": "2.3.3", "numpy": "2.3.5"}
"""Spark 3.5 knows no later pandas, and that no later numpy; the rest is pinned as everywhere."""
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
_LEFT_OUT = re.compile(
    r"/__pycache__(/|$)|\.dist-info/(RECORD|direct_url\.json|INSTALLER|REQUESTED)$"
    r"|/site-packages/(numpy|pandas|pyarrow)/(.*/)?(tests|include)(/|$)"
)
_COMPRESSION = 4

# What `source bin/activate` comes to, wherever the archive is unpacked.
_ACTIVATE = """\
VIRTUAL_ENV="$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")/.." && pwd)"
export VIRTUAL_ENV
PATH="$VIRTUAL_ENV/bin:$PATH"
export PATH
unset PYTHONHOME
"""


class EnvironmentBuildError(CarlakeError):
    """The environment cannot be built."""


def pack(
    wheel: Path,
    constraints: Path,
    archive: Path,
    *,
    python: str = PYTHON,
    home: Path = HOME,
    extras: str = EXTRAS,
    own: Mapping[str, Path] | None = None,
) -> None:
    """Write `archive` (.tar.gz): an environment with this wheel of carlake, what it needs, and links to the Python at `home`.

    constraints  the pinned versions (`constraints.txt` of the project)
    own          files that lie beside carlake, by their names there (see `carlake_aws.own_settings`)

    Needs pip and a network; takes wheels for Linux only, wherever it runs. The same wheel and pins give the same bytes.
    Raises EnvironmentBuildError.
    """
    with tempfile.TemporaryDirectory(prefix="carlake-environment-") as scratch:
        root = Path(scratch, "environment")
        packages = root / "lib" / f"python{python}" / "site-packages"
        packages.mkdir(parents=True)
        pinned = Path(scratch, "constraints.txt")
        pinned.write_text(pins(constraints), encoding="utf-8")
        _install(f"carlake[{extras}] @ {wheel.resolve().as_uri()}", pinned, packages, python)
        shutil.rmtree(packages / "bin", ignore_errors=True)  # commands, with the paths of this machine in them
        place(own or {}, packages)
        _skeleton(root, python, home)
        part = archive.with_name(f".{archive.name}.part")
        _write(root, part)
        part.replace(archive)


def pins(constraints: Path) -> str:
    """The project's pins, with those that the older Spark needs: all that an environment comes to, beside carlake's wheel."""
    lines = constraints.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.partition("==")[0].strip().lower() not in _PINNED]
    return "\n".join([*kept, *(f"{name}=={version}" for name, version in _PINNED.items())]) + "\n"


def _install(requirement: str, pins: Path, packages: Path, python: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    command += ["--target", str(packages), "--only-binary=:all:", "--implementation", "cp", "--python-version", python]
    command += [part for platform in _PLATFORMS for part in ("--platform", platform)]
    done = subprocess.run([*command, "-c", str(pins), requirement], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnvironmentBuildError(
            f"The environment of the Spark job cannot be built:\n{done.stderr.strip()[-2000:]}",
            "Build it in a checkout, with a network.",
        )


def _skeleton(root: Path, python: str, home: Path) -> None:
    """What makes a folder a virtual environment (PEP 405), with no path of where it was made."""
    (root / "bin").mkdir()
    (root / "bin" / "activate").write_text(_ACTIVATE, encoding="utf-8")
    (root / "bin" / f"python{python}").symlink_to(home / f"python{python}")
    for name in ("python", "python3"):
        (root / "bin" / name).symlink_to(f"python{python}")
    (root / "lib64").symlink_to("lib")
    told = f"home = {home}\ninclude-system-site-packages = false\nversion = {python}\n"
    (root / "pyvenv.cfg").write_text(told, encoding="utf-8")


def _write(root: Path, archive: Path) -> None:
    """The files in their order, without owners and times."""
    with (
        archive.open("wb") as out,
        gzip.GzipFile("", "wb", _COMPRESSION, out, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root).as_posix()
            if _LEFT_OUT.search(f"/{name}"):
                continue
            entry = tar.gettarinfo(path, name)
            entry.uid = entry.gid = entry.mtime = 0
            entry.uname = entry.gname = ""
            entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
            if entry.isreg():
                with path.open("rb") as content:
                    tar.addfile(entry, content)
            else:
                tar.addfile(entry)
