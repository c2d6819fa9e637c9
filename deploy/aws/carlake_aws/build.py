"""The package of the functions and of the Spark job: built the same wherever it is built, and named by what is in it.

`build(folder)` makes `folder/carlake-VERSION-HASH` with

    function.zip                        carlake and what it needs, for one version of Python
    carlake-VERSION-py3-none-any.whl    carlake
    spark_job.py                        what Spark starts, and
    environment.tar.gz                  what it needs, where backfills are Spark's

The hash is of the content of every file, so that no other code can bear the name. Before anything is named, the handler
and every compiled part are imported from the package alone. Needs a checkout of the project, pip and a network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from carlake.aws.own_settings import CODE
from carlake.errors import CarlakeError
from carlake.version import VERSION
from carlake_aws.job_environment import ARCHIVE, SCRIPT, pack, pins
from carlake_aws.own_settings import contents as own_contents
from carlake_aws.own_settings import place
from carlake_aws.parameters import Parameters
from carlake_aws.trimmed import trim

LARGEST_BYTES = 240 * 2**20
"""Lambda takes 250 MiB unpacked; some of it is kept free for what the next versions of the libraries bring."""

PROJECT = Path(__file__).resolve().parents[3]
EXTRAS = ("aws", "lambda")
WHEEL = f"carlake-{VERSION}-py3-none-any.whl"
SPARKS_PINS = "spark-constraints.txt"

_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux2014_x86_64", "manylinux_2_17_x86_64")
"""What runs on the system of Lambda's Python, newest first."""
_LAMBDAS_FOLDER = "/var/task"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_TASKS = (
    *("carlake.aws.handler", "carlake.engines.duckdb.engine", "pyiceberg.catalog.glue", "boto3", "obstore.store"),
    *("aws_lambda_powertools.logging", "aws_lambda_powertools.metrics", "aws_lambda_powertools.tracing"),
)
"""What a call loads: it has to be there, beside every compiled part."""


@dataclass(frozen=True)
class Built:
    """A package that was built.

    folder    where it is: FOLDER/carlake-VERSION-HASH
    version   of carlake
    code      the hash: 16 hexadecimal digits
    python    the version of Python that the functions need ("3.13")
    unpacked  bytes of the function's files
    zipped    bytes of function.zip
    """

    folder: Path
    version: str
    code: str
    python: str
    unpacked: int
    zipped: int

    @property
    def files(self) -> list[Path]:
        """What has to be uploaded, each under `packages/NAME OF THE FOLDER/`."""
        return sorted(self.folder.iterdir())


class BuildError(CarlakeError):
    """The package cannot be built, or would not run."""


def build(folder: Path, python: str | None = None, *, spark: bool = False, settings: Path | None = None) -> Built:
    """Build into `folder`, which may be there; a package of the same content is left as it is. Raises BuildError.

    python    the version of Python that the functions run ("3.13"): that of this process, if not given. Another one must
              be on this machine too, as `python3.13`: it compiles the package and imports it.
    spark     with the environment of the Spark job
    settings  a settings file that comes with the code, with the contracts and rules that it names
    """
    interpreter = _interpreter(python)
    own = own_contents(settings) if settings else {}
    with tempfile.TemporaryDirectory(prefix="carlake-build-") as scratch:
        files = Path(scratch, "files")
        dependencies(files, python)
        wheel = own_code(files, Path(scratch))
        # So that the hash is of Spark's environment, too: with the wheel, its pins are all that it is made from.
        (files / SPARKS_PINS).write_text(pins(_checkout("constraints.txt")), encoding="utf-8")
        place(own, files)
        compiled(files, [*imports_itself(files, interpreter), *own_sources(files)], interpreter)
        contents = contents_of(files)
        unpacked = sum(path.stat().st_size for _, path in contents)
        if unpacked > LARGEST_BYTES:
            raise BuildError(
                f"The functions' package is {unpacked / 2**20:.0f} MiB unpacked, and may be {LARGEST_BYTES / 2**20:.0f}.",
                "Leave out more of what is not used: deploy/aws/carlake_aws/trimmed.py.",
            )
        made = folder / f"carlake-{VERSION}-{code_of(contents)}"
        if not made.is_dir():
            part = Path(tempfile.mkdtemp(prefix=f".{made.name}.", dir=_there(folder)))
            try:
                # After the hash was taken, which it cannot be part of: so that the code itself says which it is.
                (files / CODE).write_text(code_of(contents), encoding="ascii")
                zipped([*contents, (CODE, files / CODE)], part / "function.zip")
                shutil.copyfile(wheel, part / WHEEL)
                shutil.copyfile(files / "carlake" / "aws" / SCRIPT, part / SCRIPT)
                part.chmod(0o755)
                if not made.is_dir():
                    part.rename(made)
            finally:
                shutil.rmtree(part, ignore_errors=True)
        if spark and not (made / ARCHIVE).exists():
            pack(made / WHEEL, _checkout("constraints.txt"), made / ARCHIVE, own=own)
        size = (made / "function.zip").stat().st_size
    return Built(made, VERSION, code_of_name(made), version_of(python), unpacked, size)


