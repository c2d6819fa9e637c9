"""What `recover` will do, as plain data: made here from a look at the lake, executed elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from carlake.engines.snapshots import hold_on
from carlake.landing.archived import archived
from carlake.tables.declare import BRONZE, OPS_FORGOTTEN
from carlake.upkeep.checks.finding import Finding
from carlake.upkeep.checks.landing import held_ids, leftovers, only_outside, outside
from carlake.upkeep.checks.tables import schema_differences
from carlake.upkeep.inspection.examined import ExaminedTable
from carlake.upkeep.inspection.graves import unknown
from carlake.upkeep.inspection.lake import Inspection
from carlake.words import count

Action = Literal[
    "identity",
    "relocate",
    "catalog",
    "point",
    "drop",
    "bronze",
    "rows",
    "remake",
    "expire",
    "sweep",
    "run",
    "archive",
    "outside",
    "verify",
]
"""What a step does.

identity  write what the lake is into carlake.toml
relocate  write a table's metadata anew, with the paths of the place where it lies
catalog   make the catalog anew
point     let the catalog name another metadata file of a table
drop      take a table without readable metadata out of the catalog, so that it is made again
bronze    put bronze together again from the files that can be read
rows      keep what can be read of a table that is made from no other
remake    make a table again, whole, from its source
expire    forget snapshots that have lost files
sweep     remove what dead processes left
run       land what waits, and bring every table up to date
archive   land archived objects that bronze does not hold
outside   take in objects that lie in data files outside of bronze's snapshots alone
verify    check every table against what it is made from
"""

_BLOCKING = (
    *("no-lake", "lake-unreachable", "lake-newer", "settings", "catalog-unreachable"),
    *("disk-full", "permission"),
)
"""Findings that no step of a recovery mends: a person has to, before."""


@dataclass(frozen=True)
class RecoveryStep:
    """One step.

    target  the table, file or folder
    what    what is done
    why     what is wrong
    loses   what is lost by it beyond what the damage took; empty where nothing is
    late    it waits for what the archive gives back: no run brings a table up to date that is held
    """

    action: Action
    target: str
    what: str
    why: str
    loses: str = ""
    late: bool = False


@dataclass(frozen=True)
class RecoveryPlan:
    """The steps that make a lake whole.

    blocked  what a person has to mend before
    steps    in their order; the last are done again for what the first bring to light
    """

    lake: str
    steps: tuple[RecoveryStep, ...]
    blocked: tuple[Finding, ...] = ()

    @property
    def mends(self) -> bool:
        """Whether anything is to be mended; else a run and a check are all there is to do."""
        return any(step.action not in ("run", "verify") for step in self.steps)

    @property
    def losses(self) -> tuple[RecoveryStep, ...]:
        """The steps that lose something."""
        return tuple(step for step in self.steps if step.loses)


def blocking(lake: Inspection) -> tuple[Finding, ...]:
    """What keeps a recovery from beginning."""
    from carlake.upkeep.checks.every import findings

    found = [finding for finding in findings(lake) if finding.check in _BLOCKING]
    # Half a lake is made whole by a step of its own; a table's newer format blocks that table's engine, too.
    return tuple(finding for finding in found if finding.severity == "error")


def plan(lake: Inspection) -> RecoveryPlan:
    """What must be done. Looks at every data file, and changes nothing."""
    blocked = blocking(lake)
    if blocked:
        return RecoveryPlan(lake.location, (), blocked)
    steps: list[RecoveryStep] = []
    if lake.refusal is not None:
        steps += _identity(lake)
    steps += _catalog(lake)
    damaged: set[str] = set()
    for name in _sources_first(lake):
        steps += _table(lake, name, damaged)
    if (buried := unknown(lake)) and not any((step.action, step.target) == ("rows", OPS_FORGOTTEN) for step in steps):
        what = "keep every tombstone that its data files hold"
        why = f"it does not know {count(buried, 'tombstone')} of a forgotten car"
        steps.append(RecoveryStep("rows", OPS_FORGOTTEN, what, why))
    if left := leftovers(lake):
        steps.append(
            RecoveryStep(
                "sweep", lake.location, f"remove {count(len(left), 'leftover')}", "processes died and left them"
            )
        )
    steps.append(
        RecoveryStep(
            "run",
            "landing",
            "land what waits, and bring every table up to date",
            "the bookmarks tell what each table needs",
        )
    )
    steps += _landing(lake, damaged)
    steps.append(
        RecoveryStep(
            "verify", "every table", "check it against what it is made from", "a mend is to be known, not believed"
        )
    )
    return RecoveryPlan(lake.location, tuple(steps))


def _sources_first(lake: Inspection) -> list[str]:
    names = [name for name in lake.declared if lake.declared[name].source is not None]
    return [*names, *(name for name in lake.declared if name not in names)]


def _identity(lake: Inspection) -> list[RecoveryStep]:
    toml = str(lake.root / "carlake.toml")
    if not lake.place.moved:
        why = lake.refusal.what if lake.refusal else ""
        return [RecoveryStep("identity", toml, "write anew what the lake is", why)]
    why = f"the lake was made at {lake.place.recorded} and lies at {lake.root}"
    tables = 0 if lake.settings.warehouse else sum(lake.best(name) is not None for name in lake.tables)
    what = f"write the metadata of {count(tables, 'table')} anew, with the paths of this place"
    steps = [RecoveryStep("relocate", str(lake.root / "warehouse"), what, why)] if tables else []
    own = "as a lake of its own" if is_copy(lake) else "at its new place"
    return [*steps, RecoveryStep("identity", toml, f"record the lake {own}", why)]


def is_copy(lake: Inspection) -> bool:
    """Whether the place where this lake was made still holds the lake of the same id."""
    other = Inspection(lake.place.recorded)
    return lake.place.moved and bool(lake.own.get("id")) and other.own.get("id") == lake.own.get("id")


def _catalog(lake: Inspection) -> list[RecoveryStep]:
    state = lake.catalog
    if state.state in ("lost", "damaged"):
        tables = sum(lake.best(name) is not None for name in lake.tables)
        aside = "; the old file is set aside, not deleted" if state.state == "damaged" else ""
        what = f"make it anew from the metadata of {count(tables, 'table')}{aside}"
        return [RecoveryStep("catalog", str(lake.root / "catalog.db"), what, f"it {state.why}")]
    steps = []
    for name, table in lake.tables.items():
        best = lake.best(name)
        if best is None and table.pointer is not None:
            what = "take it out of the catalog: it is made again"
            steps.append(RecoveryStep("drop", name, what, table.trouble, _history(name)))
        elif best is not None and best.path != table.pointer:
            steps.append(RecoveryStep("point", name, f"let the catalog name {best.path.name}", _why_point(lake, table)))
    return steps


def _history(name: str) -> str:
    return f"the history of {name}: its older snapshots"


def _why_point(lake: Inspection, table: ExaminedTable) -> str:
    if table.pointer is None:
        return "the catalog does not know the table"
    return table.trouble or f"the catalog is from an old backup: it names {table.pointer.name}"


def _table(lake: Inspection, name: str, damaged: set[str]) -> list[RecoveryStep]:
    """The steps for one table's own files. `damaged` gathers the tables whose rows are made again."""
    table, declared, file = lake.tables[name], lake.declared[name], lake.best(name)
    source_again = declared.source in damaged
    snapshot = table.snapshot(file)
    if file is None or snapshot is None:
        # A table that is gone: bronze comes back from what is left of it, the others by the next run.
        # A table without a snapshot may be what a recovery has begun with, before it was broken off.
        gone = any(lake.tables[other].exists if file is None else lake.head(other) for other in lake.made_from(name))
        left = declared.source == "landing" and gone
        if left or (file is None and name == BRONZE and outside(lake)):
            damaged.add(name)
            return [RecoveryStep("bronze", name, _BRONZE, "its metadata is gone")]
        return []
    files = table.snapshot_files(snapshot)
    wrong = [f"{path} {why}" for path, why in files.broken]
    wrong += [f"{path} {why}" for path, why in table.damaged(files.data, deep=True)]
    wrong += [f"{count(len(files.deletes), 'delete file')} of another engine"] if files.deletes else []
    wrong += schema_differences(declared, file)
    steps = []
    held = bool(hold_on(table.iceberg(file)))
    # What a rollback undid stays undone: a held table that is whole needs nothing of bronze, which is not held.
    if wrong or (source_again and not (held and declared.source == BRONZE)):
        why = "; ".join(wrong[:3]) + (f"; and {len(wrong) - 3} more" if len(wrong) > 3 else "")
        damaged.add(name)
        if name == BRONZE:
            steps.append(RecoveryStep("bronze", name, _BRONZE, why))
        elif declared.source is None:
            what = "keep the rows that can be read"
            steps.append(RecoveryStep("rows", name, what, why, "the rows in the files that cannot be read"))
        else:
            steps.append(
                RecoveryStep(
                    "remake",
                    name,
                    f"make it again from {declared.source}",
                    why or f"{declared.source} is made again",
                    late=held,
                )
            )
    broken = [str(snapshot.snapshot_id) for snapshot, _ in table.broken_snapshots(file)]
    if wrong:
        broken.append(str(snapshot.snapshot_id))
    if broken:
        what = f"expire {count(len(broken), 'snapshot')}: {', '.join(broken[:5])}"
        steps.append(RecoveryStep("expire", name, what, "they have lost files", "queries as of those moments"))
    return steps


_BRONZE = "put it together again from every data file that can be read"


def _landing(lake: Inspection, damaged: set[str]) -> list[RecoveryStep]:
    steps = []
    held = held_ids(lake)
    missing = [source_id for source_id, _ in archived(lake.archive) if held is None or source_id not in held]
    if BRONZE in damaged or missing:
        objects = count(len(missing), "object") if held is not None and BRONZE not in damaged else "every object"
        what = f"land {objects} of the archive that bronze does not hold"
        steps.append(RecoveryStep("archive", lake.archive, what, "bronze has lost them"))
    if BRONZE not in damaged and next(only_outside(lake), None):
        what = "take in the objects that only such files hold whole"
        steps.append(RecoveryStep("outside", BRONZE, what, "data files lie outside of its newest snapshot"))
    return steps
