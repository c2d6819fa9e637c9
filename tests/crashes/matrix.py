"""Every boundary of an operation, and what comes of a process that is killed there."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crashes.boundaries import Boundaries, Boundary, kill_at
from crashes.operations import OPERATIONS, Place, opened, problems, state
from crashes.processes import killed, run


def recording(name: str, folder: str, into: str) -> None:
    """In a child: do the operation, and write down its boundaries."""
    seen: list[Boundary] = []
    Boundaries(Path(folder), seen.append).install()
    OPERATIONS[name].command(Path(folder).parent)
    Path(into).write_text(json.dumps([asdict(boundary) for boundary in seen]))


def dying(name: str, folder: str, at: dict[str, Any]) -> None:
    """In a child: do the operation, up to a boundary."""
    Boundaries(Path(folder), kill_at(Boundary(**at))).install()
    OPERATIONS[name].command(Path(folder).parent)


class Matrix:
    """One operation, interrupted. Its boundaries are those of a run that nobody disturbs, whose state is the wanted one."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.operation = OPERATIONS[name]
        self.place = Place(folder, self.operation)
        notes = folder / "boundaries.json"
        assert run(recording, name, str(self.place.folder / "lake"), str(notes)) == 0, f"{name} failed undisturbed"
        self.boundaries = [Boundary(**each) for each in json.loads(notes.read_text())]
        with opened(self.place.folder) as house:
            self.wanted = state(house)
            assert problems(house) == []

    def one_of_each_kind(self) -> list[Boundary]:
        """The first boundary of each kind, whatever its table."""
        kinds: dict[str, Boundary] = {}
        for boundary in self.boundaries:
            kinds.setdefault(boundary.kind, boundary)
        return list(kinds.values())

    def interrupt(self, boundary: Boundary, look: bool = False) -> list[str]:
        """Kill the operation at a boundary and do it again in this process; gives what is wrong then.

        `look` also verifies the lake as the killed process has left it, before anybody goes on.
        """
        self.place.restore()
        at = asdict(boundary)
        if not killed(code := run(dying, self.name, str(self.place.folder / "lake"), at)):
            return [f"{boundary} was not reached: the process ended with {code}"]
        a_minute_passes(self.place.folder / "lake")
        wrong: list[str] = []
        if look and (self.place.folder / "lake" / "catalog.db").exists():
            with opened(self.place.folder) as house:
                wrong += [f"right after the kill: {problem}" for problem in house.verify().problems]
        try:
            self.operation.command(self.place.folder)
            with opened(self.place.folder) as house:
                wrong += problems(house) + differences(self.wanted, state(house))
                self.operation.done(house)
        except Exception as error:  # noqa: BLE001  (told with the boundary)
            wrong.append(f"{type(error).__name__}: {error}")
        return [f"{boundary}: {each}" for each in wrong]


def a_minute_passes(lake: Path) -> None:
    """What lies on its way out of landing may be another process's work, until it has not changed for a minute."""
    for folder in (lake / "landing").rglob(".carlake-moving-*"):
        os.utime(folder, (folder.stat().st_mtime - 120,) * 2)


def differences(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """What differs between two states."""
    return [
        f"{name}: {_only(rows, found[name])} missing, {_only(found[name], rows)} too many"
        for name, rows in wanted.items()
        if found[name] != rows
    ]


def _only(one: Sequence[Any], other: Sequence[Any]) -> list[Any]:
    return [each for each in one if each not in other][:3]
