"""A lake with all that others could read differently, and what carlake itself says of its tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from carlake.lakehouse import Lakehouse
from carlake.simulator.files import write
from carlake.simulator.fleet import Fleet
from carlake.tables.table import Table
from lakes import OPS_RUNS
from readers.figures import DUCKDB, Figures, figures, query

SEVEN = {
    "bronze_car_data",
    "quarantine_car_data",
    "silver_car_telemetry",
    "gold_car_current_state",
    "gold_fuel_efficiency_monthly",
    "gold_performance_alerts_log",
    OPS_RUNS,
}


@dataclass
class Read:
    """A lake that others read: open, and the run at whose end they read it beside now."""

    house: Lakehouse
    run: str

    @cached_property
    def tables(self) -> list[Table]:
        """Those that are there: all but the tombstones of forgotten cars, for there are none."""
        found = [table for table in self.house.declared.values() if table.name in SEVEN]
        assert len(found) == len(SEVEN)
        return found

    @cached_property
    def of_release(self) -> list[Table]:
        """Those that a release has: `ops_runs` is a log."""
        return [table for table in self.tables if table.name != OPS_RUNS]

    @cached_property
    def now(self) -> dict[str, Figures]:
        """What `carlake query` says of each table now."""
        return {table.name: self._own(table) for table in self.tables}

    @cached_property
    def then(self) -> dict[str, Figures]:
        """The same at the end of the run."""
        return {table.name: self._own(table, self.run) for table in self.of_release}

    def _own(self, table: Table, run: str | None = None) -> Figures:
        found = self.house.query(query(table, DUCKDB, table.name), as_of_run=run)
        return figures(table, [column[0].as_py() for column in found.columns])


def fed(house: Lakehouse, folder: Path) -> Read:
    """Feed a new lake in two runs: every format and fault first, then corrections and more of the same cars."""
    runs = []
    for number, fleet in enumerate((Fleet(events=400, cars=12), Fleet(events=200, cars=12, seed=7, corrections=0.5))):
        write(fleet, folder / str(number), format="mixed" if number == 0 else "ndjson")
        report = house.run([str(folder / str(number))])
        assert {step.status for step in report.steps} == {"succeeded"}
        runs.append(report.run_id)
    read = Read(house, runs[0])
    assert read.now["silver_car_telemetry"] != read.then["silver_car_telemetry"]
    return read
