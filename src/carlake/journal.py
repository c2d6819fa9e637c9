"""The lake's log: one JSON object a line, in `.carlake/logs/`, shared by all processes that work on the lake.

Every line has the time (UTC), the level, the event, the id of the process and, where a run wrote it, the run's id. The
newest lines are in `carlake.log`; a full file is renamed to `carlake.log.1`, that one to `.2`, and the last is dropped, so
that the log stays within its limit. Losing the log loses no row: a log that cannot be written is done without.

Plain JSON and no logging library: structlog, which this was to be made with, costs 0.15 s at the start of every command.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from carlake.errors import NotFoundError
from carlake.lake import Lake, exclusive
from carlake.refresh.report import RunReport, Step

Level = Literal["info", "warning", "error"]
Line = Mapping[str, Any]

BEGUN, DONE, LANDED, REFRESHED = "run began", "run done", "landed", "refreshed"
NOTHING = "nothing to do"
WATCH_BEGUN, WATCH_ENDED, TROUBLE = "watch began", "watch ended", "watch was hindered"
CIRCUIT = {True: "circuit opened", False: "circuit closed"}
LEFT = "table left alone"
FAILED, NOT_TAKEN, QUARANTINED = "table failed", "not taken in", "quarantined"

_NAME = "carlake.log"
_FILES = 8
_PROBLEMS = 20
_FOLLOW_SECONDS = 0.1


class Journal:
    """Writes lines to the lake's log, and hands each to `also` as well.

    folder      the log's folder; made with the first line
    most_bytes  what the log may take on the disk
    """

    def __init__(self, folder: Path, most_bytes: int = 64 << 20, also: Callable[[Line], None] | None = None) -> None:
        self._path = folder / _NAME
        self._each = max(most_bytes // _FILES, 1024)
        self.also = also
        self.told: dict[str, str] = {}
        """What was said of a table and need not be said by every run."""

    def write(self, level: Level, event: str, run_id: str = "", **more: object) -> None:
        """Add one line. `more` are its further values; those that are None or empty are left out."""
        line: dict[str, Any] = {"time": _now(), "level": level, "event": event}
        line |= {"run_id": run_id} if run_id else {}
        line |= {"pid": os.getpid()} | {name: value for name, value in more.items() if value not in (None, "")}
        if self.also is not None:
            self.also(line)
        with suppress(OSError):
            self._append(as_json(line).encode("utf-8", "backslashreplace"))

    def _append(self, text: bytes) -> None:
        # Opened for each line, since another process may have renamed the file; a line is one write, so lines stay whole.
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            os.write(handle, text)
            full = os.fstat(handle).st_size >= self._each
        finally:
            os.close(handle)
        if full:
            self._rotate()

    def _rotate(self) -> None:
        with exclusive(self._path.with_name("lock")):
            if self._path.stat().st_size < self._each:
                return  # another process was faster
            for number in range(_FILES - 2, 0, -1):
                with suppress(FileNotFoundError):
                    _numbered(self._path, number).rename(_numbered(self._path, number + 1))
            self._path.rename(_numbered(self._path, 1))


class RunLines:
    """The lines of one run, written as it goes on. A run that is given no file and finds nothing to do leaves none."""

    def __init__(self, journal: Journal, run_id: str, trigger: str, files: int) -> None:
        self._journal = journal
        self._run_id = run_id
        self._begun: dict[str, object] | None = {"trigger": trigger, "files": files or None}
        if files:
            self._begin()

    def step(self, step: Step) -> None:
        """A table is done."""
        if step.status not in ("succeeded", "failed"):
            return
        self._begin()
        counts = {"rows_in": step.rows_in, "rows_out": step.rows_out, "rows_removed": step.rows_removed}
        more = {"table": step.table, **counts, "seconds": round(step.seconds, 3), "refusals": step.refusals or None}
        if step.status == "failed":
            self._write("error", FAILED, **more, error=step.error)
        else:
            event = LANDED if step.why == "landing" else REFRESHED
            self._write("info", event, **more, why=step.why, snapshot_id=step.snapshot_id)

    def done(self, report: RunReport) -> None:
        """The run has ended."""
        self._left(report)
        if report.idle and self._begun is not None:
            return
        self._begin()
        for problem in report.problems[:_PROBLEMS]:
            self._write("warning", NOT_TAKEN, object=problem.uri, why=problem.why, advice=problem.advice)
        if len(report.problems) > _PROBLEMS:
            self._write("warning", NOT_TAKEN, objects=len(report.problems) - _PROBLEMS, why="further objects")
        if report.quarantined > 0:
            self._write("warning", QUARANTINED, records=report.quarantined)
        names = ("files", "files_known", "records", "accepted", "quarantined", "duplicates", "forgotten")
        self._write(
            "info" if report.status == "succeeded" else "error" if report.status == "failed" else "warning",
            DONE,
            status=report.status,
            **{name: getattr(report, name) for name in names},
            seconds=round(report.seconds, 3),
            outcome=NOTHING if report.idle else None,
        )

    def _left(self, report: RunReport) -> None:
        """Tables that were left alone for their definition: said when it is news."""
        for step in report.steps:
            error = step.error if step.status == "left" else ""
            if error and self._journal.told.get(step.table) != error:
                self._write("warning", LEFT, table=step.table, error=error)
            if step.status != "skipped":
                self._journal.told[step.table] = error

    def _begin(self) -> None:
        if self._begun is not None:
            more, self._begun = self._begun, None
            self._write("info", BEGUN, **more)

    def _write(self, level: Level, event: str, **more: object) -> None:
        self._journal.write(level, event, self._run_id, **more)


def folder(lake: Lake) -> Path:
    """Where a lake's log lies."""
    return lake.scratch.parent / "logs"


