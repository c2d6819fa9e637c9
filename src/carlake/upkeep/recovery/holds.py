"""Tables that lose the hold of a rollback: it lies in a table's own snapshots, and goes with its metadata."""

from __future__ import annotations

from collections.abc import Collection

from carlake.tables.declare import GOLD, QUARANTINE, SILVER
from carlake.upkeep.inspection.lake import Inspection
from carlake.upkeep.recovery.plan import RecoveryPlan
from carlake.upkeep.recovery.tables import Lost


def lost_holds(lake: Inspection, planned: RecoveryPlan, held: Collection[str]) -> list[Lost]:
    """Those of the tables that a rollback holds, all of them at once, which are held no more though others are.

    held  the tables that are under a hold, as soon as the catalog names the metadata that there is
    """
    another = {step.target for step in planned.steps if step.action in ("drop", "point")}
    why = "that it was held stood in metadata that is lost, and others are held yet; roll back once more, or `carlake resume`"
    return [
        Lost(f"the rollback of table {name}", why)
        for name in (SILVER, QUARANTINE, *GOLD)
        if held and name not in held and (name in another or lake.best(name) is None)
    ]
