"""What a run did, as plain data: printed by the commands, written to ops_runs, returned by the API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from carlake.refresh.hold import Hold

Status = Literal["succeeded", "partial", "failed"]
StepStatus = Literal["succeeded", "skipped", "failed", "left", "waiting", "held"]
"""What became of one table.

skipped  it was right already
left     its definition differs from the one it was built with: it was left as it is until `carlake rebuild`
waiting  it failed several times in a row and was not tried: its circuit is open
held     it was rolled back and is left as it is until `carlake resume`
"""

DONE: tuple[StepStatus, ...] = ("succeeded", "skipped", "held")
"""The outcomes after which a table is as it should be."""


@dataclass(frozen=True)
class Step:
    """One table in one run.

    rows_in   source rows read as changed; rows_out: rows written new or changed; rows_removed: rows taken out
    why       why it was refreshed (`refresh.plan.Why`), empty where nothing was to do
    held      the hold that it is under
    """

    table: str
    status: StepStatus
    why: str = ""
    rows_in: int = 0
    rows_out: int = 0
    rows_removed: int = 0
    snapshot_id: int | None = None
    source_snapshot_id: int | None = None
    started_at: datetime | None = None
    seconds: float = 0.0
    refusals: int = 0
    error: str = ""
    held: Hold | None = None


@dataclass(frozen=True)
class Problem:
    """An object that could not be taken in now; it is tried again at the next run.

    committed  its rows are in bronze, and only its way out of landing failed
    """

    uri: str
    why: str
    advice: str = ""
    committed: bool = False


@dataclass(frozen=True)
class RunReport:
    """What one run did.

    trigger      what started it: run, rebuild, ...
    files        objects taken in, those with known content too
    files_known  of those, the objects whose content bronze already had
    files_unchanged  objects not read again: same name, size and modification time as landed before
    records      records landed; records = accepted + quarantined + duplicates + forgotten once every table is up to date
    accepted     rows that silver gained
    passed_over  names that were not looked at: hidden, or still being written
    notes        what a person should know beside it
    engine       what computed it
    duplicates   records that a contract accepted and that are not, or no longer, the silver row of their event
    forgotten    records that were refused, of cars that were forgotten: an empty row stands for each
    oldest       when the oldest object was put where it lay whose rows this run was the first to land; None without any
    """

    run_id: str
    trigger: str
    status: Status
    started_at: datetime
    seconds: float
    files: int = 0
    files_known: int = 0
    files_unchanged: int = 0
    records: int = 0
    accepted: int = 0
    quarantined: int = 0
    duplicates: int = 0
    forgotten: int = 0
    steps: tuple[Step, ...] = ()
    problems: tuple[Problem, ...] = ()
    passed_over: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    engine: str = "duckdb"
    oldest: datetime | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing was done, and nothing failed that was tried."""
        return not self.problems and all(step.status in ("skipped", "left", "waiting", "held") for step in self.steps)