def as_json(line: Line) -> str:
    """A line as it stands in the log."""
    return json.dumps(line, ensure_ascii=False, default=str) + "\n"


def lines_of(where: Path, run_id: str, *, follow: bool = False) -> Iterator[Line]:
    """The lines of one run, oldest first.

    run_id  the run's id, the beginning of it that no other run in the log has, or `last`
    follow  go on with the lines that are still to come, until the run is done

    Raises NotFoundError where the log has no such run, or more than one.
    """
    wanted = _meant(where, run_id)
    mark = b'"run_id": ' + json.dumps(wanted).encode()
    tail = _Tail(where / _NAME)
    while True:
        for line in _matching(tail.read(), mark):
            yield line
            if line["event"] == DONE:
                return
        if not follow:
            return
        time.sleep(_FOLLOW_SECONDS)


def not_written_down(where: Path, run_id: str) -> NotFoundError:
    """Why ops_runs has no such run, as far as the log knows it."""
    try:
        lines = list(lines_of(where, run_id))
    except NotFoundError:
        advice = "`carlake runs` lists them; `last` is the newest. A run that changed nothing is not written down."
        return NotFoundError(f"There is no run {run_id!r}.", advice)
    name, last = str(lines[0]["run_id"]), lines[-1]
    log = f"`carlake runs {name} --log` shows what it did."
    if last.get("outcome") == NOTHING:
        return NotFoundError(f"Run {name} changed nothing, and so was not written down.", log)
    if last["event"] == DONE:
        return NotFoundError(f"Run {name} is not written down yet: its process does that once it is quiet.", log)
    return NotFoundError(f"Run {name} is not written down: it is under way, or was broken off.", log)


class _Tail:
    """Reads the log's lines from the oldest on, and at each further call those that came since."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._node: int | None = None
        self._at = 0
        self._rest = b""

    def read(self) -> bytes:
        """Whole lines."""
        text = self._rest
        with ExitStack() as held:
            with suppress(OSError):
                if self._path.exists():
                    held.enter_context(exclusive(self._path.with_name("lock")))  # no file is renamed meanwhile
            files = [file for file in [*_older(self._path), self._path] if file.exists()]
            nodes = [file.stat().st_ino for file in files]
            first = nodes.index(self._node) if self._node in nodes else 0
            for node, file in zip(nodes[first:], files[first:], strict=True):
                with file.open("rb") as stream:
                    stream.seek(self._at if node == self._node else 0)
                    text += stream.read()
                    self._node, self._at = node, stream.tell()
        whole, end, self._rest = text.rpartition(b"\n")
        return whole + end


def _meant(where: Path, run_id: str) -> str:
    """The whole id of the run that is meant."""
    path = where / _NAME
    begun = _matching(_Tail(path).read(), b'"event": "' + BEGUN.encode())
    found = {str(line.get("run_id", "")): None for line in begun}
    if run_id == "last" and found:
        return next(reversed(found))
    matches = [run_id] if run_id in found else [name for name in found if name.startswith(run_id)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        some = ", ".join(matches[-5:])
        raise NotFoundError(f"{len(matches)} runs in the log begin with {run_id!r}: {some}.", "Give more of the id.")
    raise NotFoundError(
        f"The log has no run {run_id!r}.",
        f"It keeps the newest lines only (setting log_bytes): see {path}. `carlake runs` lists the runs there were.",
    )


def _matching(text: bytes, mark: bytes) -> Iterator[Line]:
    for line in text.splitlines():
        if mark in line:
            with suppress(ValueError):  # cut short by a full disk or a lost machine
                found = json.loads(line)
                if isinstance(found, dict):
                    yield found


def _older(path: Path) -> list[Path]:
    """The full files, oldest first."""
    return [file for number in range(_FILES - 1, 0, -1) if (file := _numbered(path, number)).exists()]


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
