"""Rows of two relations compared by their keys, in a DuckDB session of its own that spills to disk.

A full outer join over the keys, of which each is at most once on either side: a key that is repeated on one of them is
set aside before the join and counted, for no row of the other side could be said to be its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import duckdb
import pyarrow as pa

from carlake.engines.duckdb.files import quoted
from carlake.engines.duckdb.landed_files import LandedFiles, partitions, readers
from carlake.engines.duckdb.query import View
from carlake.engines.duckdb.reconciled import Reconciled, reconciled
from carlake.engines.scratch import own_folder
from carlake.errors import QueryError, ReadError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from carlake.landing.landed import LandedObject

Side = Literal["here", "there"]
ONLY_HERE, ONLY_THERE, DIFFERS, REPEATED = "only here", "only there", "differs", "repeated key"


@dataclass(frozen=True)
class Pair:
    """A column as it is called on each side."""

    here: str
    there: str


@dataclass(frozen=True)
class Compared:
    """A column that was compared: its types, what was done to compare them, and in how many rows the values differ."""

    here: str
    there: str
    here_type: str
    there_type: str
    how: str
    differing: int = 0


@dataclass(frozen=True)
class Repeated:
    """Keys that are on a side more than once, and the rows that have them."""

    keys: int = 0
    rows: int = 0


@dataclass(frozen=True)
class Rows:
    """How the rows of two sides compare.

    equal, differing  rows whose key is once on each side; only_here, only_there: whose key is on one side alone
    repeated_*        keys that are on a side more than once: none of their rows, nor what the other side has of the
                      key, is in the counts before
    one_equal         of the keys that are repeated on one side and once on the other, those of which some row is equal
    differences       what differs, up to a limit each: `kind`, the keys, `column`, `here`, `there` (as text)
    """

    here: int
    there: int
    equal: int
    differing: int
    only_here: int
    only_there: int
    repeated_here: Repeated
    repeated_there: Repeated
    one_equal: int
    keys: tuple[Compared, ...]
    columns: tuple[Compared, ...]
    differences: pa.Table


class ComparingSession:
    """An empty database for one comparison. Use it as a context manager; read both sides, then compare.

    memory_limit_bytes  beyond it DuckDB spills to a folder of its own in `scratch`
    """

    def __init__(self, memory_limit_bytes: int, scratch: Path, threads: int | None = None) -> None:
        self._scratch = own_folder(scratch, "compare")
        self._connection = duckdb.connect(
            str(self._scratch / "sides.db"),
            config={"autoinstall_known_extensions": False, "autoload_known_extensions": False},
        )
        self._run("SET enable_progress_bar = false")
        self._run("SET preserve_insertion_order = false")
        self._run(f"SET memory_limit = '{memory_limit_bytes}B'")
        self._run(f"SET temp_directory = {quoted(str(self._scratch))}")
        if threads:
            self._run(f"SET threads = {int(threads)}")
        self._files = LandedFiles()
        self._connection.register_filesystem(self._files)
        self._columns: dict[Side, dict[str, tuple[str, str]]] = {}
        self._about: dict[Side, str] = {}
        self._memory = memory_limit_bytes

    def __enter__(self) -> ComparingSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    # -- the sides ---------------------------------------------------------------------------------------------------

    def read_view(self, side: Side, view: View) -> None:
        """Take a table of the lake for a side."""
        if view.file_io is not None:
            self._files.know(view.data, view.file_io)
        self._take(side, view.sql, f"table {view.name}")

    def read_batches(self, side: Side, batches: pa.RecordBatchReader, about: str) -> None:
        """Take a stream of batches for a side; it is kept on disk, for it comes only once."""
        with self._failures(about):
            self._connection.register(f"{side}_stream", batches)
            self._run(f"CREATE TABLE {side}_kept AS FROM {side}_stream")
            self._connection.unregister(f"{side}_stream")
        self._take(side, f"FROM {side}_kept", about)

    def read_objects(self, side: Side, objects: Sequence[LandedObject], about: str) -> None:
        """Take files for a side; columns that the partition folders name come with them, unless the files have them.

        Raises ReadError where one of them cannot be read, UnreadableError where a store does not give it.
        """
        self._files.know_objects(objects)
        folders = partitions(objects)
        parts = []
        for without, with_folders in readers(objects):
            with self._failures(about):
                own = {name.lower() for name, _ in self._described(without)}
            parts.append(with_folders if folders and not folders & own else without)
        self._take(side, " UNION ALL BY NAME ".join(f"({part})" for part in parts), about)

    def _take(self, side: Side, sql: str, about: str) -> None:
        with self._failures(about):
            self._run(f"CREATE VIEW {side}_rows AS {sql}")
            found: dict[str, tuple[str, str]] = {}
            for name, kind in self._described(f"FROM {side}_rows"):
                found.update(_leaves(name, _name(name), kind))
        self._columns[side], self._about[side] = found, about

    def _described(self, sql: str) -> list[tuple[str, Any]]:
        relation = self._connection.sql(sql)
        return list(zip(relation.columns, relation.types, strict=True))

    def columns(self, side: Side) -> tuple[str, ...]:
        """The columns of a side; a value inside a struct by its path, with dots."""
        return tuple(self._columns[side])

    # -- comparing ---------------------------------------------------------------------------------------------------

    def compare(
        self,
        keys: Sequence[Pair],
        columns: Sequence[Pair],
        *,
        zone: str = "UTC",
        tolerance: float = 0.0,
        limit: int | None = 10,
    ) -> Rows:
        """Compare the two sides.

        keys, columns  in both sides; columns without the keys
        zone           of times without one
        tolerance      by how much numbers may differ
        limit          of the differences that are named, of each kind; None: all; all are counted
        Raises ReadError, UnreadableError; QueryError where the memory does not do.
        """
        with self._failures(""):
            self._run(f"SET TimeZone = {quoted(zone)}")
        hows = {pair: self._reconciled(pair, zone) for pair in (*keys, *columns)}
        self._keep("here", keys, columns, hows)
        self._keep("there", keys, columns, hows)
        with self._failures(""):
            self._set_aside(len(keys))
            differ = [
                hows[pair].differ(f"h.c{number}", f"t.c{number}", tolerance) for number, pair in enumerate(columns)
            ]
            self._join(len(keys), differ)
            return self._result(keys, columns, hows, differ, limit)

    def _reconciled(self, pair: Pair, zone: str) -> Reconciled:
        return reconciled(self._columns["here"][pair.here][1], self._columns["there"][pair.there][1], zone)

    def _keep(self, side: Side, keys: Sequence[Pair], columns: Sequence[Pair], hows: Mapping[Pair, Reconciled]) -> None:
        """The side's keys as k0, k1 ... and columns as c0, c1 ..., on disk: each is read once."""
        at = self._columns[side]
        terms = [f"{hows[pair].key(side, at[getattr(pair, side)][0])} AS k{number}" for number, pair in enumerate(keys)]
        terms += [f"{at[getattr(pair, side)][0]} AS c{number}" for number, pair in enumerate(columns)]
        with self._failures(self._about[side]):
            self._run(f"CREATE TABLE {side} AS SELECT {', '.join(terms)} FROM {side}_rows")

    def _set_aside(self, keys: int) -> None:
        """The keys that are repeated on a side: `repeated`, with how often each side has them."""
        names = ", ".join(f"k{number}" for number in range(keys))
        for side in ("here", "there"):
            self._run(f"CREATE TABLE twice_{side} AS SELECT {names} FROM {side} GROUP BY ALL HAVING count(*) > 1")
        self._run("CREATE TABLE twice AS FROM twice_here UNION FROM twice_there")
        counted = [
            f"(SELECT {names}, count(*) AS n FROM {side} AS s SEMI JOIN twice AS w ON {_same('s', 'w', keys)} GROUP BY ALL)"
            for side in ("here", "there")
        ]
        self._run(
            f"CREATE TABLE repeated AS SELECT w.*, coalesce(h.n, 0) AS here, coalesce(t.n, 0) AS there FROM twice AS w "
            f"LEFT JOIN {counted[0]} AS h ON {_same('w', 'h', keys)} LEFT JOIN {counted[1]} AS t ON {_same('w', 't', keys)}"
        )

    def _join(self, keys: int, differ: Sequence[str]) -> None:
        """`found`: the rows that are on one side alone, or differ (in d0, d1 ...)."""
        once = [
            f"(SELECT *, true AS there_is FROM {s} AS s ANTI JOIN twice AS w ON {_same('s', 'w', keys)})"
            for s in ("here", "there")
        ]
        names = ", ".join(f"coalesce(h.k{number}, t.k{number}) AS k{number}" for number in range(keys))
        terms = [f"h.c{n} AS h{n}, t.c{n} AS t{n}, {sql} AS d{n}" for n, sql in enumerate(differ)]
        both = "coalesce(h.there_is, false) AND coalesce(t.there_is, false)"
        self._run(
            f"CREATE TABLE found AS SELECT {', '.join([names, 'h.there_is AS is_here', 't.there_is AS is_there', *terms])} "
            f"FROM {once[0]} AS h FULL JOIN {once[1]} AS t ON {_same('h', 't', keys)} "
            f"WHERE NOT ({both}) OR {' OR '.join([*differ, 'false'])}"
        )

    def _result(
        self,
        keys: Sequence[Pair],
        columns: Sequence[Pair],
        hows: Mapping[Pair, Reconciled],
        differ: Sequence[str],
        limit: int | None,
    ) -> Rows:
        here, there = self._number("FROM here"), self._number("FROM there")
        only_here = self._number("FROM found WHERE is_there IS NULL")
        only_there = self._number("FROM found WHERE is_here IS NULL")
        differing = self._number("FROM found WHERE is_here AND is_there")
        repeated = {
            side: Repeated(*self._row(f"SELECT count(*), coalesce(sum({side}), 0) FROM repeated WHERE {side} > 1"))
            for side in ("here", "there")
        }
        set_aside = self._number("FROM here AS s SEMI JOIN twice AS w ON " + _same("s", "w", len(keys)))
        sums = [f"count(*) FILTER (is_here AND is_there AND d{number})" for number in range(len(columns))]
        counts = self._row(f"SELECT {', '.join(sums)} FROM found") if sums else ()

        def compared(pair: Pair, count: int) -> Compared:
            types = self._columns["here"][pair.here][1], self._columns["there"][pair.there][1]
            return Compared(pair.here, pair.there, *types, hows[pair].how, count)

        return Rows(
            here,
            there,
            here - set_aside - only_here - differing,
            differing,
            only_here,
            only_there,
            repeated["here"],
            repeated["there"],
            self._one_equal(len(keys), differ),
            tuple(compared(pair, 0) for pair in keys),
            tuple(compared(pair, int(count)) for pair, count in zip(columns, counts, strict=True)),
            self._differences(keys, columns, limit),
        )

    def _one_equal(self, keys: int, differ: Sequence[str]) -> int:
        """Of the keys that are once on one side and repeated on the other: those whose row is among the repeated."""
        names = ", ".join(f"h.k{number}" for number in range(keys))
        return self._number(
            f"FROM (SELECT DISTINCT {names} FROM repeated AS r JOIN here AS h ON {_same('r', 'h', keys)} "
            f"JOIN there AS t ON {_same('r', 't', keys)} "
            f"WHERE least(r.here, r.there) = 1 AND NOT ({' OR '.join([*differ, 'false'])}))"
        )

    def _differences(self, keys: Sequence[Pair], columns: Sequence[Pair], limit: int | None) -> pa.Table:
        most = "" if limit is None else f" LIMIT {int(limit)}"
        self._run("SET TimeZone = 'UTC'")  # as people read times, whatever those without a zone were taken for
        names = [f"k{number}" for number in range(len(keys))]
        by, out = ", ".join(names), ", ".join(f"{n} AS {_name(pair.here)}" for n, pair in zip(names, keys, strict=True))
        nothing = "CAST(NULL AS VARCHAR)"
        rows = []
        for order, (kind, where) in enumerate(((ONLY_HERE, "is_there IS NULL"), (ONLY_THERE, "is_here IS NULL"))):
            rows.append(
                f"SELECT {order} AS o, row_number() OVER () AS r, 0 AS c, {quoted(kind)} AS kind, {by}, {nothing} AS col, "
                f"{nothing} AS a, {nothing} AS b FROM (FROM found WHERE {where} ORDER BY {by}{most})"
            )
        # One list of a row's columns, unnested: a SELECT for each column would take DuckDB longer to plan than to run.
        each = ", ".join(
            f"{{d: d{number}, c: {number}, col: {quoted(pair.here)}, a: CAST(h{number} AS VARCHAR), "
            f"b: CAST(t{number} AS VARCHAR)}}"
            for number, pair in enumerate(columns)
        )
        if each:
            first = f"FROM found WHERE is_here AND is_there ORDER BY {by}{most}"
            rows.append(
                f"SELECT 2, r, e.c, {quoted(DIFFERS)}, {by}, e.col, e.a, e.b FROM (SELECT {by}, unnest([{each}]) AS e, "
                f"row_number() OVER (ORDER BY {by}) AS r FROM ({first})) WHERE e.d"
            )
        rows.append(
            f"SELECT 3, row_number() OVER (), 0, {quoted(REPEATED)}, {by}, {nothing}, CAST(here AS VARCHAR), "
            f"CAST(there AS VARCHAR) FROM (FROM repeated ORDER BY here + there DESC, {by}{most})"
        )
        sql = (
            f'SELECT kind, {out}, col AS "column", a AS here, b AS there FROM ({" UNION ALL ".join(rows)}) '
            f"ORDER BY o, r, c"
        )
        found: pa.Table = self._connection.sql(sql).to_arrow_table()
        return found

    # -- DuckDB ------------------------------------------------------------------------------------------------------

    def _run(self, sql: str) -> list[Any]:
        rows: list[Any] = self._connection.execute(sql).fetchall()
        return rows

    def _row(self, sql: str) -> tuple[Any, ...]:
        return tuple(int(value) for value in self._run(sql)[0])

    def _number(self, sql: str) -> int:
        return int(self._run(f"SELECT count(*) {sql}")[0][0])

    @contextmanager
    def _failures(self, about: str) -> Iterator[None]:
        try:
            yield
        except duckdb.OutOfMemoryException as error:
            raise QueryError(
                f"The comparison needs more memory than the {self._memory >> 20} MiB it may take.",
                "Compare fewer columns (--columns), or raise the setting memory_limit.",
            ) from error
        except duckdb.Error as error:
            text = str(error).strip()
            what = text.partition("\n")[0] if about else text
            raise ReadError(f"{about} cannot be read: {what}" if about else f"The comparison failed: {what}") from error


def _same(one: str, other: str, keys: int) -> str:
    return " AND ".join(f"{one}.k{number} IS NOT DISTINCT FROM {other}.k{number}" for number in range(keys))


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _leaves(name: str, sql: str, kind: Any) -> dict[str, tuple[str, str]]:
    """The columns inside a column, by path, each as (SQL, type): a struct is what it holds."""
    if kind.id != "struct" or not kind.children:
        return {name: (sql, str(kind))}
    found = {}
    for field, inner in kind.children:
        found.update(_leaves(f"{name}.{field}", f"struct_extract({sql}, {quoted(field)})", inner))
    return found
