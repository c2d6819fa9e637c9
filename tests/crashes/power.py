"""Power loss, modelled: the process is gone, and so is what was written and not synced.

What is on the disk at a moment is known from what was synced until then: a file's content by fsync of the file, its name
by fsync of its folder, everything by a flush of the file system. Of a file that is not safe, nothing, a part, zeros or
all may be left; of the links, renames and removals that are not safe, the last ones may not have happened. The catalog's
own file is SQLite's to sync, and is left as it is.
"""

# ruff: noqa: PTH104, PTH108, PTH110, PTH112, PTH113, PTH114, PTH120
# Paths are text here, as the effects have them.

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crashes.boundaries import Boundaries, Boundary
from crashes.matrix import Matrix, a_minute_passes, differences
from crashes.operations import OPERATIONS, opened, problems, state
from crashes.processes import killed, run


class Disk:
    """What of a lake is not on the disk yet, seen from inside the process that writes.

    files  paths whose content or name is not safe
    moves  what was done to names, oldest first: (verb, path, other path, whether the folder was synced since)
    """

    def __init__(self, root: str, aside: Path) -> None:
        self.root = root
        self.files: set[str] = set()
        self.names: set[str] = set()
        self.moves: list[tuple[str, str, str]] = []
        self._aside = aside
        self._lock = threading.RLock()

    def see(self, seen: Boundary) -> None:
        """Follow one effect."""
        verb = seen.name.split(" ", 1)[0]
        if "catalog file" in seen.name or not seen.path.startswith("/"):
            return
        with self._lock:
            if seen.when == "before" and verb in ("begin", "write"):
                self.files.add(seen.path)
                if not os.path.exists(seen.path):
                    self.names.add(seen.path)
            elif seen.when == "before" and verb == "remove":
                self._remove(seen.path)
            elif seen.when == "after" and verb == "sync":
                self.synced(seen.path)

    def _remove(self, path: str) -> None:
        self.files.discard(path)
        self.names.discard(path)
        if os.path.isfile(path) and not os.path.islink(path):
            kept = self._aside / str(len(self.moves))
            shutil.copy2(path, kept)
            self.moves.append(("remove", path, str(kept)))

    def moved(self, source: str, target: str) -> None:
        """A file was renamed: what was not safe under its old name is not safe under the new one."""
        with self._lock:
            for unsafe in (self.files, self.names):
                if source in unsafe:
                    unsafe.discard(source)
                    unsafe.add(target)
            self.moves.append(("rename", source, target))

    def linked(self, source: str, target: str) -> None:
        """A file got a second name."""
        with self._lock:
            self.moves.append(("link", source, target))

    def synced(self, path: str) -> None:
        """A file, or the names in a folder, are safe now."""
        with self._lock:
            self.files.discard(path)
            if os.path.isdir(path):
                self.names = {name for name in self.names if os.path.dirname(name) != path}
                self.moves = [move for move in self.moves if path not in _folders(move)]

    def flushed(self) -> None:
        """Everything is safe now."""
        with self._lock:
            self.files.clear()
            self.names.clear()
            self.moves.clear()

    def unsafe(self) -> dict[str, Any]:
        """As JSON."""
        return {"files": sorted(self.files), "names": sorted(self.names), "moves": self.moves}


def _folders(move: tuple[str, str, str]) -> set[str]:
    # A rename within one file system is in its journal once either folder is.
    return {os.path.dirname(path) for path in (move[1:] if move[0] != "remove" else move[1:2])}


def install(disk: Disk) -> None:
    """Follow renames, links and flushes, too: what happens to names is known only after it was done."""
    from carlake.storage import durable as storage

    def after(name: str, told: Callable[[str, str], None]) -> None:
        real = getattr(os, name)

        def wrapped(source: Any, target: Any, **more: Any) -> Any:
            answer = real(source, target, **more)
            if os.fspath(target).startswith(disk.root):
                told(os.fspath(source), os.fspath(target))
            return answer

        setattr(os, name, wrapped)

    after("rename", disk.moved)
    after("replace", disk.moved)
    after("link", disk.linked)
    found = storage._syncfs

    def syncfs() -> Callable[[int], None] | None:
        flush = found()
        if flush is None:
            return None

        def flushing(descriptor: int) -> None:
            flush(descriptor)
            disk.flushed()

        return flushing

    storage._syncfs = syncfs


def losing_power(name: str, folder: str, at: dict[str, Any], notes: str) -> None:
    """In a child: do the operation up to a boundary, write down what is not safe there, and be gone."""
    aside = Path(notes).with_suffix(".aside")
    aside.mkdir(exist_ok=True)
    disk, boundary = Disk(os.path.realpath(folder), aside), Boundary(**at)

    def act(seen: Boundary) -> None:
        if (seen.name, seen.number, seen.when) == (boundary.name, boundary.number, boundary.when):
            Path(notes).write_text(json.dumps(disk.unsafe()))
            os.kill(os.getpid(), signal.SIGKILL)
        disk.see(seen)

    Boundaries(Path(folder), act).install()
    install(disk)
    OPERATIONS[name].command(Path(folder).parent)


def lose(unsafe: dict[str, Any], chance: random.Random) -> int:
    """Do to the lake what the loss of power does; gives how many files and names were lost or torn."""
    lost = 0
    for path in unsafe["files"]:
        file = Path(path)
        if not file.is_file():
            continue
        size = file.stat().st_size
        match chance.choice(["gone" if path in unsafe["names"] else "cut", "cut", "zeros", "whole"]):
            case "gone":
                file.unlink()
            case "cut":
                os.truncate(file, chance.randrange(size) if size else 0)
            case "zeros":
                file.write_bytes(bytes(size))
            case _:
                continue
        lost += 1
    moves = unsafe["moves"]
    for verb, path, other in reversed(moves[len(moves) - chance.randint(0, len(moves)) :]):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if verb == "remove" and not os.path.lexists(path):
            shutil.copy2(other, path)
        elif verb == "rename" and os.path.lexists(other) and not os.path.lexists(path):
            os.rename(other, path)
        elif verb == "link" and os.path.lexists(other):
            os.unlink(other)
        else:
            continue
        lost += 1
    return lost


def points(matrix: Matrix) -> list[Boundary]:
    """Where losing power tells most: around every swap, and around what is done to objects."""
    return [
        each
        for each in matrix.boundaries
        if each.name.startswith("swap ") or (each.when == "before" and each.name.split(" ", 1)[0] in ("remove", "link"))
    ]


def lose_power(matrix: Matrix, boundary: Boundary, seed: int) -> tuple[int, list[str]]:
    """Lose power at a boundary and do the operation again; gives how much was lost, and what is wrong then."""
    matrix.place.restore()
    notes = matrix.place.folder.parent / "unsafe.json"
    shutil.rmtree(notes.with_suffix(".aside"), ignore_errors=True)
    lake = str(matrix.place.folder / "lake")
    if not killed(code := run(losing_power, matrix.name, lake, asdict(boundary), str(notes))):
        return 0, [f"{boundary} was not reached: the process ended with {code}"]
    lost = lose(json.loads(notes.read_text()), random.Random(f"{seed} {boundary}"))
    a_minute_passes(matrix.place.folder / "lake")
    wrong: list[str] = []
    try:
        matrix.operation.command(matrix.place.folder)
        with opened(matrix.place.folder) as house:
            wrong += problems(house) + differences(matrix.wanted, state(house))
    except Exception as error:  # noqa: BLE001  (told with the boundary)
        wrong.append(f"{type(error).__name__}: {error}")
    return lost, [f"power lost {boundary}, {lost} lost: {each}" for each in wrong]
