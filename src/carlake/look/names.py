"""Names that people give to tables and columns: short ones, misspelt ones, and those of the lake that carlake replaces."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from carlake.contracts.contract import ContractSet
from carlake.errors import NotFoundError
from carlake.tables.table import Table

OLD_TABLES: Mapping[str, str] = {
    "performance_alerts_log": "gold_performance_alerts_log",
    "performance_alerts_log_slim": "gold_performance_alerts_log",
    "fuel_efficiency_monthly": "gold_fuel_efficiency_monthly",
    "car_current_state": "gold_car_current_state",
    "gold_car_current_state_new": "gold_car_current_state",
    "car_telemetry": "silver_car_telemetry",
}
"""What the old lake called its tables, beside the copies that it made under `_new` and `_slim`."""

# More columns than these are looked up better than read in an error.
_MOST_LISTED = 20

_COPIES = re.compile(r"_(new|slim|old|v\d+)$")


def resolve_table(name: str, known: Sequence[str]) -> str:
    """The table that a person means, one of `known`.

    Takes the table's name in any case, what the old lake called it, and any part of the name that only one table has
    (`bronze`, `silver`, `alerts`, `current_state`). Raises NotFoundError naming the tables that it could be; where it is
    none of them, the nearest and all tables.
    """
    # A namespace before the name may be there: it is the lake's only one.
    wanted = name.strip().strip('"').lower().rpartition(".")[2]
    if wanted in known:
        return wanted
    old = old_table(wanted)
    if old is not None and old in known:
        return old
    matches = _tables_with(wanted, known)
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise NotFoundError(f"There is no table {name!r}.", f"It could be {_either(matches)}.")
    advice = " ".join(filter(None, [_nearest_table(wanted, known), f"Tables: {', '.join(known)}."]))
    raise NotFoundError(f"There is no table {name!r}.", advice)


def unknown_table(name: str, known: Sequence[str], where: str = "") -> NotFoundError:
    """The error for a table that a query names and that does not exist; `where` shows the place in the query.

    A query is never rewritten, so here an old or a short name is an error that names the right one.
    """
    wanted = name.rpartition(".")[2].lower()
    matches = _tables_with(wanted, known)
    old = old_table(wanted)
    if old is not None and old in known:
        hint = f"The old lake called it so; here it is {old}."
    elif matches:
        hint = f"Did you mean {_either(matches)}?"
    else:
        hint = _nearest_table(wanted, known)
    advice = " ".join(filter(None, [hint, f"Tables: {', '.join(known)}."]))
    return NotFoundError("\n".join(filter(None, [f"There is no table {name!r}.", where])), advice)


def unknown_column(
    name: str,
    tables: Sequence[Table],
    declared: Mapping[str, Table],
    contracts: ContractSet,
    where: str = "",
    others: Iterable[str] = (),
) -> NotFoundError:
    """The error for a column that no table of the query has.

    tables     the tables that the query reads
    declared   all tables, to tell which one has the column
    contracts  they know what a value is called in landed records, which is what the old lake called the column
    others     further names that are visible at that place of the query, such as aliases
    """
    names = list(dict.fromkeys(column for table in tables for column in table.column_names))
    named = f" in {_either([table.name for table in tables])}" if tables else ""
    old = [column for column in old_columns(contracts).get(name.lower(), ()) if column in names]
    elsewhere = [table.name for table in declared.values() if name.lower() in table.column_names]
    if old:
        hint = f"The old lake called it so; here it is {_either(old)}."
    elif elsewhere:
        hint = f"{_either(elsewhere)} has it."
    elif near := did_you_mean(name.lower(), [*names, *others]):
        hint = near
    elif len(names) > _MOST_LISTED:
        hint = " ".join(f"`carlake tables {table.name}` lists the columns of {table.name}." for table in tables)
    else:
        hint = f"Columns: {', '.join(names)}." if names else ""
    return NotFoundError("\n".join(filter(None, [f"There is no column {name!r}{named}.", where])), hint)


def old_table(name: str) -> str | None:
    """The table that the old lake called `name`, None where it had none of that name."""
    bare = _COPIES.sub("", name)
    if name in OLD_TABLES or bare in OLD_TABLES:
        return OLD_TABLES.get(name) or OLD_TABLES[bare]
    return bare if bare != name and re.match("(bronze|silver|gold)_", bare) else None


def old_columns(contracts: ContractSet) -> dict[str, tuple[str, ...]]:
    """Lower-case name of a value in landed records -> the silver columns that hold it now.

    A value is known by its key and by its whole path, with dots or with underscores.
    """
    found: dict[str, dict[str, None]] = {}
    for contract in contracts.contracts:
        for field in contract.fields:
            for path in field.paths:
                for name in (path[-1], ".".join(path), "_".join(path)):
                    if name.lower() != field.column.name:
                        found.setdefault(name.lower(), {})[field.column.name] = None
    return {name: tuple(columns) for name, columns in found.items()}


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """`Did you mean ...?` for the nearest option, empty if none is near."""
    close = difflib.get_close_matches(name, list(options), n=1, cutoff=0.55)
    return f"Did you mean {close[0]}?" if close else ""


def _nearest_table(name: str, known: Sequence[str]) -> str:
    """`Did you mean ...?` for the table nearest to a name, or to a misspelt part of one; empty if none is near."""
    if near := did_you_mean(name, known):
        return near
    words = [table.split("_") for table in known]
    parts = {"_".join(w[i:j]): None for w in words for i in range(len(w)) for j in range(i + 1, len(w) + 1)}
    close = difflib.get_close_matches(name, list(parts), n=1, cutoff=0.75)
    return f"Did you mean {_either(_tables_with(close[0], known))}?" if close else ""


def _tables_with(part: str, known: Sequence[str]) -> list[str]:
    """The tables whose name has `part` as one or more whole words."""
    return [table for table in known if part and f"_{part}_" in f"_{table}_"]


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