def package_of(parameters: Parameters, folder: Path) -> Built:
    """Build what a deployment runs, into `folder`. Raises BuildError."""
    return build(folder, parameters.python, spark=parameters.runs_spark, settings=parameters.settings_file)


def dependencies(files: Path, python: str | None = None) -> None:
    """Fill a folder with all that carlake's functions need of others, pinned and trimmed. Raises BuildError."""
    asked = _checkout("pyproject.toml")
    declared = tomllib.loads(asked.read_text(encoding="utf-8"))["project"]
    extras = (needed for extra in EXTRAS for needed in declared["optional-dependencies"][extra])
    _pip(
        *("install", "--target", str(files), "--no-compile", "--only-binary=:all:", "--implementation", "cp"),
        *(word for platform in _PLATFORMS for word in ("--platform", platform)),
        *("--python-version", version_of(python), "-c", str(_checkout("constraints.txt"))),
        *declared["dependencies"],
        *extras,
    )
    trim(files)


def own_code(files: Path, scratch: Path) -> Path:
    """Add carlake itself to a folder of its dependencies; gives its wheel, made in `scratch`. Raises BuildError."""
    _pip("wheel", "--no-deps", "--wheel-dir", str(scratch), str(_checkout("pyproject.toml").parent))
    wheel = scratch / WHEEL
    with zipfile.ZipFile(wheel) as archive:
        # Without the deployment, and without the list of what is in the wheel.
        own = [name for name in archive.namelist() if not name.startswith("carlake_aws/") and "RECORD" not in name]
        archive.extractall(files, own)
    return wheel


def imports_itself(files: Path, interpreter: str = sys.executable) -> list[str]:
    """Import the handler and every compiled part, with nothing on the path but the package. Raises BuildError.

    Gives the sources that the handler loads.
    """
    check = (
        "import importlib, pathlib, sys\n"
        f"files = pathlib.Path({str(files)!r})\n"
        "sys.path.insert(0, str(files))\n"
        "def load(name):\n"
        "    module = importlib.import_module(name)\n"
        "    assert pathlib.Path(module.__file__).is_relative_to(files), module\n"
        f"for name in {_TASKS}:\n"
        "    load(name)\n"
        "loaded = [getattr(module, '__file__', None) or '' for module in list(sys.modules.values())]\n"
        "for path in sorted(files.rglob('*.so')):\n"
        "    if not path.name.startswith('lib'):\n"
        "        load('.'.join((*path.parent.relative_to(files).parts, path.name.partition('.')[0])))\n"
        "print(*(name for name in loaded if name.endswith('.py') and name.startswith(str(files))), sep='\\n')\n"
    )
    # Isolated, and without the site's packages: what is not in the package is not there.
    done = _python(interpreter, "-I", "-S", "-B", "-c", check)
    if done.returncode:
        raise BuildError(f"The package does not import itself:\n{done.stderr.strip()[-2000:]}", "It was not named.")
    return sorted(done.stdout.splitlines())


