"""Recover: from any damaged state to a verified lake. The plan is made first; what is executed is the plan.

Every step can be broken off and done again: the plan is made from what lies there, and a step that is done is not in the
next plan. The steps before the first commit (what the lake is, the catalog) are single swaps of a file or a database.
"""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyiceberg.manifest import DataFile

from carlake import lake as lakes
from carlake.catalogs.by_name import file_io_properties
from carlake.engines.snapshots import total_records
from carlake.errors import CommitRefusedError, LakeError
from carlake.landing.listing import MOVING
from carlake.refresh.plan import head_of
from carlake.tables.declare import BRONZE, OPS_FORGOTTEN, QUARANTINE, SILVER
from carlake.upkeep.checks.landing import leftovers
from carlake.upkeep.inspection.graves import are_lost
from carlake.upkeep.inspection.lake import Inspection
from carlake.upkeep.recovery.bronze import put_together, take_in
from carlake.upkeep.recovery.buried import bury_again
from carlake.upkeep.recovery.catalog import location_of, make_anew, point
from carlake.upkeep.recovery.holds import lost_holds
from carlake.upkeep.recovery.land_again import land_archive, land_left
from carlake.upkeep.recovery.plan import RecoveryPlan, RecoveryStep, is_copy, plan
from carlake.upkeep.recovery.relocate import relocate
from carlake.upkeep.recovery.tables import Lost, Toll, expire, keep_readable, remake
from carlake.upkeep.recovery.untold import Untold
from carlake.words import count, number

if TYPE_CHECKING:
    from carlake.lakehouse import Lakehouse
    from carlake.look.verify import Verification

_ROUNDS = 3
_REFUSALS = 20
_FILE_ACTIONS = ("identity", "relocate", "catalog", "point", "drop")

Look = Callable[[], Inspection]
"""Looks at the lake as it is now."""
Open = Callable[[], "AbstractContextManager[Lakehouse]"]
"""Opens it, once it can be opened."""
Say = Callable[[RecoveryStep], None]


