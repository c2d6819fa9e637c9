"""One process and what it cost: wall time, CPU time and peak memory, as the operating system counts them."""

from __future__ import annotations

import compileall
import json
import os
import platform
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path
from statistics import median
from typing import Any

from figures import BenchError

HERE = Path(__file__).parent
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # getrusage(2): kilobytes, and bytes on macOS


@dataclass(frozen=True)
class Measured:
    """One process that has ended.

    seconds      from its start to its end
    cpu_seconds  user and system time, all threads and the processes that it waited for
    peak_bytes   greatest resident memory of one process among them
    answer       the JSON object that it printed last, if it printed one
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    answer: dict[str, Any] = field(default_factory=dict)


def script(name: str, *arguments: object) -> list[str]:
    """The command for a script beside this file, in this Python."""
    return [sys.executable, str(HERE / name), *map(str, arguments)]


def measured(command: Sequence[str], settings: Mapping[str, str] | None = None) -> Measured:
    """Run `command` to its end and measure it. Raises BenchError with its standard error if it fails.

    The caller has to be small: a process counts as its own peak what its parent held at the fork. So whatever imports
    DuckDB or pyarrow runs in a process of its own.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CARLAKE_", "PYICEBERG_"))}
    environment.update(settings or {})
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=complained, env=environment, cwd=HERE.parent
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:  # interrupted: leave no process behind
            process.kill()
            process.wait()
            raise
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        complained.seek(0)
        output = said.read().decode(errors="replace")
        if process.returncode != 0:
            tail = complained.read().decode(errors="replace").strip()[-2000:]
            raise BenchError(f"{' '.join(command)[:300]} ended with {process.returncode}:\n{tail or output[-2000:]}")
    return Measured(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _RSS_UNIT, _document(output))


def _document(output: str) -> dict[str, Any]:
    """The JSON object that is all of the output, or its last line."""
    for text in (output, output.rstrip().rpartition("\n")[2]):
        try:
            answer = json.loads(text)
        except ValueError:
            continue
        if isinstance(answer, dict):
            return answer
    return {}


def middle(all_runs: Sequence[Measured]) -> Measured:
    """The medians of several runs, each of its own; the answer of the last."""
    return Measured(
        median(run.seconds for run in all_runs),
        median(run.cpu_seconds for run in all_runs),
        max(run.peak_bytes for run in all_runs),
        all_runs[-1].answer,
    )


def compile_bytecode() -> None:
    """Compile carlake and what it imports, as an installer does.

    An environment that was installed with PYTHONDONTWRITEBYTECODE has no bytecode, nor has a module that was edited
    since: every process would compile it anew, and that would be measured.
    """
    spec = util.find_spec("carlake")
    if spec is None or not spec.submodule_search_locations:
        raise BenchError("carlake is not installed in this Python; run `make setup` first.")
    for folder in (*spec.submodule_search_locations, sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        compileall.compile_dir(folder, quiet=2)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    load = os.getloadavg()
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
        "load_at_start": round(load[0], 2),
        "versions": {name: metadata.version(name) for name in ("carlake", "duckdb", "pyiceberg", "pyarrow")},
    }