def own_sources(files: Path) -> list[str]:
    """carlake's own sources in a package: a call loads most of them, when it needs them."""
    return sorted(str(path) for path in (files / "carlake").rglob("*.py"))


def compiled(files: Path, sources: Iterable[str], interpreter: str = sys.executable) -> None:
    """Put bytecode beside sources: where the package runs it cannot be written, and compiling takes seconds."""
    # Valid without a look at the source's time, which a zip changes; one order and one seed of hashes: the same bytes.
    code = (
        "import py_compile, sys\n"
        "for source in sorted(set(sys.stdin.read().splitlines())):\n"
        f"    py_compile.compile(source, dfile={_LAMBDAS_FOLDER!r} + source[{len(str(files))}:], doraise=True,"
        " invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)\n"
    )
    done = _python(interpreter, "-s", "-S", "-c", code, given="\n".join(sources))
    if done.returncode:
        raise BuildError(f"The package cannot be compiled:\n{done.stderr.strip()[-2000:]}", "It was not named.")


def contents_of(files: Path) -> list[tuple[str, Path]]:
    """Every file by its name within the package, in order."""
    found = ((path.relative_to(files).as_posix(), path) for path in files.rglob("*") if path.is_file())
    return sorted(found)


def code_of(contents: Iterable[tuple[str, Path]]) -> str:
    """The hash that names a package: of every file's name and content."""
    digest = hashlib.sha256()
    for name, path in contents:
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


def code_of_name(folder: Path) -> str:
    """The hash in a package's name."""
    return folder.name.rpartition("-")[2]


def zipped(contents: Iterable[tuple[str, Path]], archive: Path) -> None:
    """The same bytes for the same content: in order, with one time and one mode."""
    with zipfile.ZipFile(archive, "w") as made:
        for name, path in contents:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # whose modes these are
            entry.external_attr = (0o755 if ".so" in name else 0o644) << 16
            made.writestr(entry, path.read_bytes(), compresslevel=6)


def version_of(python: str | None) -> str:
    """The version of Python that is meant: this process's own where none is named."""
    return python or f"{sys.version_info.major}.{sys.version_info.minor}"


def interpreter_of(version: str) -> str | None:
    """The Python of a version ("3.13") that this machine has: that of this process, or `python3.13`; None without one."""
    if version == version_of(None):
        return sys.executable
    found = shutil.which(f"python{version}")
    if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
        return found
    return None


def without_python(version: str) -> BuildError:
    """What is to be said where this machine has no Python of a version."""
    there = [f'"{one}"' for one in get_args(Parameters.model_fields["python"].annotation) if interpreter_of(one)]
    instead = f", or set the parameter python to {' or '.join(there)}, which is here" if there else ""
    return BuildError(
        f"The functions are to run Python {version}, and this machine has none to compile their code with.",
        f"Install Python {version}{instead}.",
    )


def _interpreter(python: str | None) -> str:
    """A Python of that version. Raises BuildError where there is none."""
    wanted = version_of(python)
    if (found := interpreter_of(wanted)) is not None:
        return found
    raise without_python(wanted)


def _python(interpreter: str, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run Python without anything of this process's environment."""
    environment = {"PATH": os.defpath, "PYTHONHASHSEED": "0"}
    return subprocess.run(
        [interpreter, *arguments], input=given, env=environment, capture_output=True, text=True, check=False
    )


def _pip(*arguments: str) -> None:
    command: Sequence[str] = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"pip failed:\n{done.stderr.strip()[-2000:]}", "It takes its packages from the network.")


def _checkout(name: str) -> Path:
    if not (PROJECT / name).is_file():
        raise BuildError(
            f"{PROJECT} is no checkout of carlake: {name} is not there.", "Build the package in a checkout."
        )
    return PROJECT / name


def _there(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
