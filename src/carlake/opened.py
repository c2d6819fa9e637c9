"""A lake that is open: its catalog, contracts, declared tables and engine, each made when it is first needed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cached_property
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Self

from carlake import lake as lakes
from carlake.catalogs.by_name import open_catalog, warehouse_location
from carlake.contracts.contract import ContractSet
from carlake.contracts.load import load as load_contracts
from carlake.engines.duckdb.engine import DuckDBEngine
from carlake.errors import CarlakeError, ContractError, LakeError
from carlake.hooks import Event, Hooks, Kind
from carlake.journal import CIRCUIT, Journal, Level
from carlake.journal import folder as log_folder
from carlake.lake_in_store import place_all
from carlake.landing.prefixes import archive_of, keep_apart, landing_of, leave, reach
from carlake.refresh.causes import cause
from carlake.refresh.circuits import Circuits
from carlake.refresh.context import WATCH, Context, new_run_id
from carlake.refresh.forgotten import ForgottenCars
from carlake.refresh.releases import Releases
from carlake.refresh.report import RunReport
from carlake.refresh.run import write_down
from carlake.refresh.unknown import refuse_unknown
from carlake.rules.load import load_rules
from carlake.settings import Settings
from carlake.tables.declare import ALERTS, declare
from carlake.tables.table import Table
from carlake.version import VERSION

if TYPE_CHECKING:
    from carlake.engines.protocol import Engine
    from carlake.engines.spark.engine import SparkEngine
    from carlake.landing.pseudonyms import Pseudonyms

# Runs that are written to ops_runs by one commit.
_RUNS_AT_ONCE = 50

RELEASING = ("run", WATCH, "rebuild")
"""The triggers of runs whose end is a release."""

Clock = Callable[[], datetime]


class OpenLake:
    """The parts of an open lake. Close it, or use it as a context manager.

    The catalog and the engine are opened when they are first needed and then kept, so that repeated runs are fast.
    Not for use by several threads at once; several processes may work on one lake.
    """

    def __init__(self, lake: lakes.Lake, settings: Settings, clock: Clock | None = None) -> None:
        if lake.uri:
            settings = place_all(lake, settings)
        self.lake = lake.with_warehouse(settings.warehouse)
        self.settings = settings
        self.landing, self.archive = landing_of(lake, settings), archive_of(lake, settings)
        keep_apart(self.lake, settings)
        reach(lake, settings)
        self._reaches = True
        self._may_be_read = False
        self.clock: Clock = clock or (lambda: datetime.now(UTC))
        self._engine: DuckDBEngine | None = None
        self._spark: SparkEngine | None = None
        self._unwritten: list[RunReport] = []
        self._releases = Releases(settings.releases_kept, settings.releases_days)
        self._circuits = Circuits.of_lake(lake, settings, self.clock)
        self._hooks = Hooks.of(settings)
        self._pseudonyms: tuple[ContractSet, Pseudonyms] | None = None
        self._forgotten = ForgottenCars(settings.tombstone_key_file or lake.tombstone_key)

    @classmethod
    def create(cls, path: str | PathLike[str], settings: Settings | None = None, clock: Clock | None = None) -> Self:
        """Make a lake (or complete a half-made one) and open it; an existing lake is just opened. Raises LakeError."""
        lake = lakes.create(path, settings)
        return cls(lake, settings or Settings.load(lake=lake.toml), clock)

    @classmethod
    def open(cls, path: str | PathLike[str], settings: Settings | None = None, clock: Clock | None = None) -> Self:
        """Open a lake where it was made. Raises LakeError where there is none, it was moved, or it is newer."""
        lake = lakes.open(path, settings)
        return cls(lake, settings or Settings.load(lake=lake.toml), clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write down the last runs, make their releases whole, end the engine, remove its temporary files, and wait for the hooks (up to 30 s)."""
        self.write_down_runs()
        self.settle_releases()
        self.release_engine()
        self._hooks.close()
        if self._reaches:
            self._reaches = False
            leave(self.lake, self.settings)

    def reopen(self) -> None:
        """Open catalog and engine anew when they are next needed: after an error of which they may keep something."""
        engines = (self._engine, self._spark)
        self._engine = self._spark = None
        vars(self).pop("catalog", None)
        for engine in engines:
            if engine is not None:
                with suppress(Exception):
                    engine.close()

    def reread(self) -> bool:
        """Read the contracts and rules again, as another process may have adopted newer ones; whether they differ."""
        before = {name: (table.definition, table.broken) for name, table in self.declared.items()}
        kept = {name: vars(self).pop(name) for name in ("contracts", "declared")}
        try:
            if before != {name: (table.definition, table.broken) for name, table in self.declared.items()}:
                self.reopen()
                return True
        except CarlakeError:
            pass  # half written, perhaps: those that were read stay
        vars(self).update(kept)
        return False

    # -- parts -------------------------------------------------------------------------------------------------------

    @cached_property
    def journal(self) -> Journal:
        """The lake's log."""
        return Journal(log_folder(self.lake), int(self.settings.log_bytes))

    @cached_property
    def contracts(self) -> ContractSet:
        """The contracts: shipped ones that are on, then the settings'. Raises ContractError."""
        return load_contracts(
            self.settings.contracts,
            off=self.settings.contracts_off,
            max_record_bytes=int(self.settings.max_record_bytes),
        )

    @cached_property
    def declared(self) -> dict[str, Table]:
        """Every table's declaration, by name. A mistake in a rules file concerns the alerts alone: `Table.broken`.

        Raises ContractError for a mistake in a contract: contracts say which records are of a car that is forgotten, and
        which values are personal data, so nothing may land without them.
        """
        extra = self.contracts.extra_columns
        mistake = ""
        try:
            rules = load_rules(self.settings.rules, extra_columns=extra)
        except ContractError as error:
            rules, mistake = load_rules(extra_columns=extra), str(error)
        tables = declare(
            self.contracts.canonical,
            rules,
            extra,
            self.settings.silver_partition,
            int(self.settings.max_record_bytes),
            self.pseudonyms.key_id if self.pseudonyms is not None else "",
        )
        return tables | {ALERTS: replace(tables[ALERTS], broken=mistake)}

    @cached_property
    def catalog(self):  # type: ignore[no-untyped-def]
        """The Iceberg catalog."""
        return open_catalog(self.settings, self.lake)

    def to_read(self) -> None:
        """Refuse to read tables that this catalog knows nothing of as if the lake were empty. Raises LakeError."""
        if not self._may_be_read:
            warehouse = warehouse_location(self.lake)
            try:
                refuse_unknown(self.catalog, self.settings.namespace, self.declared, warehouse)
            except OSError as error:
                what = f"The tables' folder {warehouse.removeprefix('file://')} cannot be read: {error}."
                raise LakeError(what, "Check access to it.") from error
            self._may_be_read = True

    @property
    def engine(self) -> DuckDBEngine:
        """The embedded engine's session: it looks, checks and mends, whatever computes the runs."""
        if self._engine is None:
            try:
                self._engine = DuckDBEngine(
                    self.catalog,
                    self.settings.namespace,
                    self.declared,
                    self.contracts,
                    self.lake.scratch,
                    max_record_bytes=int(self.settings.max_record_bytes),
                    memory_limit_bytes=int(self.settings.memory_limit),
                    threads=self.settings.threads,
                    target_file_bytes=int(self.settings.target_file_bytes),
                )
            except CarlakeError:
                raise
            except Exception as error:
                what, _, advice = cause(error).partition("\n")
                raise LakeError(f"The lake cannot be worked on: {what}", advice) from error
        return self._engine

    def engine_for(self, trigger: str) -> Engine:
        """What computes for a run that `trigger` started: the setting `engine` is for the flow of events alone."""
        if self.settings.engine == "duckdb" or trigger not in RELEASING:
            return self.engine
        if self._spark is None:
            from carlake.engines.spark.installed import check_installed

            check_installed()
            from carlake.engines.spark.engine import SparkEngine

            self._spark = SparkEngine(self.catalog, self.declared, self.contracts, self.settings, self.lake)
        return self._spark

    def release_engine(self) -> None:
        """End the engines' sessions and remove their temporary files; the next use begins new ones."""
        engines = (self._engine, self._spark)
        self._engine = self._spark = None
        for engine in engines:
            if engine is not None:
                engine.close()

    def identities(self, car: str) -> tuple[str, ...]:
        """What a car is called: as the tables hold it first, then in clear."""
        return (car,) if self.pseudonyms is None else tuple(dict.fromkeys((self.pseudonyms.car(car), car)))

    @property
    def pseudonyms(self) -> Pseudonyms | None:
        """What makes pseudonyms of personal data, where the settings ask for it. Raises SettingsError."""
        if self.settings.pseudonym_key_file is None:
            return None
        if self._pseudonyms is None or self._pseudonyms[0] is not self.contracts:
            from carlake.landing.keys import read_key
            from carlake.landing.pseudonyms import Pseudonyms

            key = read_key(self.settings.pseudonym_key_file, "pseudonym key")
            self._pseudonyms = (self.contracts, Pseudonyms(key, self.contracts))
        return self._pseudonyms[1]

    def context(self, trigger: str = "run", today: date | None = None) -> Context:
        """What one run works with."""
        run_id, engine = new_run_id(self.clock()), self.engine_for(trigger)
        engine.of_run(run_id)
        return Context(
            catalog=self.catalog,
            namespace=self.settings.namespace,
            warehouse=warehouse_location(self.lake),
            tables=self.declared,
            contracts=self.contracts,
            engine=engine,
            lease_folder=self.lake.scratch,
            clock=self.clock,
            version=f"{VERSION}+{self.settings.code}" if self.settings.code else VERSION,
            today=today,
            trigger=trigger,
            circuits=self._circuits,
            releases=self._releases if trigger in RELEASING else None,
            forgotten=self._forgotten,
            pseudonyms=self.pseudonyms,
            run_id=run_id,
        )

    # -- runs that were ---------------------------------------------------------------------------------------------

    def _noted(self, report: RunReport) -> RunReport:
        """Keep a run for ops_runs, off the way of the events; one that failed is written down at once, and told."""
        self._tell(report)
        if self._releases.due:
            self.settle_releases()
        if not report.idle:
            self._unwritten.append(report)
            failed = report.problems or any(step.status == "failed" for step in report.steps)
            if failed or len(self._unwritten) >= _RUNS_AT_ONCE:
                self.write_down_runs()
        return report

    def _tell(self, report: RunReport) -> None:
        """Give to the hooks what a person should hear of."""

        def fire(kind: Kind, table: str | None, error: str, **details: object) -> None:
            at, lake = self.clock(), self.lake.location
            self._hooks.fire(Event(kind, at, lake, report.run_id, table, error, details))

        for turned in self._circuits.turned():
            circuit, opened = turned.circuit, turned.kind == "opened"
            wait = {"retry_at": circuit.retry_at} if opened else {}
            kind: Kind = "circuit_opened" if opened else "circuit_closed"
            level: Level = "error" if opened else "info"
            self.journal.write(level, CIRCUIT[opened], report.run_id, table=circuit.table, error=circuit.error)
            fire(kind, circuit.table, circuit.error, failures=circuit.failures, since=circuit.since, **wait)
        failed = [step for step in report.steps if step.status == "failed"]
        if report.status == "failed" and not (
            report.trigger == WATCH and all(self._circuits.known(step.table) for step in failed)
        ):
            error = "\n".join(f"{step.table}: {step.error}" for step in failed)
            fire("run_failed", None, error, tables=[step.table for step in failed])

    def settle_releases(self) -> list[str]:
        """Make the releases of this process's runs whole; gives the runs that are releases now.

        For idle moments: it is done by itself when the lake is closed, and after some runs without such a moment. What
        goes wrong here costs a release and nothing else.
        """
        if not self._releases.unsettled:
            return []
        try:
            return self._releases.settle(self.catalog, self.declared, self.context(trigger="log").peek)
        except Exception:  # noqa: BLE001  (see above)
            return []

    def write_down_runs(self) -> None:
        """Append the runs of this process that are not in ops_runs yet."""
        if self._unwritten:
            reports, self._unwritten = self._unwritten, []
            write_down(self.context(trigger="log"), reports)
