"""What this process and those below it have cost: memory at the most, by what they are, and processor time."""

from __future__ import annotations

import os
from pathlib import Path


def peaks() -> dict[str, int]:
    """Bytes of resident memory at the peak: `driver` (this process), `jvm`, and the largest `worker` (another Python).

    Of the processes that live now, as Linux counts them (VmHWM). Empty where there is no /proc.
    """
    if not Path("/proc/self/status").exists():
        return {}
    parents: dict[int, int] = {}
    status: dict[int, dict[str, str]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                lines = (folder / "status").read_text().splitlines()
            except OSError:  # it has ended meanwhile
                continue
            fields = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
            status[int(folder.name)] = fields
            parents[int(folder.name)] = int(fields["PPid"])
    found = {"driver": _peak(status[os.getpid()])}
    for process, fields in status.items():
        if _is_below(process, parents) and process != os.getpid():
            kind = "jvm" if fields["Name"].startswith("java") else "worker"
            found[kind] = max(found.get(kind, 0), _peak(fields))
    return found


def cpu_seconds() -> float:
    """User and system time of this process and of those below it, ended ones too; 0 where there is no /proc.

    What a process has waited for counts as its own; so that a JVM that is never waited for is counted, call it before
    that ends.
    """
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for folder in Path("/proc").iterdir() if Path("/proc/self/stat").exists() else ():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(folder.name)] = int(fields[1])
            ticks[int(folder.name)] = sum(map(int, fields[11:15]))
    return sum(spent for process, spent in ticks.items() if _is_below(process, parents)) / os.sysconf("SC_CLK_TCK")


def _is_below(process: int, parents: dict[int, int]) -> bool:
    while process in parents and process > 1:
        if process == os.getpid():
            return True
        process = parents[process]
    return False


def _peak(fields: dict[str, str]) -> int:
    return int(fields.get("VmHWM", "0 kB").split()[0]) * 1024
