"""What mends a lake or takes out of it, as part of `Lakehouse`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, cast

from carlake.errors import CarlakeError, SettingsError
from carlake.opened import OpenLake
from carlake.refresh.report import Problem, RunReport
from carlake.tables.declare import BRONZE

if TYPE_CHECKING:
    from carlake.lakehouse import Lakehouse
    from carlake.refresh.hold import Hold
    from carlake.upkeep.erasure.erase import Erasure, ErasurePlan
    from carlake.upkeep.maintenance.maintain import Maintained, MaintenancePlan
    from carlake.upkeep.recovery.from_archive import ArchivePlan
    from carlake.upkeep.releases.returning import RollbackPlan
    from carlake.upkeep.releases.rollback import Resumed


class Mending(OpenLake):
    """An open lake with what is done to it now and then."""

    def rebuild(
        self,
        tables: Sequence[str] = (),
        *,
        everything: bool = False,
        from_archive: bool = False,
        today: date | None = None,
        progress: Callable[[str, int], None] = lambda table, done: None,
    ) -> RunReport:
        """Adopt changed contracts, rules and definitions; or make tables again from their source.

        tables        these are made again whole, right or not, each as one snapshot: readers never see a part of it.
                      Without any, each table whose definition changed is brought up to date, doing no more than is needed
        everything    all tables are made again
        from_archive  bronze, too, is made again, from the archive; what the archive does not hold stays as bronze has it
        Raises NotFoundError for a table that does not exist, SettingsError for one that cannot be made again so;
        CarlakeError where bronze cannot be read, CommitRefusedError where others wrote to it again and again.
        """
        house = cast("Lakehouse", self)
        anew = self.remade(tables, everything=everything, from_archive=from_archive)
        context = self.context(trigger="rebuild", today=today)
        if BRONZE not in anew:
            return house._do(context, adopt=True, only=anew or None, anew=anew, progress=progress)
        from carlake.landing.listing import Listing, list_paths
        from carlake.upkeep.recovery.from_archive import plan_from_archive, remake_bronze

        remade = remake_bronze(context, self.archive, progress)
        missing = [landed.uri for landed in plan_from_archive(context, self.archive).missing]
        listing = list_paths(missing) if missing else Listing()
        only = anew - {BRONZE}
        report = house._do(
            context,
            listing.objects,
            [Problem(item.uri, item.why, item.advice) for item in listing.unreadable],
            adopt=True,
            only=only or frozenset({BRONZE}),
            anew=only,
            progress=progress,
            before=remade.step,
        )
        return replace(report, notes=tuple(remade.notes))

    def plan_from_archive(self) -> ArchivePlan:
        """What a rebuild from the archive would read again, land, and leave. Changes nothing."""
        from carlake.upkeep.recovery.from_archive import plan_from_archive

        return plan_from_archive(self.context(trigger="plan"), self.archive)

    def remade(
        self, tables: Sequence[str] = (), *, everything: bool = False, from_archive: bool = False
    ) -> frozenset[str]:
        """The tables that `rebuild` would make again; none where it only adopts what changed. Raises as it does."""
        house = cast("Lakehouse", self)
        names = {house._known_table(name) for name in tables}
        if everything:
            names |= {name for name, table in self.declared.items() if table.source in self.declared}
            names |= {BRONZE} if from_archive else set()
        for name in names:
            if self.declared[name].source is None:
                raise SettingsError(f"Table {name} is made from no other, so it cannot be made again.", "Name another.")
        if BRONZE in names and not from_archive:
            raise SettingsError(
                f"Table {BRONZE} holds what was landed; only the archive has that, too.",
                f"Give `carlake rebuild {BRONZE} --from archive`.",
            )
        if from_archive and BRONZE not in names:
            raise SettingsError(
                f"Only {BRONZE} is made from the archive.", "Name it, or all: `carlake rebuild --all --from archive`."
            )
        return frozenset(names)

    def plan_rollback(self, run: str) -> RollbackPlan:
        """What `rollback` would do now, and which later runs it would undo. Changes nothing. Raises as it does."""
        from carlake.upkeep.releases.rollback import plan_rollback

        return plan_rollback(self.context(trigger="rollback"), run)

    def rollback(self, run: str) -> RollbackPlan:
        """Return silver, quarantine and gold to what they were before a run, and hold them until `resume`.

        run  a run's id, the beginning of it that no other run has, or `last`
        Bronze and the archive stay, and landing goes on. May be repeated, after a crash too. Gives what was done.
        Raises NotFoundError for a run of which no snapshot is kept, CarlakeError where what was before it is not kept,
        CommitRefusedError where other writers were faster again and again.
        """
        from carlake.upkeep.releases.rollback import rollback

        done, report = rollback(self.context(trigger="rollback"), run)
        if report is not None:
            self._noted(report)
        return done

    def resume(self) -> Resumed:
        """Drop the holds of a rollback: the next run brings every table up to date. May be repeated.

        Raises CommitRefusedError where other writers were faster again and again.
        """
        from carlake.upkeep.releases.rollback import resume

        done, report = resume(self.context(trigger="resume"))
        if report is not None:
            self._noted(report)
        return done

    def holds(self) -> dict[str, Hold]:
        """The tables that are held since a rollback."""
        from carlake.upkeep.releases.rollback import holds

        return holds(self.context(trigger="look"))

    def release(self, run: str) -> dict[str, int | None]:
        """The snapshot of each table at the end of a run, such that they fit together; None where a table was empty.

        run  a run's id, the beginning of it, or `last`. Raises NotFoundError.
        """
        from carlake.refresh.history import histories
        from carlake.refresh.releases import snapshots_of_run

        self.settle_releases()
        return snapshots_of_run(histories(self.declared, self.context(trigger="query").peek), self.declared, run)

    def plan_forget(self, car: str, *, unknown: bool = False) -> ErasurePlan:
        """What `forget` would take out of each table. Changes nothing. Raises NotFoundError as it does."""
        from carlake.upkeep.erasure.erase import plan_erasure

        return plan_erasure(cast("Lakehouse", self), car, unknown)

    def forget(
        self, car: str, *, unknown: bool = False, progress: Callable[[str], None] = lambda step: None
    ) -> Erasure:
        """Remove a car from every table and snapshot, the archive, landing and the logs, refuse its records from now on,
        and search for what is left. There is no way back. Given again after a crash, it goes on.

        car      its chassis number as it is landed
        unknown  also a car that the lake does not have: its records are refused from now on

        Raises NotFoundError for a car that the lake does not have, CarlakeError where it cannot be done now; nothing is lost by that.
        """
        from carlake.upkeep.erasure.erase import as_run, forget

        done = forget(cast("Lakehouse", self), car, progress, unknown)
        self._noted(as_run(done))
        return done

    def withdraw(self, uri: str) -> RunReport:
        """Take an object back: its rows leave bronze and every table that has them, and its content may land again.

        uri  the object's, as bronze has it in source_uri: that of an older version ends in its id. The object itself stays
             where it is: remove it before, or the next run lands it again. Older snapshots keep its rows until
             maintenance expires them.
        Raises CarlakeError where bronze cannot be committed to; what is wrong with another table is in the report.
        """
        from carlake.upkeep.withdrawal import withdraw

        step = withdraw(self.context(trigger="withdraw"), uri)
        if step.status == "failed":
            raise CarlakeError(f"The rows of {uri} could not be taken out of {BRONZE}: {step.error}", "Try again.")
        return cast("Lakehouse", self).take((), trigger="withdraw")

    # -- maintenance -------------------------------------------------------------------------------------------------

    def plan_maintenance(self, tables: Sequence[str] = ()) -> MaintenancePlan:
        """What `maintain` would do now, each thing with why. Changes nothing. Raises NotFoundError for a table."""
        from carlake.upkeep.maintenance.maintain import plan_maintenance

        house = cast("Lakehouse", self)
        return plan_maintenance(self, [house._known_table(name) for name in tables])

    def maintain(
        self, tables: Sequence[str] = (), *, progress: Callable[[str], None] = lambda what: None
    ) -> Maintained:
        """Merge small files, expire snapshots, and remove what nothing needs: all that is due.

        tables  only these; without any, all of them, the archive and temporary files. Raises NotFoundError for a table.
        What fails is in the result, not raised.
        """
        from carlake.upkeep.maintenance.maintain import maintain

        house = cast("Lakehouse", self)
        return maintain(self, [house._known_table(name) for name in tables], progress)

    def maintain_for(self, seconds: float) -> Maintained:
        """Do what is due for about so long, what makes commits slow first: for who is ended from outside after a time.

        Searches of folders and whole tables are done once an hour. What fails is in the result, not raised.
        """
        from carlake.upkeep.maintenance.maintain import maintain_slice

        return maintain_slice(self, seconds)