@dataclass(frozen=True)
class Recovery:
    """What a recovery did.

    steps         those that were done
    damaged       files that cannot be read; what they held is made again, or is in `lost`
    lost          what could not be brought back
    aside         files that were set aside
    verification  the check at the end
    told          to be called once somebody has heard of it, where it was asked to be kept until then
    """

    lake: str
    steps: tuple[RecoveryStep, ...]
    damaged: tuple[Lost, ...]
    lost: tuple[Lost, ...]
    aside: tuple[str, ...]
    verification: Verification
    told: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Whether every table is what it is made from. What is in `lost` is gone all the same."""
        return self.verification.ok


def recover(look: Look, open_house: Open, say: Say = lambda step: None, *, until_told: bool = False) -> Recovery:
    """Mend a lake. `say` hears each step as it begins. `until_told`: what was found is kept until `Recovery.told` is called.

    Raises LakeError where something has to be mended by a person before.
    """
    done: list[RecoveryStep] = []
    toll = Toll()
    untold: Untold | None = None
    records: dict[str, int] = {}
    land: list[str] = []
    aside: list[str] = []
    more: tuple[RecoveryStep, ...] = ()
    verification, missing = None, 0
    short: list[Lost] = []
    for _ in range(_ROUNDS):
        lake = look()
        planned = plan(lake)
        refuse_blocked(planned)
        files = [step for step in planned.steps if step.action in _FILE_ACTIONS]
        if files:
            for step in files:
                say(step)
            aside += _place(lake)
            done += files
        with open_house() as house:
            if untold is None:
                untold = Untold(house.lake)
                untold.note("", "holds", Toll(lost=lost_holds(lake, planned, house.holds())))
                land = untold.toll(house.context(trigger="recover").peek).land
            known = {(step.action, step.target) for step in planned.steps}
            steps = [step for step in more if (step.action, step.target) not in known]
            # What these land, or put back into bronze, comes after what silver is made again from.
            whole = not any(step.action in ("bronze", "archive", "outside") for step in (*planned.steps, *steps))
            for step in _in_order([*planned.steps, *steps]):
                if step.action in _FILE_ACTIONS or step.action == "verify":
                    continue
                say(step)
                _do(house, look, step, land, untold, whole=whole)
                done.append(step)
            say(planned.steps[-1])
            verification = house.verify()
            toll = untold.toll(house.context(trigger="recover").peek)
            objects = {*toll.back, *toll.gone, *(one.source_id for one in toll.lost)} - {""}
            with contextlib.suppress(Exception):  # a file of bronze that cannot be read yet: the check has named it
                records = _records_of(house, sorted(objects)) if objects else {}
            missing = toll.missing(records) if toll.held else 0
            short = toll.not_made_again(lambda name: house.table(name).rows, missing)
        more = mends_of(verification)
        if not more:
            break
    assert verification is not None
    assert untold is not None
    lost = [one for one in toll.lost if not records.get(one.source_id)]
    if are_lost(look()):
        why = f"{BRONZE} has records of such cars, and nothing tells which cars: forget them again before more lands"
        lost.append(Lost("the tombstones of all forgotten cars", why))
    if missing:
        held = count(toll.held, "record")
        what = f"{number(missing)} of the {held} {'of' if toll.every else 'in the damaged data files of'} {BRONZE}"
        lost.append(Lost(what, "neither the archive nor another data file has them"))
    lost += short
    location = look().location
    if not until_told:
        untold.told()
    found = tuple(toll.damaged), tuple(lost), tuple(aside)
    return Recovery(location, tuple(done), *found, verification, untold.told)


def refuse_blocked(planned: RecoveryPlan) -> None:
    """Raise LakeError where something is in the way of a recovery."""
    if planned.blocked:
        what = "\n".join(f"{finding.where}: {finding.what}" for finding in planned.blocked)
        raise LakeError(what, "Mend that first; `carlake doctor` says how.")


def mends_of(verification: Verification) -> tuple[RecoveryStep, ...]:
    """The steps for what a check has found wrong in rows; none for what a person decides (another definition)."""
    steps: list[RecoveryStep] = []
    for problem in verification.problems:
        why = f"{problem.kind}: {problem.what}"
        # A bookmark that is still gone after a run is that of a held table: `carlake resume` is a person's to say.
        if problem.kind in ("definition", "bookmark", "archived object missing", "missing table"):
            continue
        if problem.table == BRONZE:
            steps.append(RecoveryStep("bronze", BRONZE, "put together again the objects that are not whole", why))
        for name in (SILVER, QUARANTINE) if problem.kind == "count" else (problem.table,):
            if name != BRONZE:
                steps.append(RecoveryStep("remake", name, "make it again from its source", why))
    if any(step.target == BRONZE for step in steps):
        steps.append(RecoveryStep("archive", "archive", "land what bronze does not hold", "bronze has lost it"))
    return tuple({(step.action, step.target): step for step in reversed(steps)}.values())[::-1]


def _in_order(steps: list[RecoveryStep]) -> list[RecoveryStep]:
    """Bronze first, then what is made from it, then what is landed again, then what waits for that."""
    order = ("bronze", "rows", "remake", "expire", "sweep", "run", "archive", "outside")
    late = {step.target for step in steps if step.late}

    def place(step: RecoveryStep) -> tuple[bool, int]:
        waits = step.target in late and step.action in ("remake", "expire")
        return waits, order.index(step.action) if step.action in order else len(order)

    return sorted(steps, key=place)


# -- what lies outside of the tables -----------------------------------------------------------------------------------


def _place(lake: Inspection) -> list[str]:
    """Let the catalog name the right metadata of each table, and carlake.toml the lake. Gives what was set aside."""
    moved, state, aside = lake.place.moved, lake.catalog, []
    copy = is_copy(lake)
    if copy and not lake.own_catalog:
        raise LakeError(
            f"{lake.root} is a copy, and its catalog is a server's: both lakes would write the same tables.",
            "Give the copy a catalog or a namespace of its own in its settings.",
        )
    if copy and lake.settings.warehouse:
        raise LakeError(
            f"{lake.root} is a copy, and its tables lie in {lake.settings.warehouse}: both lakes would write them.",
            "Land the archive into a lake of its own: carlake run ARCHIVE --lake NEW",
        )
    if moved:
        _part_from_links(lake)
    wanted: dict[str, str] = {}
    for name, table in lake.tables.items():
        best = lake.best(name)
        if best is None:
            continue
        if moved and not lake.settings.warehouse:
            wanted[name] = relocate(table, best, lake.place)
        elif best.path == table.pointer:
            wanted[name] = state.pointers[name]
        else:
            wanted[name] = location_of(best.path, lake.place)
    if state.state in ("lost", "damaged") and lake.own_catalog:
        set_aside = make_anew(lake.lake, lake.settings.namespace, wanted, file_io_properties(lake.settings))
        aside += [str(set_aside)] if set_aside else []
    else:
        moves = {
            name: (state.pointers.get(name), wanted.get(name))
            for name in {**state.pointers, **wanted}
            if state.pointers.get(name) != wanted.get(name)
        }
        if moves:
            point(lake.settings, lake.lake, moves)
    if lake.refusal is not None:
        # Nobody can have been at work here, for the lake could not be opened.
        for folder in lake.lake.scratch.glob("duckdb-*"):
            shutil.rmtree(folder, ignore_errors=True)
        own = str(lake.own.get("id") or "")
        namespace = lake.settings.namespace if not lake.own else ""
        lakes.identify(lake.root, uuid.uuid4().hex if copy or not own else own, namespace)
    return aside


def _part_from_links(lake: Inspection) -> None:
    """Give files that are written in place an inode of their own: a copy may have been made of links."""
    for file in (lake.lake.catalog_db, *lake.lake.scratch.parent.rglob("*")):
        if file.is_file() and not file.is_symlink() and file.stat().st_nlink > 1:
            own = file.with_name(f".{file.name}.own")
            shutil.copy2(file, own)
            own.replace(file)


# -- tables ------------------------------------------------------------------------------------------------------------


def _do(house: Lakehouse, look: Look, step: RecoveryStep, land: list[str], untold: Untold, *, whole: bool) -> None:
    """Execute one step. What it finds damaged or lost is noted before it changes anything.

    land   objects that are to be landed by name; it is added to and emptied
    whole  no step brings back records that bronze has lost
    """
    if step.action == "sweep":
        for path in leftovers(look()):
            _remove(path)
        return
    if step.action == "run":
        land_left(house, land)
        land.clear()
        house.run()
        return
    if step.action == "archive":
        this = uuid.uuid4().hex
        land_archive(house, look(), lambda found: untold.note("", this, found))
        return
    for _ in range(_REFUSALS):
        try:
            land += [uri for uri in _commit(house, look(), step, untold, whole=whole) if uri not in land]
            if step.action == "outside":
                land_left(house, land)
                land.clear()
            return
        except CommitRefusedError:
            house.reopen()
    raise LakeError(f"Table {step.target} was written by others {_REFUSALS} times in a row.", "Stop what writes.")


def _remove(path: Path) -> None:
    if path.name.startswith(MOVING):
        with contextlib.suppress(OSError):  # not empty: an object was put there meanwhile
            path.rmdir()
    elif path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _commit(house: Lakehouse, lake: Inspection, step: RecoveryStep, untold: Untold, *, whole: bool) -> list[str]:
    """Execute a step that makes snapshots; gives objects that are to be landed, by where they lie."""
    context = house.context(trigger="recover")
    name, head, toll = step.target, lake.head(step.target), Toll()

    def note(found: Toll) -> None:
        untold.note(name, context.run_id, found)

    with context.engine.session():
        if step.action == "bronze":
            toll = put_together(context, lake, house.landing, note)
        elif step.action == "outside":
            came, toll = take_in(context, lake, note)
            if came:
                house.run()
        elif step.action == "remake":
            good, toll.damaged = _good_files(lake, name)
            remake(context, context.tables[name], good, head, toll, note, whole=whole)
        elif step.action == "rows":
            good, toll.damaged = _good_files(lake, name)
            if name == OPS_FORGOTTEN:
                bury_again(context, lake, toll, note)
            else:
                toll.lost = _rows_lost(lake, name, good, toll.damaged)
                note(toll)
                keep_readable(context, context.tables[name], good, head)
        elif step.action == "expire":
            _expire(context.find(name), lake, name, lambda going: expire(context, name, going))
    untold.done(context.run_id)
    return toll.land


def _good_files(lake: Inspection, name: str) -> tuple[list[DataFile], list[Lost]]:
    """The data files of a table's newest snapshot that can be read; and what cannot."""
    files = lake.files(name)
    bad = dict(lake.tables[name].damaged(files.data, deep=True))
    damaged = [Lost(f"data file {path}", why) for path, why in bad.items()]
    damaged += [Lost(f"manifest {path}", why) for path, why in files.broken]
    return [file for file in files.data if lake.place.path(file.file_path) not in bad], damaged


