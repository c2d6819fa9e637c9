"""Circuits: a table that fails again and again is tried less and less often, and closes by itself when a try succeeds.

    closed     it is refreshed whenever something is to do
    open       it failed several times in a row; who backs off leaves it alone until the wait is over
    half-open  the wait is over: one process tries it; a success closes the circuit, a failure doubles the wait

After M. Nygard, Release It! (2007), "Circuit Breaker". A person's `carlake run` tries a table whose circuit is open, too:
whoever has just mended something wants to see it. Waits are jittered, so that tables that failed together are not tried
together for ever.

The state is one small file for each table that fails, in the lake's own folder, so that all processes back off
together. It is advice: with the files lost, or a disk too full to write them, rows are the same and tries more frequent.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from carlake.lake import Lake, exclusive
from carlake.settings import Settings
from carlake.storage.durable import write_atomically

State = Literal["closed", "open", "half-open"]

_FIRST_WAIT_SECONDS = 1.0
_TIMES = ("since", "last", "retry_at", "opened_at")


@dataclass(frozen=True)
class Circuit:
    """One table that failed in a row.

    failures   how often in a row
    since      the first of these failures; last: the newest
    error      the newest failure's cause, as the run reported it; run_id: that run
    retry_at   from then on it is tried again by who backs off
    opened_at  when it failed too often; None where it has not yet
    """

    table: str
    failures: int
    since: datetime
    last: datetime
    error: str
    run_id: str
    retry_at: datetime
    opened_at: datetime | None = None

    def state(self, now: datetime) -> State:
        """Where the circuit stands at a moment."""
        if self.opened_at is None:
            return "closed"
        return "open" if now < self.retry_at else "half-open"


@dataclass(frozen=True)
class Turned:
    """A circuit that opened or closed. Of all processes that work on a lake, one makes each turn."""

    kind: Literal["opened", "closed"]
    circuit: Circuit


class Circuits:
    """The circuits of a lake's tables, as one process sees and changes them. Never raises for want of disk or rights.

    folder           where their files lie
    clock            the time, UTC
    after            failures in a row that open a circuit
    longest_seconds  the longest wait between two tries
    """

    def __init__(
        self, folder: Path, clock: Callable[[], datetime], *, after: int = 3, longest_seconds: float = 300.0
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._after = after
        self._longest = longest_seconds
        # What could not be written down: a full disk is one of the reasons why tables fail.
        self._unwritten: dict[str, Circuit] = {}
        self._turned: list[Turned] = []

    @classmethod
    def of_lake(cls, lake: Lake, settings: Settings, clock: Callable[[], datetime]) -> Circuits:
        """The circuits of a lake, by its settings."""
        return cls(
            folder(lake), clock, after=settings.circuit_failures, longest_seconds=settings.circuit_longest_wait_seconds
        )

    def failing(self) -> list[Circuit]:
        """Every table whose newest try failed, by name; those with an open circuit have `opened_at`."""
        names = {*self._unwritten, *(file.stem for file in _files(self._folder))}
        return [circuit for name in sorted(names) if (circuit := self.of(name))]

    def of(self, table: str) -> Circuit | None:
        """The table's failures in a row, None where its newest try did not fail."""
        written, kept = read(self._file(table)), self._unwritten.get(table)
        return max(
            (c for c in (written, kept) if c), key=lambda circuit: (circuit.last, circuit.retry_at), default=None
        )

    def known(self, table: str) -> bool:
        """Whether the table's circuit was open before its newest failure, so that nothing new is to be told."""
        circuit = self.of(table)
        return circuit is not None and circuit.opened_at is not None and circuit.opened_at < circuit.last

    def may_try(self, table: str) -> bool:
        """Whether who backs off may try the table now. Says so to one process alone where the circuit is open."""
        if self.of(table) is None:
            return True
        now, may = self._now(), True

        def take(found: Circuit | None) -> Circuit | None:
            nonlocal may
            if found is None:
                return None
            # A wait longer than any that is given: the clock was set back since.
            may = found.retry_at <= now or found.retry_at > now + timedelta(seconds=self._longest)
            return replace(found, retry_at=self._next(now, found.failures)) if may and found.opened_at else found

        self._change(table, take)
        return may

    def failed(self, table: str, error: str, run_id: str, started_at: datetime) -> Circuit:
        """Note that a try of the table failed, which began at `started_at`."""
        now = self._now()
        circuit: Circuit | None = None

        def count(found: Circuit | None) -> Circuit:
            nonlocal circuit
            # Tries that ran side by side and failed together are one failure: it is time that tells a cause that stays.
            more = 0 if found and started_at < found.last else 1
            failures = (found.failures if found else 0) + more
            opened = (found.opened_at if found else None) or (now if failures >= self._after else None)
            circuit = Circuit(
                table=table,
                failures=failures,
                since=found.since if found else now,
                last=now,
                error=error,
                run_id=run_id,
                retry_at=self._next(now, failures),
                opened_at=opened,
            )
            if opened and not (found and found.opened_at):
                self._turned.append(Turned("opened", circuit))
            return circuit

        self._change(table, count)
        assert circuit is not None
        return circuit

    def succeeded(self, table: str) -> None:
        """Note that a try of the table did not fail: its circuit closes."""
        if self.of(table) is None:
            return

        def close(found: Circuit | None) -> None:
            if found and found.opened_at:
                self._turned.append(Turned("closed", found))

        self._change(table, close)

    def turned(self) -> list[Turned]:
        """The circuits that this process opened or closed since it was last asked."""
        turned, self._turned = self._turned, []
        return turned

    # -- files -------------------------------------------------------------------------------------------------------

    def _change(self, table: str, change: Callable[[Circuit | None], Circuit | None]) -> None:
        """Replace the table's state by what `change` makes of it, alone among all processes."""
        with ExitStack() as held:
            # Where no lock can be made (a lake that may only be read), this process backs off by itself.
            with suppress(OSError):
                held.enter_context(exclusive(self._folder / "lock"))
            found = self.of(table)
            self._keep(table, found, change(found))

    def _keep(self, table: str, before: Circuit | None, after: Circuit | None) -> None:
        file = self._file(table)
        self._unwritten.pop(table, None)
        if after == before:
            if after is not None and read(file) != after:
                self._unwritten[table] = after
            return
        try:
            if after is None:
                file.unlink(missing_ok=True)
            else:
                values = {name: v.isoformat() if isinstance(v, datetime) else v for name, v in asdict(after).items()}
                write_atomically(file, json.dumps(values, ensure_ascii=False, indent=1).encode())
        except OSError:
            if after is not None:
                self._unwritten[table] = after

    def _file(self, table: str) -> Path:
        return self._folder / f"{table}.json"

    def _next(self, now: datetime, failures: int) -> datetime:
        wait = min(_FIRST_WAIT_SECONDS * 2 ** min(failures - 1, 30), self._longest)
        return now + timedelta(seconds=wait * random.uniform(0.75, 1))  # noqa: S311  (jitter, not a secret)

    def _now(self) -> datetime:
        return self._clock().astimezone(UTC)


