"""Every effect of a process on a lake, seen by name from outside of carlake.

Python tells an audit hook of each file that it opens, links, renames or removes (https://peps.python.org/pep-0578/);
what pyarrow writes, syncs, and the catalog's swap are wrapped where they are called. Nothing in carlake knows of it.

A name has no random part, so that an effect is found again in another process: `swap of silver_car_telemetry`,
`remove landing object`. Which of several effects of one name is meant tells a number.
"""

from __future__ import annotations

import functools
import os
import re
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

When = Literal["before", "after"]


@dataclass(frozen=True, order=True)
class Boundary:
    """A moment between two effects: before or after the `number`th effect of this name. `path` is what it is done to."""

    name: str
    number: int
    when: When
    path: str = ""

    @property
    def kind(self) -> str:
        """What kind of effect it is, whatever the table: the name's words before `of`."""
        return f"{self.when} {self.name.partition(' of ')[0]}"

    def __str__(self) -> str:
        return f"{self.when} {self.name} ({self.number})"


Act = Callable[[Boundary], None]

# What a path under the lake is, by its relative path; the first that matches counts. `\1` is the table.
_THINGS = [
    (r"(?:.*/)?\.carlake-try-\d+(\.\w+)?", r"try of a folder\1"),
    (r"warehouse/[^/]+/([^/]+)/data/.*\.parquet", r"data file of \1"),
    (r"warehouse/[^/]+/([^/]+)/metadata/.*\.metadata\.json", r"metadata of \1"),
    (r"warehouse/[^/]+/([^/]+)/metadata/snap-.*", r"manifest list of \1"),
    (r"warehouse/[^/]+/([^/]+)/metadata/.*-m\d+\.avro", r"manifest of \1"),
    (r"warehouse/[^/]+/([^/]+)(/.*)?", r"folder of \1"),
    (r"landing/(?:.*/)?\.carlake[^/]*/.+", "object on its way out of landing"),
    (r"landing/(?:.*/)?\.carlake[^/]*", "folder on the way out of landing"),
    (r"landing/.*", "landing object"),
    (r"archive/[^/]+/[^/]+/.+", "archive object"),
    (r"archive/.*", "archive folder"),
    (r"catalog\.db.*", "catalog file"),
    (r"carlake\.toml", "carlake.toml"),
    (r"\.carlake/(?:scratch/)?duckdb-.*", ""),
    (r"\.carlake/(?:[^/]+/)*([^/]*)", r"state file \1"),
    (r"(\w*)", r"lake folder \1"),
]
_RANDOM = re.compile(r"[0-9a-f]{12,}|\d{4,}T?\d*|(?<=\.)\d+(?=\.|$)")


def thing(root: str, path: object) -> str:
    """What a path is to the lake at `root`; empty for what is not the lake's, or its engine's own scratch files."""
    try:
        text = os.path.abspath(os.fsdecode(path))  # type: ignore[arg-type]  # noqa: PTH100
    except TypeError:
        return ""
    if text != root and not text.startswith(root + "/"):
        return ""
    relative = text[len(root) + 1 :]
    for pattern, name in _THINGS:
        if found := re.fullmatch(pattern, relative):
            return _RANDOM.sub("*", found.expand(name))
    return f"other file {_RANDOM.sub('*', relative)}"


