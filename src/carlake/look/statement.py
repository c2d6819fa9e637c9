"""What a query is, judged by its syntax tree before anything runs: one reading statement, over the lake's tables only.

DuckDB's own locks come on top (`QuerySession.lock`), but they are not enough: a file that may be read may be overwritten
too, and `WITH x AS (COPY ... TO 'file')` counts as a SELECT. So the tree is held to what is known to be harmless.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from carlake.engines.duckdb.query import QuerySession
from carlake.errors import QueryError
from carlake.look.names import unknown_table

_READS = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})

# Table functions that make rows of their arguments, or tell of tables and functions. None opens a file.
_TABLE_FUNCTIONS = frozenset(
    """range generate_series unnest repeat repeat_row json_each json_tree summary histogram histogram_values
    duckdb_columns duckdb_tables duckdb_views duckdb_schemas duckdb_functions duckdb_types duckdb_keywords
    pragma_table_info pragma_show show_tables pragma_version""".split()
)
_FILE_FUNCTION = re.compile(r"^(read_|parquet_|sniff_|glob$|.*_scan$|load_|st_read)")
_FILE_NAME = re.compile(
    r"[/\\*?]|://|\.(parquet|csv|tsv|json|jsonl|ndjson|txt|db|duckdb|gz|zst|avro|xlsx)$", re.IGNORECASE
)
_SYSTEM_SCHEMAS = frozenset({"information_schema", "pg_catalog"})
_SYSTEM_VIEW = re.compile(
    r"^(duckdb_(columns|tables|views|schemas|functions|types|keywords)|sqlite_(master|schema)|pg_\w+)$"
)

_EXPLAIN = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*EXPLAIN\b", re.IGNORECASE | re.DOTALL)
_ANALYZE = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*ANALY[SZ]E\b", re.IGNORECASE | re.DOTALL)
_OPTIONS = re.compile(r"\s*\([^()]*\)")

_READING_ONLY = "A query reads: SELECT, FROM, WITH, VALUES, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN."


@dataclass(frozen=True)
class Statement:
    """A query that may run.

    sql        the statement, as it was given
    tables     the lake's tables that it reads, by their bare names; all of them where it lists tables
    namespace  whether it names one of them with the namespace before it
    """

    sql: str
    tables: tuple[str, ...]
    namespace: bool


def read_statement(session: QuerySession, sql: str, namespace: str, known: Sequence[str]) -> Statement:
    """Judge a query; `session` only parses it.

    Raises QueryError where it is not one statement, would write, or reaches for files, the network or settings;
    NotFoundError where it reads a table that the lake does not have; QueryFailedError where it is not SQL.
    """
    statements = session.statements(sql)
    if len(statements) != 1:
        many = f"A query is one statement; this is {len(statements)}." if statements else "The query is empty."
        raise QueryError(many, _READING_ONLY)
    kind, text = statements[0]
    inner = _explained(session, text) if kind == "EXPLAIN" else text
    tree = session.tree(inner)
    if tree is None:
        if kind == "MULTI":
            raise QueryError(
                "This PIVOT would first have to look which columns it makes.",
                "Name them: PIVOT ... ON column IN ('a', 'b') ...",
            )
        what = "this explains a statement that does" if kind == "EXPLAIN" else f"this is {kind}"
        raise QueryError(f"A query may not change anything; {what}.", _READING_ONLY)
    # Places in the tree count from the start of the text that was parsed.
    tables = _tables(tree, _Place(sql, max(sql.find(inner), 0)), namespace, known)
    named = any(namespace in map(str.lower, node["qualified_name"]["path"][:-1]) for node in _base_tables(tree))
    return Statement(text, tables, named)


def _explained(session: QuerySession, text: str) -> str:
    """The statement that an EXPLAIN explains: EXPLAIN ANALYZE runs it, so it is held to the same rules."""
    start = _EXPLAIN.match(text)
    rest = text[start.end() :] if start else ""
    if analyze := _ANALYZE.match(rest):
        rest = rest[analyze.end() :]
    if session.tree(rest) is None and (options := _OPTIONS.match(rest)):
        rest = rest[options.end() :]
    return rest


@dataclass(frozen=True)
class _Place:
    """Shows a place of the query as DuckDB does: the line, and a caret under the word."""

    sql: str
    offset: int

    def of(self, node: Mapping[str, Any]) -> str:
        at = int(node.get("query_location", 2**64 - 1))
        # The tree counts bytes of the parsed text.
        text = self.sql[self.offset :].encode()
        if at >= len(text):
            return ""
        before = self.sql[: self.offset] + text[:at].decode(errors="replace")
        line = before.count("\n") + 1
        column = len(before) - before.rfind("\n") - 1
        head = f"LINE {line}: "
        return f"{head}{self.sql.split(chr(10))[line - 1]}\n{' ' * (len(head) + column)}^"


def _nodes(tree: object) -> Iterator[dict[str, Any]]:
    """Every object in the tree."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            yield node
            stack.extend(reversed(node.values()))
        elif isinstance(node, list):
            stack.extend(reversed(node))


