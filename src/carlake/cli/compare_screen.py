"""How a comparison looks to a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from carlake.cli.screen import BAD, GOOD, QUIET, Column, Screen, count, number

if TYPE_CHECKING:
    from carlake.engines.duckdb.compare import Compared, Repeated
    from carlake.look.compare.comparison import Comparison

# More columns that one side has alone are counted.
_MOST_NAMED = 14


def show_comparison(screen: Screen, found: Comparison, limit: int, file: str = "") -> None:
    """The counts first; then what differs, `limit` of each kind; then how it was compared. `file`: what has all of them."""
    rows = found.rows
    screen.line(("Equal", GOOD) if found.equal else ("Different", BAD), f"  {found.here} and {found.there}")
    screen.line()
    facts = [
        ("rows here", number(rows.here)),
        ("rows there", number(rows.there)),
        ("equal", number(rows.equal)),
        ("different", number(rows.differing)),
        ("only here", number(rows.only_here)),
        ("only there", number(rows.only_there)),
    ]
    for side, repeated in (("here", rows.repeated_here), ("there", rows.repeated_there)):
        if repeated.keys:
            facts.append((f"repeated {side}", _repeated(repeated)))
    screen.facts(facts)
    if rows.repeated_here.keys or rows.repeated_there.keys:
        screen.line()
        screen.prose(
            "Rows whose key is repeated are compared with none and are in no other count: nobody can say which of them is "
            f"the other side's. For {count(rows.one_equal, 'of these keys', 'of these keys')} one of the rows is equal to "
            "the only one of the other side."
        )
    _differing(screen, rows.columns)
    _examples(screen, found, limit, file)
    _notes(screen, found)


def _repeated(repeated: Repeated) -> str:
    return f"{count(repeated.keys, 'key')} in {count(repeated.rows, 'row')}"


def _differing(screen: Screen, columns: tuple[Compared, ...]) -> None:
    differing = [column for column in columns if column.differing]
    if differing:
        screen.line()
        screen.heading("Columns that differ")
        screen.table(
            [
                Column("column", whole=True),
                Column("rows", right=True),
                Column("called there"),
                Column("how compared", wrap=True),
            ],
            [(c.here, c.differing, c.there if c.there != c.here else "", c.how) for c in differing],
        )


def _examples(screen: Screen, found: Comparison, limit: int, file: str) -> None:
    import pyarrow.compute as pc

    table = found.rows.differences
    if not table.num_rows:
        return
    keys = [column.here for column in found.rows.keys]
    totals = {
        "only here": found.rows.only_here,
        "only there": found.rows.only_there,
        "differs": found.rows.differing,
        "repeated key": 0,
    }
    rows: dict[str, list[dict[str, Any]]] = {kind: [] for kind in totals}
    names = table.column_names[1 : 1 + len(keys)]
    for kind, own in rows.items():
        all_of_it = table.filter(pc.equal(table["kind"], kind))
        # A file may have millions: no more of them than can be shown are made into objects.
        few = all_of_it.slice(0, limit * max(len(found.rows.columns), 1))
        totals[kind] = totals[kind] or all_of_it.num_rows
        for values in zip(*(few.column(place).to_pylist() for place in range(1, few.num_columns)), strict=True):
            own.append({"key": [_text(value) for value in values[: len(names)]], "rest": values[len(names) :]})
        first = dict.fromkeys(tuple(row["key"]) for row in own)
        kept = set(list(first)[:limit])
        own[:] = [row for row in own if tuple(row["key"]) in kept]
    for kind, own in rows.items():
        if not own:
            continue
        shown = len({tuple(row["key"]) for row in own})
        total = totals[kind]
        more = (
            f"{shown} of {number(total)}; {f'{file} names all' if file else '--limit shows more'}"
            if shown < total
            else ""
        )
        screen.line()
        titles = [Column(name, whole=True) for name in keys]
        if kind == "differs":
            screen.heading("Rows that differ", more)
            titles += [Column(name, whole=True) for name in ("column", "here", "there")]
            screen.table(titles, [(*row["key"], *row["rest"]) for row in own])
        elif kind == "repeated key":
            screen.heading("Repeated keys", "; ".join(filter(None, ("with how many rows each side has of them", more))))
            titles += [Column("here", right=True), Column("there", right=True)]
            screen.table(titles, [(*row["key"], *row["rest"][1:]) for row in own])
        else:
            screen.heading(f"Rows {kind}", more)
            screen.table(titles, [tuple(row["key"]) for row in own])


def _text(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else "" if value is None else str(value)


def _notes(screen: Screen, found: Comparison) -> None:
    notes = list(_lines(found))
    if notes:
        screen.line()
        screen.heading("How it was compared")
        screen.facts(notes)


def _lines(found: Comparison) -> Iterator[tuple[str, tuple[str, str]]]:
    rows = found.rows
    for column in (*rows.keys, *rows.columns):
        called = f"{column.there} there" if column.there != column.here else ""
        if column.how or called:
            types = f"{column.here_type} and {column.there_type}: {column.how}" if column.how else ""
            yield column.here, ("; ".join(filter(None, (called, types))), QUIET)
    yield "key", (", ".join(column.here for column in rows.keys), QUIET)
    if found.ignored:
        yield "left out", (", ".join(found.ignored), QUIET)
    if found.only_here:
        yield "only here", (_few(found.only_here), QUIET)
    if found.only_there:
        yield "only there", (_few(found.only_there), QUIET)


def _few(names: tuple[str, ...]) -> str:
    if len(names) <= _MOST_NAMED:
        return ", ".join(names)
    return f"{', '.join(names[: _MOST_NAMED - 2])} and {len(names) - _MOST_NAMED + 2} more; --json names all"