class Boundaries:
    """Calls `act` at every boundary of this process, from `install` on. There is no way back: for child processes."""

    def __init__(self, root: Path, act: Act) -> None:
        self.root = os.path.realpath(root)
        self._act = act
        self._seen: Counter[str] = Counter()
        self._lock = threading.RLock()
        self._busy = threading.local()
        self._swapping = threading.local()

    def install(self) -> None:
        """See everything from now on."""
        import pyarrow.parquet as pq
        from pyiceberg.catalog.sql import SqlCatalog
        from sqlalchemy.engine.default import DefaultDialect

        from carlake.storage import durable as storage

        self._around(pq.ParquetWriter, "__init__", lambda args: self._of("begin", args[1]))
        self._around(pq.ParquetWriter, "close", self._closing_parquet)
        self._around(storage.DurableFile, "create", lambda args: self._of("begin", args[0]._path))
        self._around(
            storage._DurableStream,
            "close",
            lambda args: None if args[0].closed else self._of("end", args[0]._durable_path),
        )
        for method in ("create_table", "commit_table", "drop_table", "register_table", "create_namespace"):
            self._label(SqlCatalog, method)
        self._around(DefaultDialect, "do_commit", lambda args: self._swap())
        self._around(os, "fsync", lambda args: self._of("sync", _path_of(args[0])))
        sys.addaudithook(self._audited)

    def event(self, name: str, when: When, path: str = "") -> None:
        """One boundary. Effects of the act itself are not seen."""
        if getattr(self._busy, "on", False):
            return
        self._busy.on = True
        try:
            with self._lock:
                self._seen[f"{when} {name}"] += 1
                number = self._seen[f"{when} {name}"]
            self._act(Boundary(name, number, when, path))
        finally:
            self._busy.on = False

    def _of(self, verb: str, path: object) -> tuple[str, str] | None:
        name = thing(self.root, path)
        return (f"{verb} {name}", os.fsdecode(path)) if name else None  # type: ignore[arg-type]

    def _closing_parquet(self, args: tuple[Any, ...]) -> tuple[str, str] | None:
        writer = args[0]
        return self._of("end", writer.where) if getattr(writer, "is_open", False) else None

    def _swap(self) -> tuple[str, str] | None:
        label = getattr(self._swapping, "label", None)
        return (f"swap of {label}", label) if label else None

    def _around(self, owner: Any, name: str, named: Callable[[tuple[Any, ...]], tuple[str, str] | None]) -> None:
        real = getattr(owner, name)

        @functools.wraps(real)
        def wrapped(*args: Any, **more: Any) -> Any:
            what = named(args)
            if what is None:
                return real(*args, **more)
            self.event(what[0], "before", what[1])
            answer = real(*args, **more)
            self.event(what[0], "after", what[1])
            return answer

        setattr(owner, name, wrapped)

    def _label(self, owner: Any, name: str) -> None:
        real = getattr(owner, name)

        @functools.wraps(real)
        def wrapped(catalog: Any, target: Any, *args: Any, **more: Any) -> Any:
            parts = target.name() if hasattr(target, "name") else target
            self._swapping.label = (parts if isinstance(parts, str) else parts[-1]).rpartition(".")[2]
            try:
                return real(catalog, target, *args, **more)
            finally:
                self._swapping.label = None

        setattr(owner, name, wrapped)

    def _audited(self, event: str, args: tuple[Any, ...]) -> None:
        """Called by Python before the effect; what comes after one effect comes before the next."""
        if event == "open":
            path, _, flags = args
            if not isinstance(path, (str, bytes)) or not flags & (os.O_WRONLY | os.O_RDWR):
                return
            verb = "write"
        elif event in _VERBS:
            verb, path = _VERBS[event], args[0]
            if event in ("os.rename", "os.link") and (to := thing(self.root, args[1])):
                whence = thing(self.root, path)
                self.event(f"{verb} {whence or 'something'} to {to}", "before", os.fsdecode(args[1]))
                return
        else:
            return
        if what := self._of(verb, path):
            self.event(what[0], "before", what[1])


_VERBS = {
    "os.rename": "rename",
    "os.link": "link",
    "os.symlink": "link",
    "os.remove": "remove",
    "os.mkdir": "make",
    "os.rmdir": "remove",
    "os.truncate": "cut",
}


def _path_of(descriptor: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
    except OSError:
        return ""


def kill_at(boundary: Boundary) -> Act:
    """The act that ends this process, at once and for good, at one boundary."""

    def act(seen: Boundary) -> None:
        if (seen.name, seen.number, seen.when) == (boundary.name, boundary.number, boundary.when):
            os.kill(os.getpid(), signal.SIGKILL)
            threading.Event().wait()

    return act