def _base_tables(tree: object) -> Iterator[dict[str, Any]]:
    return (node for node in _nodes(tree) if node.get("type") == "BASE_TABLE")


def _tables(tree: dict[str, Any], place: _Place, namespace: str, known: Sequence[str]) -> tuple[str, ...]:
    """The lake's tables that the tree reads. Raises where it does anything but read them."""
    nodes = list(_nodes(tree))
    own = {str(entry["key"]).lower() for node in nodes for entry in _entries(node)}
    found: dict[str, None] = {}
    for node in nodes:
        kind = str(node.get("type", ""))
        if kind.endswith("_NODE") and kind not in _READS:
            verb = kind.removesuffix("_QUERY_NODE").replace("_", " ")
            raise QueryError(f"A query may not change anything; this one has {verb} in it.", _READING_ONLY)
        if kind == "TABLE_FUNCTION":
            _check_function(str(node["function"]["function_name"]), place.of(node))
        elif kind == "SHOW_REF" and node.get("query") is None:
            found |= dict.fromkeys(known)
        elif kind == "BASE_TABLE":
            found |= dict.fromkeys(_table(node, own, place, namespace, known))
    return tuple(found)


def _entries(node: Mapping[str, Any]) -> list[dict[str, Any]]:
    cte_map = node.get("cte_map")
    return list(cte_map["map"]) if isinstance(cte_map, dict) else []


def _check_function(name: str, where: str) -> None:
    if name.lower() in _TABLE_FUNCTIONS:
        return
    if _FILE_FUNCTION.match(name.lower()):
        raise _no_files(f"{name}()", where)
    raise QueryError(
        "\n".join(filter(None, [f"A query may not use {name}().", where])), "It reads the lake's tables by their names."
    )


def _table(
    node: Mapping[str, Any], own: set[str], place: _Place, namespace: str, known: Sequence[str]
) -> Sequence[str]:
    """The table of the lake that a name in FROM means; none for a name that the query made itself."""
    path = [str(part) for part in node["qualified_name"]["path"]]
    *before, name = (part.lower() for part in path)
    if not before and name in own and name not in known:
        return ()
    if before in ([], [namespace], ["main"]) and name in known:
        return (name,)
    if (before and before[-1] in _SYSTEM_SCHEMAS) or (not before and _SYSTEM_VIEW.match(name)):
        return known
    if _FILE_NAME.search(".".join(path)):
        raise _no_files(repr(".".join(path)), place.of(node))
    raise unknown_table(".".join(path), known, place.of(node))


def _no_files(what: str, where: str) -> QueryError:
    return QueryError(
        "\n".join(filter(None, [f"A query may not read files: {what}.", where])),
        "It reads the lake's tables by their names; `carlake run FILE` lands a file's records in them.",
    )
