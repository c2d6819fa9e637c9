"""A place like Lambda's for one process: the package and nothing else, a file system that is read-only but /tmp, its memory.

The process gets a mount namespace of its own (`unshare`, part of util-linux), and in it a root of which it sees the system's
programs and libraries, Python without installed packages, and the package; whoever may not change mounts does so as root of
a user namespace. What is mounted goes with the process.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
TASK, RUNTIME = "/var/task", "/var/runtime"


@dataclass(frozen=True)
class Sandbox:
    """Where a process runs.

    root       an empty folder for the root
    tmp        what the process sees as /tmp: the one folder that it can write
    task       the package, seen as /var/task
    runtime    what runs it, seen as /var/runtime
    memory_mb  how much it may allocate
    """

    root: Path
    tmp: Path
    task: Path
    runtime: Path
    memory_mb: int

    def command(self, words: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        """The command that becomes this process, with these variables and no others."""
        prefix = Path(sys.base_prefix)
        shown = [(folder, folder) for folder in map(Path, _SYSTEM)]
        if not prefix.is_relative_to("/usr"):
            shown.append((prefix, prefix))
        shown += [(self.task, Path(TASK)), (self.runtime, Path(RUNTIME))]
        lines = ["set -e", f"root={shlex.quote(str(self.root))}", 'mount -t tmpfs -o mode=755 none "$root"']
        for inside, seen in shown:
            lines += _shown(inside, seen)
        for device in _DEVICES:
            lines += ['mkdir -p "$root/dev"', f': > "$root{device}"', f'mount --bind {device} "$root{device}"']
        lines += ['mkdir "$root/proc" "$root/tmp"', 'mount --rbind /proc "$root/proc"']
        lines += [f'mount --bind {shlex.quote(str(self.tmp))} "$root/tmp"', 'mount -o remount,ro "$root"']
        lines += [f"ulimit -v {self.memory_mb * 1024}", "cd /"]
        variables = [f"{name}={value}" for name, value in environment.items()]
        lines.append(
            f'exec chroot "$root" /usr/bin/env -i -C {TASK} {shlex.join(variables)} {interpreter()} {shlex.join(words)}'
        )
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        return [_program("unshare"), *user, "--mount", "--propagation", "private", "/bin/sh", "-c", "\n".join(lines)]


def interpreter() -> str:
    """Python as it is installed, outside of any virtual environment."""
    return str(Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}"))


def _shown(inside: Path, seen: Path) -> list[str]:
    if inside.is_symlink():
        return [f'ln -s {shlex.quote(str(inside.readlink()))} "$root{seen}"']
    if not inside.is_dir():
        return []
    at = f'"$root"{shlex.quote(str(seen))}'
    # A mount is made read-only by a second step; what lies in it, and is a mount itself, is not shown.
    return [f"mkdir -p {at}", f"mount --bind {shlex.quote(str(inside))} {at}", f"mount -o remount,bind,ro {at}"]


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is not installed; it is part of util-linux")
    return found
