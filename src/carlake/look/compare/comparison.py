"""Compare: which rows are only here, which only there, and in which columns the others differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from carlake.engines.duckdb.compare import ComparingSession, Rows
from carlake.errors import NotFoundError
from carlake.look.compare.pairing import Pairing, paired
from carlake.look.compare.sides import Named, named
from carlake.look.names import old_columns

if TYPE_CHECKING:
    from carlake.lakehouse import Lakehouse
    from carlake.tables.table import Table


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    here, there            what was compared
    rows                   the counts, the columns compared, and what differs
    only_here, only_there  columns that one side has alone: they are no difference
    ignored                columns of both sides that were left out, as asked or because they tell when a row was computed
    """

    here: str
    there: str
    rows: Rows
    only_here: tuple[str, ...]
    only_there: tuple[str, ...]
    ignored: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether both sides have the same rows, each key once."""
        rows = self.rows
        repeated = rows.repeated_here.keys + rows.repeated_there.keys
        return not (rows.only_here + rows.only_there + rows.differing + repeated)


def compare(
    house: Lakehouse,
    table: str,
    other: str,
    *,
    key: Sequence[str] = (),
    columns: Sequence[str] = (),
    ignore: Sequence[str] = (),
    mapping: Mapping[str, str] | None = None,
    tolerance: float = 0.0,
    zone: str = "UTC",
    as_of_run: str | None = None,
    limit: int | None = 10,
) -> Comparison:
    """Compare a table with another or with files, as `Lakehouse.compare` says."""
    house.write_down_runs()
    _check_zone(zone)
    here = named(house, table, as_of_run=as_of_run, files=False)
    there = named(house, other, as_of_run=as_of_run)
    with ComparingSession(int(house.settings.memory_limit), house.lake.scratch, house.settings.threads) as session:
        here.read(session, "here", house)
        there.read(session, "there", house)
        old = old_columns(house.contracts) if here.table is not None else {}
        pairing = paired(session.columns("here"), session.columns("there"), mapping or {}, old)
        keys = pairing.pick(key or _own_key(here), "--key" if key else "The key")
        chosen, ignored = _chosen(pairing, keys, columns, ignore, here.table)
        rows = session.compare(
            [pairing.pairs[name] for name in keys],
            [pairing.pairs[name] for name in chosen],
            zone=zone,
            tolerance=tolerance,
            limit=limit,
        )
    return Comparison(here.name, there.name, rows, pairing.only_here, pairing.only_there, ignored)


def _own_key(here: Named) -> tuple[str, ...]:
    if here.table is None:
        raise NotFoundError(f"carlake does not know the key of {here.name}.", "Name its columns: --key a,b")
    return here.table.key


def _chosen(
    pairing: Pairing, keys: Sequence[str], columns: Sequence[str], ignore: Sequence[str], table: Table | None
) -> tuple[list[str], tuple[str, ...]]:
    """The columns to compare, and those of both sides that are left out."""
    both = [name for name in pairing.pairs if name not in keys]
    if columns:
        picked = [name for name in pairing.pick(columns, "--columns") if name not in keys]
        return picked, tuple(name for name in both if name not in picked)
    alone = {name.lower() for name in (*pairing.only_here, *pairing.only_there)}
    left_out = set(pairing.pick([name for name in ignore if name.lower() not in alone], "--ignore"))
    if inside := sorted(left_out & set(keys)):
        raise NotFoundError(f"--ignore: {', '.join(inside)} is in the key.", "Name another key with --key.")
    if table is not None:
        left_out |= {column.name for column in table.columns if column.volatile}
    return [name for name in both if name not in left_out], tuple(name for name in both if name in left_out)


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (OSError, ValueError, KeyError) as error:
        raise NotFoundError(f"There is no time zone {zone!r}.", "Name one as Europe/Berlin or UTC.") from error