def _rows_lost(lake: Inspection, name: str, good: list[DataFile], damaged: list[Lost]) -> list[Lost]:
    """The rows of a table that is made from no other, beside those in its good files."""
    if not damaged:
        return []
    told = total_records(lake.newest(name))
    rows = told - sum(file.record_count for file in good) if told is not None else None
    what = f"rows of {name}" if rows is None else f"{count(rows, 'row')} of {name}"
    return [Lost(what, "nothing else has them")] if rows != 0 else []


def _expire(iceberg: object, lake: Inspection, name: str, forget: Callable[[list[int]], None]) -> None:
    table = lake.tables[name]
    file = lake.best(name)
    if file is not None and iceberg is not None:
        forget([snapshot.snapshot_id for snapshot, _ in table.broken_snapshots(file)])


def _records_of(house: Lakehouse, source_ids: list[str]) -> dict[str, int]:
    """How many records bronze holds of each of these objects."""
    context = house.context(trigger="recover")
    with context.engine.session():
        rows = context.engine.scan(BRONZE, head_of(context.find(BRONZE)))
        wanted = context.engine.table(pa.table({"wanted": pa.array(source_ids, pa.string())}))
        counted = context.engine.rows(
            f"SELECT source_id, count(*) FROM {rows} AS s SEMI JOIN {wanted} ON source_id = wanted "
            "WHERE record_hash IS NOT NULL GROUP BY source_id"
        )
        return {str(source_id): int(str(records)) for source_id, records in counted}
