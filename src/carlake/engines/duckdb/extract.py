"""One contract as DuckDB SQL: the values of clean records, and whether a record is clean.

The SQL only has to be right for clean records, and to doubt all others: the reference judge decides those. A record is
clean when the contract surely recognises it, no earlier one does, and every value is plainly of its column's type.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from carlake.contracts.contract import CSV_MARK, Contract, Field, Path
from carlake.contracts.times import fixed_offset
from carlake.engines.schemas import DUCKDB
from carlake.tables.table import Column

# What DuckDB and the judge read alike. Hours to 23, since DuckDB takes 24:00; offsets to 15 hours, as DuckDB does.
_TIME = (
    "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?"
    "(Z|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)"
)
_LOCAL_TIME = "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?"
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CSV_NUMBER = " *-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)? *"
# Years that both sides read alike; DuckDB takes a leading blank for a digit of the year.
_FIRST, _LAST = "1000-01-02", "9999-12-30"
# The last doubles before those that an integer past 64 bits, or past a double's exactness, rounds to.
_IN_64_BITS = 9223372036854774784.0
_EXACT_INTEGER = 9007199254740991.0
_INT_MAX = 2147483647.0
# %f and %y and %z are read by the judge alone.
_SQL_DIRECTIVES = frozenset("aAbBdmYHIMSp")

_Tree = dict[str, "_Tree | str"]


@dataclass
class Extraction:
    """The SQL of one contract, over a relation that has `raw`, for JSON records or for CSV rows.

    values  column -> SQL of its value
    clean   SQL conditions that hold, all of them, only for clean records

    Both speak of names that `select` makes in layers, each a SELECT over the one before: DuckDB evaluates an expression
    once where it stands, and again wherever it is repeated inside a CASE.
    """

    contract: Contract
    csv: bool
    earlier: tuple[Contract, ...] = ()
    values: dict[str, str] = field(default_factory=dict)
    clean: list[str] = field(default_factory=list)
    _trees: list[_Tree] = field(default_factory=list)
    _place: dict[Path, int] = field(default_factory=dict)
    _layers: tuple[dict[str, str], ...] = field(default_factory=lambda: ({}, {}, {}, {}))

    def __post_init__(self) -> None:
        for one in self.contract.fields:
            text = self.csv or one.column.type in ("string", "timestamptz", "date")
            for path in one.paths:
                self._add(path, "VARCHAR" if text else "JSON")
        for contract in (self.contract, *self.earlier):
            for line in contract.recognised_by:
                for path in line:
                    self._add(path, "JSON")
        self._recognition()
        self._blocks()
        for one in self.contract.fields:
            self.values[one.column.name] = self._value(one)
        self._identity()

    @property
    def transforms(self) -> dict[str, str]:
        """Alias -> SQL of the structs that everything else is read from. Each parses the record once; one is usual."""
        return {f"t{n}": f"json_transform(raw, {_text(json.dumps(tree))})" for n, tree in enumerate(self._trees)}

    def select(
        self, columns: Iterable[Column], records: str, *, safe: bool, carry: Mapping[str, str] | None = None
    ) -> str:
        """SELECT of `columns` for all of `records`; column `contract` is null where the record is not clean.

        `safe` survives records that DuckDB takes for malformed, which costs some speed. `carry` adds columns of the
        records that are not clean, null in the others: name in the result -> name in `records`.
        """
        carried = {f"carried_{number}": source for number, source in enumerate((carry or {}).values())}
        more = "".join(f", {source} AS {name}" for name, source in carried.items())
        lineage = {
            "contract": f"CASE WHEN {' AND '.join(self.clean)} THEN {_text(self.contract.name)} END",
            "contract_version": str(self.contract.version),
            **{name: name for name in ("source_id", "source_row", "record_hash", "ingested_at")},
        }
        outputs = ",\n  ".join(
            f"{self.values.get(c.name) or lineage.get(c.name) or f'CAST(NULL AS {DUCKDB[c.type]})'} AS {_name(c.name)}"
            for c in columns
        )
        transforms = ", ".join(f"{f'TRY({sql})' if safe else sql} AS {alias}" for alias, sql in self.transforms.items())
        layers = f"""SELECT raw, source_id, source_row, record_hash, ingested_at, source_modified_at, {transforms}{more}
      FROM {records} WHERE raw IS NOT NULL AND reason IS NULL"""
        for layer in self._layers:
            if layer:
                layers = f"SELECT *, {', '.join(f'{sql} AS {name}' for sql, name in layer.items())}\nFROM ({layers})"
        if not carry:
            return f"SELECT {outputs}\nFROM ({layers})"
        doubtful = ", ".join(
            f"CASE WHEN contract IS NULL THEN {name} END AS {to}" for name, to in zip(carried, carry, strict=True)
        )
        inner = f"SELECT {outputs}, {', '.join(carried)}\nFROM ({layers})"
        return f"SELECT * EXCLUDE ({', '.join(carried)}), {doubtful}\nFROM ({inner})"

    def _let(self, layer: int, sql: str) -> str:
        """The name of an expression, evaluated once in its layer: 0 leaves, 1 their texts, 2 casts, 3 times."""
        return self._layers[layer].setdefault(sql, f"v{layer}_{len(self._layers[layer])}")

    # -- where values lie --------------------------------------------------------------------------------------------

    def _add(self, path: Path, kind: str) -> None:
        """Put a path into the first tree that has room for it: DuckDB's structs do not tell keys apart by case."""
        if path in self._place:
            return
        for number in range(len(self._trees) + 1):
            if number == len(self._trees):
                self._trees.append({})
            if _fits(self._trees[number], path, kind):
                self._place[path] = number
                return

    def _tree_of(self, path: Path) -> int:
        """Number of the tree that a value, or a block (in the tree of a path below it), is read from."""
        found = self._place.get(path)
        return found if found is not None else next(n for below, n in self._place.items() if below[: len(path)] == path)

    def _member(self, path: Path) -> str:
        """SQL of the struct member at a path."""
        return f"t{self._tree_of(path)}" + "".join(f"[{_text(key)}]" for key in path)

    def _missing(self, path: Path) -> str:
        """Name of a boolean: nothing is seen at the path."""
        return self._let(0, f"{self._member(path)} IS NULL")

    def _leaf(self, path: Path) -> str:
        """Name of the text at a path; of a JSON leaf it keeps the quotes, so that "12.5" is no number."""
        return self._let(0, f"CAST({self._member(path)} AS VARCHAR)")

    def _tree_at(self, block: Path) -> _Tree:
        """The members of a block that are read."""
        node: _Tree | str = self._trees[self._tree_of(block)]
        for key in block:
            assert isinstance(node, dict)
            node = node[key]
        assert isinstance(node, dict)
        return node

    # -- what makes a record clean -----------------------------------------------------------------------------------

    def _recognition(self) -> None:
        def line(paths: tuple[Path, ...]) -> str:
            return " AND ".join(f"NOT {self._missing(path)}" for path in paths)

        self.clean.append(f"{'' if self.csv else 'NOT '}starts_with(raw, {_text(CSV_MARK)})")
        self.clean.append("(" + " OR ".join(f"({line(paths)})" for paths in self.contract.recognised_by) + ")")
        self.clean += [f"NOT ({line(paths)})" for contract in self.earlier for paths in contract.recognised_by]

    def _blocks(self) -> None:
        """A block is an object, null, or missing: the last two show as null, what is no object as one without members.

        So only where none of a block's members is there the record is read again.
        """
        for block in self.contract.blocks:
            members = [
                f"NOT {self._missing((*block, key))}"
                if isinstance(node, dict)
                else f"{self._leaf((*block, key))} IS NOT NULL"
                for key, node in self._tree_at(block).items()
            ]
            empty = self._let(1, f"NOT ({' OR '.join([self._missing(block), *members])})")
            kind = f"json_type(raw, {_text(_pointer(block))})"
            self.clean.append(f"(NOT {empty} OR CASE WHEN {empty} THEN {kind} = 'OBJECT' END)")

    def _value(self, one: Field) -> str:
        match one.column.type:
            case "string":
                return self._string(one)
            case "timestamptz" | "date":
                return self._time(one)
            case _:
                return self._number(one)

    def _first(self, one: Field) -> str:
        """Name of the text of the first path with a value."""
        texts = [self._leaf(path) for path in one.paths]
        if self.csv:
            blank = "{0}" if one.column.type == "string" else "trim({0}, ' ')"
            texts = [f"nullif({blank.format(text)}, '')" for text in texts]
        elif len(texts) == 1:
            return texts[0]
        return self._let(1, f"coalesce({', '.join(texts)})")

    def _string(self, one: Field) -> str:
        text = self._first(one)
        if one.required:
            self.clean.append(f"{text} <> ''")
        # A path that is also read as an ISO time is checked there: no other JSON value looks like one.
        checked = {path for other in self.contract.fields if _is_iso(other) for path in other.paths}
        self.clean += [self._is_text(path) for path in one.paths if path not in checked]
        return text

    def _is_text(self, path: Path) -> str:
        """A VARCHAR leaf also shows what is no JSON string: doubt what looks so, and read those records again."""
        text = self._leaf(path)
        plain = self._let(
            1,
            f"{text} >= 'A' AND {text} < '[' OR {text} >= 'a' AND {text} < '{{' AND {text} <> 'true' AND {text} <> 'false'",
        )
        number = f"regexp_full_match({text}, '-?[0-9][0-9.eE+-]*')"
        kind = f"json_type(raw, {_text(_pointer(path))})"
        doubt = f"CASE WHEN {text} < ':' AND NOT {number} THEN true ELSE {kind} = 'VARCHAR' END"
        return f"({plain} OR {text} IS NULL OR CASE WHEN NOT {plain} THEN {doubt} END)"

    def _number(self, one: Field) -> str:
        text, column = self._first(one), one.column
        number = self._let(2, f"TRY_CAST({text} AS DOUBLE)")
        bound = _IN_64_BITS if column.type == "double" else _INT_MAX if column.type == "int" else _EXACT_INTEGER
        low = max(column.minimum, -bound) if column.minimum is not None else -bound
        high = min(column.maximum, bound) if column.maximum is not None else bound
        whole = "" if column.type == "double" else f" AND {number} = trunc({number})"
        plain = f" AND regexp_full_match({text}, {_text(_CSV_NUMBER)})" if self.csv else ""
        holds = f"({number} >= {_double(low)} AND {number} <= {_double(high)}{whole}{plain})"
        self.clean.append(holds if one.required else f"({text} IS NULL OR {holds})")
        if column.type == "double":
            return f"{number} + 0::DOUBLE"  # no negative zero, as the judge
        return f"TRY_CAST({number} AS {DUCKDB[column.type]})"

    def _time(self, one: Field) -> str:
        text = self._first(one)
        value = self._let(3, self._formatted(text, one) if one.format else self._iso(text, one))
        bounds = f"{value} BETWEEN '{_FIRST}' AND '{_LAST}'"
        self.clean.append(f"({bounds})" if one.required else f"({text} IS NULL OR ({bounds}))")
        return value

    def _iso(self, text: str, one: Field) -> str:
        """A timestamptz (or its day) of ISO 8601 text, null where it is not plainly one."""
        general = f"WHEN regexp_full_match({text}, '{_TIME}') THEN TRY_CAST({text} AS TIMESTAMPTZ)"
        if one.zone is not None:
            local = _zoned(f"TRY_CAST({text} AS TIMESTAMP)", one.zone)
            general += f" WHEN regexp_full_match({text}, '{_LOCAL_TIME}') THEN {local}"
        if one.column.type == "date":
            day = f"WHEN regexp_full_match({text}, '{_DAY}') THEN TRY_CAST({text} AS DATE)"
            return f"CASE {day} ELSE CAST(CASE {general} END AS DATE) END"
        # The plain form is by far the most frequent. strptime passes over blanks at both ends; without them, 20 characters
        # leave no digit to be missing.
        plain = self._let(2, f"try_strptime({text}, '%Y-%m-%dT%H:%M:%SZ')")
        whole = f"strlen({text}) = 20 AND {text} > '0' AND ends_with({text}, 'Z')"
        return f"CASE WHEN {plain} IS NOT NULL AND {whole} THEN {_utc(plain)} {general} END"

    def _formatted(self, text: str, one: Field) -> str:
        """A timestamptz (or its day) of text in the contract's format, null where it is not plainly one."""
        assert one.format is not None
        self.clean += [self._is_text(path) for path in one.paths]
        if not set(one.format.directives) <= _SQL_DIRECTIVES:
            return f"CAST(NULL AS {DUCKDB[one.column.type]})"
        read = f"try_strptime({text}, {_text(one.format.text)})"
        local = self._let(2, f"CASE WHEN regexp_full_match({text}, {_text(one.format.pattern)}) THEN {read} END")
        if one.column.type == "date" and one.zone is None:
            return f"CAST({local} AS DATE)"
        time = _zoned(local, one.zone or "UTC")
        return time if one.column.type == "timestamptz" else f"CAST({time} AS DATE)"

    def _identity(self) -> None:
        """event_id and event_version where the record has none of its own."""
        made = f"{self.values['car_chassis']} || '_' || {self.values['event_primary_timestamp']}"
        own = self.values.get("event_id")
        self.values["event_id"] = f"coalesce(nullif({own}, ''), {made})" if own else made
        versions = [self.values[name] for name in ("processing_timestamp",) if name in self.values]
        self.values["event_version"] = f"coalesce({', '.join([*versions, 'source_modified_at', 'ingested_at'])})"


