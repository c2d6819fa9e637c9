"""A hold: no path moves a table that was rolled back until `carlake resume`. It lies in the table's own snapshots."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from pyiceberg.table import Table as IcebergTable

from carlake.engines.snapshots import hold_on


@dataclass(frozen=True)
class Hold:
    """Why and since when a table is held.

    run    the run before which the table was returned to
    since  when
    """

    run: str
    since: datetime

    def to_text(self) -> str:
        """As a snapshot's summary holds it."""
        return json.dumps({"run": self.run, "since": self.since.isoformat(timespec="seconds")})

    @staticmethod
    def of(iceberg: IcebergTable | None) -> Hold | None:
        """The hold that a table is under, None where there is none."""
        text = hold_on(iceberg) if iceberg is not None else ""
        if not text:
            return None
        try:
            hold = json.loads(text)
            return Hold(str(hold["run"]), datetime.fromisoformat(hold["since"]))
        except (ValueError, KeyError, TypeError):
            # What cannot be read was meant to hold, all the same.
            return Hold("unknown", datetime.fromisoformat("1970-01-01T00:00:00+00:00"))
