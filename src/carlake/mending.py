"""What mends a lake or takes out of it, as part of `Lakehouse`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from carlake.opened import OpenLake

if TYPE_CHECKING:
    from carlake.lakehouse import Lakehouse
    from carlake.upkeep.erase import Erasure, ErasurePlan


class Mending(OpenLake):
    """An open lake with what is done to it now and then."""

    def plan_forget(self, car: str) -> ErasurePlan:
        """What `forget` would take out of each table. Changes nothing."""
        from carlake.upkeep.erase import plan_erasure

        return plan_erasure(cast("Lakehouse", self), car)

    def forget(self, car: str, *, progress: Callable[[str], None] = lambda step: None) -> Erasure:
        """Remove a car from every table and snapshot, the archive, landing and the logs, refuse its records from now on,
        and search for what is left. There is no way back. Given again after a crash, it goes on.

        car  its chassis number as it is landed

        Raises CarlakeError where it cannot be done now; nothing is lost by that.
        """
        from carlake.upkeep.erase import forget

        return forget(cast("Lakehouse", self), car, progress)