def _fits(tree: _Tree, path: Path, kind: str) -> bool:
    """Put a path into a tree if it has room for it; else leave the tree as it is."""
    node = tree
    for depth, key in enumerate(path):
        same = next((other for other in node if other.lower() == key.lower()), None)
        if same is None:
            for inner in path[depth:-1]:
                child: _Tree = {}
                node[inner] = child
                node = child
            node[path[-1]] = kind
            return True
        if same != key:
            return False
        found = node[same]
        if depth == len(path) - 1:
            # A recognition key may be a value or a block of the contract: that it is there is all it tells.
            return kind == "JSON" or found == kind
        if not isinstance(found, dict):
            return False
        node = found
    return False


def _is_iso(one: Field) -> bool:
    return one.column.type in ("timestamptz", "date") and one.format is None


def _utc(local: str) -> str:
    # Casting does the same, and looks the session's time zone up for each value.
    return f"make_timestamptz(epoch_us({local}))"


def _zoned(local: str, zone: str) -> str:
    """A local time as timestamptz; null near a change of the clocks and far from today, where the judge decides."""
    offset = fixed_offset(zone)
    if offset is not None:
        return f"make_timestamptz(epoch_us({local}) - {offset * 1_000_000})"
    name = _text(zone)
    steady = (
        f"timezone({name}, {local} + INTERVAL 1 DAY) - timezone({name}, {local} - INTERVAL 1 DAY) = INTERVAL 48 HOURS"
        f" AND {local} BETWEEN TIMESTAMP '1980-01-01' AND TIMESTAMP '2036-12-31'"
    )
    return f"CASE WHEN {steady} THEN timezone({name}, {local}) END"


def _pointer(path: Path) -> str:
    """A JSON Pointer (RFC 6901)."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)


def _double(value: float) -> str:
    """A DOUBLE literal: without an exponent DuckDB reads a DECIMAL."""
    text = repr(value)
    return text if "e" in text else f"{text}e0"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'
