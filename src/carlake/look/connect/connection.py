"""How other tools read the tables: what a person pastes, with this lake's own places. Nothing of it needs carlake."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from carlake.errors import NotFoundError, SettingsError
from carlake.look.connect.athena import athena
from carlake.look.connect.duckdb import RELEASE, duckdb
from carlake.look.connect.jvm import spark, trino
from carlake.look.connect.place import CATALOG, Place, place_of
from carlake.look.connect.python import pandas, polars, pyiceberg
from carlake.look.names import did_you_mean

if TYPE_CHECKING:
    from carlake.lakehouse import Lakehouse


@dataclass(frozen=True)
class Connection:
    """What connects a tool to a lake's tables.

    tool      its name
    catalog   the kind of the lake's catalog: sqlite, postgres, rest, glue ...
    store     the scheme of the tables' locations: file, s3 ...
    text      what is pasted; it ends in a line break
    table     how the tool names a table now, `{}` standing for its name; empty where it is a variable of a program
    release   the run whose release the text reads, too; None before the first
    table_at_release  how the tool names a table as it was at the end of that run; empty as with `table`
    """

    tool: str
    catalog: str
    store: str
    text: str
    table: str
    release: str | None
    table_at_release: str


def connect(house: Lakehouse, tool: str, as_of_run: str | None = None) -> Connection:
    """What connects a tool to this lake's tables.

    tool       one of TOOLS
    as_of_run  the run whose release the text reads beside what is there now; the newest if None
    Raises NotFoundError for another tool or a release that is not kept, SettingsError where the tool cannot read the
    lake's catalog or store.
    """
    name = tool.strip().lower()
    if name not in TOOLS:
        hint = did_you_mean(name, TOOLS)
        raise NotFoundError(
            f"carlake does not know how {tool!r} connects.", f"{hint} Tools: {', '.join(TOOLS)}.".strip()
        )
    return connection(name, place_of(house, as_of_run))


def connection(name: str, place: Place) -> Connection:
    """What connects one of TOOLS to tables at a place. Raises SettingsError where it cannot read them there."""
    _check(name, place)
    return Connection(
        tool=name,
        catalog=place.catalog,
        store=place.store,
        text="\n".join(TOOLS[name](place)) + "\n",
        table=_TABLE.get(name, "").format(catalog=CATALOG, namespace=place.namespace, table="{}"),
        release=place.release,
        table_at_release=_AT_RELEASE.get(name, "").format(
            catalog=CATALOG, namespace=place.namespace, table="{}", tag=place.tag, schema=RELEASE
        )
        if place.release
        else "",
    )


def _check(tool: str, place: Place) -> None:
    """Raise SettingsError where a tool cannot read such a catalog or store, with what would do."""
    known = _CATALOGS.get(tool)
    if known is not None and place.catalog not in known:
        raise SettingsError(
            f"{_SPOKEN[tool]} cannot read a lake whose catalog is of type {place.catalog!r}.",
            f"It reads {_either(known)}: see docs/how-to/another-engine-catalog-or-store.md. {_OTHERWISE}",
        )
    if place.catalog == "in-memory":
        raise SettingsError("A catalog in memory is seen by its own process alone.", "Set another catalog.")
    stores = _STORES.get(tool)
    if stores is not None and place.store not in stores:
        raise SettingsError(
            f"{_SPOKEN[tool]} cannot read tables whose files are at {place.warehouse}.",
            f"It reads {_either(stores)}. {_OTHERWISE}",
        )


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


TOOLS: dict[str, Callable[[Place], Iterator[str]]] = {
    "pyiceberg": pyiceberg,
    "pandas": pandas,
    "polars": polars,
    "duckdb": duckdb,
    "spark": spark,
    "trino": trino,
    "athena": athena,
}
"""The tools that `connect` knows."""

_SPOKEN = {"spark": "Spark", "trino": "Trino", "athena": "Athena", "duckdb": "DuckDB"}
_CATALOGS: dict[str, tuple[str, ...]] = {
    "spark": ("sqlite", "postgres", "rest", "glue", "hive", "dynamodb"),
    "trino": ("sqlite", "postgres", "rest", "glue", "hive"),
    "athena": ("glue",),
}
_STORES: dict[str, tuple[str, ...]] = {"athena": ("s3",), "duckdb": ("file", "s3")}
_OTHERWISE = "PyIceberg and Polars read every lake: carlake connect polars"

_TABLE = {
    "duckdb": "{table}",
    "spark": "{catalog}.{namespace}.{table}",
    "trino": "{catalog}.{namespace}.{table}",
    "athena": '"AwsDataCatalog"."{namespace}"."{table}"',
}
_AT_RELEASE = {
    "duckdb": "{schema}.{table}",
    "spark": "{catalog}.{namespace}.{table} VERSION AS OF '{tag}'",
    "trino": "{catalog}.{namespace}.{table} FOR VERSION AS OF '{tag}'",
}
