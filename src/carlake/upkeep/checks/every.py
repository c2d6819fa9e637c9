"""The one list of checks: it drives `carlake doctor`, `carlake recover` and the runbook page."""

from __future__ import annotations

from collections.abc import Iterator

from carlake.upkeep.checks import lake as checks_lake
from carlake.upkeep.checks import landing as checks_landing
from carlake.upkeep.checks import machine as checks_machine
from carlake.upkeep.checks import queue as checks_queue
from carlake.upkeep.checks import tables as checks_tables
from carlake.upkeep.checks.finding import Check, Finding
from carlake.upkeep.inspection.lake import Inspection

CHECKS: tuple[Check, ...] = (
    *checks_lake.CHECKS,
    *checks_tables.CHECKS,
    *checks_landing.CHECKS,
    *checks_queue.CHECKS,
    *checks_machine.CHECKS,
)
"""In the order in which they are looked at, and mended: what stands first may be the cause of what follows."""


def check_named(name: str) -> Check:
    """The check of that name."""
    return next(check for check in CHECKS if check.name == name)


def findings(lake: Inspection) -> Iterator[Finding]:
    """What all checks find. A check that cannot be done is a finding too, and does not stop the others."""
    for check in CHECKS:
        if check.deep and not lake.deep:
            continue
        try:
            for where, what in check.find(lake):
                yield Finding(check.name, check.severity, where, what)
        except Exception as error:  # noqa: BLE001  (a lake may be broken in ways that no check foresees)
            why = " ".join(str(error).split())[:300]
            yield Finding(check.name, "error", lake.location, f"could not be checked ({type(error).__name__}: {why})")