def circuits_of(lake: Lake) -> list[Circuit]:
    """Every table of the lake whose newest try failed, by name. Reads a few small files, and opens neither catalog nor
    engine, so it answers also where those are what is broken."""
    return [circuit for file in _files(folder(lake)) if (circuit := read(file))]


def folder(lake: Lake) -> Path:
    """Where the lake's circuits are written down."""
    return lake.scratch.parent / "circuits"


def read(file: Path) -> Circuit | None:
    """The circuit that a file holds; None where it is missing or not such a file, which counts as closed."""
    try:
        values: dict[str, Any] = json.loads(file.read_bytes())
        times = {name: datetime.fromisoformat(values[name]) for name in _TIMES if values[name]}
        circuit = Circuit(**{**values, **times})
        return circuit if circuit.table == file.stem and _sound(circuit) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _sound(circuit: Circuit) -> bool:
    texts, times = (circuit.error, circuit.run_id), (circuit.since, circuit.last, circuit.retry_at)
    return (
        isinstance(circuit.failures, int)
        and circuit.failures > 0
        and all(isinstance(text, str) for text in texts)
        and all(isinstance(time, datetime) and time.tzinfo is not None for time in times)
        and (circuit.opened_at is None or isinstance(circuit.opened_at, datetime))
    )


def _files(where: Path) -> list[Path]:
    try:
        return sorted(file for file in where.iterdir() if file.suffix == ".json" and not file.name.startswith("."))
    except OSError:
        return []
