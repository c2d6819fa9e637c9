"""What a call says of itself: log lines with the run's id, and the metrics that the alarms look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from carlake.refresh.report import DONE, RunReport

if TYPE_CHECKING:
    from carlake.lakehouse import Lakehouse

WAITED, RUN, GIVEN_BACK = "waited", "run", "message given back"


@dataclass(frozen=True)
class Measured:
    """One metric: name, value, unit as CloudWatch has it; of a table, or of the lake."""

    name: str
    value: float
    unit: str = "Count"
    table: str = ""


def measured(
    house: Lakehouse, reports: Sequence[RunReport], oldest: float, now: datetime, tables: Sequence[str]
) -> list[Measured]:
    """The metrics of a call.

    oldest  when the oldest message of the batch was sent, or the oldest object put that a listing was the first to land,
            in seconds of the epoch; 0 where there was none
    tables  those whose lateness is told: how long the oldest event had waited when the table had it, and for one that
            keeps failing, how long that has gone on
    """
    found = [
        Measured("Records", sum(report.records for report in reports)),
        Measured("RecordsQuarantined", sum(report.quarantined for report in reports)),
        Measured("RunsFailed", sum(report.status == "failed" for report in reports)),
    ]
    circuits = {circuit.table: circuit for circuit in house.circuits()}
    found.append(Measured("OpenCircuits", sum(circuit.opened_at is not None for circuit in circuits.values())))
    steps = {step.table: step for report in reports for step in report.steps}
    if steps:  # A call without a run says nothing of the tables, and a zero from it would hide what the runs say.
        found.append(Measured("TablesNotDone", sum(step.status not in DONE for step in steps.values())))
    for table in tables:
        waited = max(0.0, now.timestamp() - oldest) if oldest else 0.0
        if table in circuits:
            waited = max(waited, (now - circuits[table].since).total_seconds())
        elif table not in steps or steps[table].status not in DONE or not oldest:
            continue
        found.append(Measured("LatenessSeconds", waited, "Seconds", table))
    return found


def of_run(report: RunReport) -> dict[str, Any]:
    """A run in one log line."""
    return {
        "run_id": report.run_id,
        "status": report.status,
        "seconds": round(report.seconds, 3),
        "files": report.files,
        "records": report.records,
        "accepted": report.accepted,
        "quarantined": report.quarantined,
        "duplicates": report.duplicates,
        "not_done": {step.table: f"{step.status}: {step.error}" for step in report.steps if step.status not in DONE},
        "problems": [f"{problem.uri} {problem.why}" for problem in report.problems[:20]],
    }
