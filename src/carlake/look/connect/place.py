"""Where the tables are, as another tool has to be told: catalog, store, files and release. No secret is in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pyiceberg.exceptions import NoSuchTableError

from carlake.catalogs.addresses import postgres_address, secrets_in
from carlake.catalogs.by_name import CATALOG_NAME, sqlite_uri, warehouse_location
from carlake.errors import NotFoundError
from carlake.refresh.history import TAG, histories
from carlake.refresh.releases import Release, whole_releases

if TYPE_CHECKING:
    from carlake.lakehouse import Lakehouse

# Properties that say where something is and not who asks. Any other value is a secret until it is known to be none.
_PLAIN = re.compile(
    r"type|warehouse|prefix|scope|audience|resource|oauth2-server-uri|init_catalog_tables|.*region(-name)?|.*endpoint(-url)?"
    r"|.*\.force-virtual-addressing|.*\.path-style-access|rest\.(sigv4-enabled|signing-name|authorization-url)|ssl|glue\.(id|skip-archive)"
    r"|s3\.(scheme|connect-timeout|request-timeout|proxy-uri|anonymous)|gcs\.(service\.host|project-id)|adls\.account-name"
    r"|auth\.type|snapshot-loading-mode"
)
# What every platform's own chain of credentials finds by itself, so that no text names it.
_BY_THE_CHAIN = re.compile(r"(s3|client|glue|adls|gcs)\..*(key|token|secret|password|profile|credential).*")
_OWN = ("py-io-impl", "uri")


@dataclass(frozen=True)
class Variable:
    """A value that no text shows: it is read from this environment variable."""

    name: str


Value = str | Variable


@dataclass(frozen=True)
class Place:
    """What a tool needs to find the tables.

    namespace   of the tables in the catalog
    catalog     sqlite, postgres, rest, glue, or another type that PyIceberg knows
    uri         the catalog's address, without a password
    user        of the catalog's database, and `password` the variable that holds theirs; None where there is none
    database    sqlite: the file; postgres: host, port and name as a JDBC address has them
    properties  further properties of the catalog, as PyIceberg names them
    warehouse   where the tables' files are
    store       the scheme of their locations: file, s3, gs, az ...
    tables      each table that is there, with the location of its newest metadata
    release     the newest run whose release is kept; None before the first
    snapshots   that release's snapshot of each table
    """

    namespace: str
    catalog: str
    uri: Value | None
    user: str | None
    password: Variable | None
    database: str
    properties: Mapping[str, Value]
    warehouse: str
    store: str
    tables: Mapping[str, str]
    release: str | None
    snapshots: Mapping[str, int]

    @property
    def tag(self) -> str | None:
        """The tag of the release."""
        return f"{TAG}{self.release}" if self.release else None

    @property
    def endpoint(self) -> str | None:
        """Address of the object store, where it is not the platform's own."""
        return self._plain("s3.endpoint")

    @property
    def region(self) -> str | None:
        """Region of the object store, where the settings name it."""
        return self._plain("s3.region") or self._plain("client.region")

    @property
    def by_path(self) -> bool:
        """Whether the store wants its buckets in the path: stores of one's own mostly do, the platforms' do not."""
        return self.endpoint is not None and self._plain("s3.force-virtual-addressing") != "true"

    def _plain(self, key: str) -> str | None:
        value = self.properties.get(key)
        return value if isinstance(value, str) else None


def place_of(house: Lakehouse, as_of_run: str | None = None) -> Place:
    """Look where the tables of a lake are. Raises NotFoundError where no kept release is of that run."""
    # So that ops_runs is there for others, too.
    house.write_down_runs()
    settings = house.settings
    release = _release(house, as_of_run)
    tables = {}
    for name in house.declared:
        with suppress(NoSuchTableError):
            tables[name] = house.catalog.load_table(f"{settings.namespace}.{name}").metadata_location
    given = {key: str(value) for key, value in house.catalog.properties.items()}
    own = settings.catalog == "sqlite"
    where = located(settings.catalog, {**given, "uri": sqlite_uri(house.lake)} if own else given)
    return replace(
        where,
        namespace=settings.namespace,
        database=str(house.lake.catalog_db) if own else where.database,
        warehouse=given.get("warehouse") or warehouse_location(house.lake),
        store=scheme_of(next(iter(tables.values()), None) or warehouse_location(house.lake)),
        tables=tables,
        release=release.run if release else None,
        snapshots={name: kept.id for name, kept in release.vector.items() if kept.id} if release else {},
    )


def located(catalog: str, given: Mapping[str, str]) -> Place:
    """The place of a catalog without its tables: of a type as the settings name it, with PyIceberg's properties.

    No secret of the properties is in it.
    """
    uri = given.get("uri", "")
    kind = kind_of(catalog, uri)
    postgres = postgres_address(uri) if kind == "postgres" else None
    return Place(
        namespace=CATALOG_NAME,
        catalog=kind,
        uri=postgres.shown if postgres is not None else _address(uri),
        user=postgres.user or None if postgres is not None else None,
        password=Variable("PGPASSWORD") if postgres is not None and postgres.password else None,
        database=postgres.jdbc if postgres is not None else urlsplit(uri).path[1:] if kind == "sqlite" else "",
        properties=_properties(given),
        warehouse=given.get("warehouse", ""),
        store=scheme_of(given.get("warehouse", "")),
        tables={},
        release=None,
        snapshots={},
    )


def scheme_of(location: str) -> str:
    """The scheme of a location; `file` for a path."""
    return location.split(":", 1)[0] if "://" in location else "file"


def _release(house: Lakehouse, run: str | None) -> Release | None:
    """The newest release that is kept, or that of a run; None before the first."""
    house.settle_releases()
    releases = whole_releases(histories(house.declared, house.context(trigger="look").peek), house.declared)
    if run in (None, "last"):
        return releases[0] if releases else None
    found = [release for release in releases if run and release.run.startswith(run)]
    if len(found) != 1:
        newest = ", ".join(release.run for release in releases[:3]) or "none"
        raise NotFoundError(
            f"{'Several releases are' if found else 'No release that is kept is'} of a run {run!r}.",
            f"The newest releases: {newest}.",
        )
    return found[0]


def kind_of(catalog: str, uri: str) -> str:
    """A catalog by what it is: PyIceberg's `sql` is whichever database the address names."""
    scheme = uri.split(":", 1)[0].split("+", 1)[0]
    named = {"postgresql": "postgres", "sqlite": "sqlite"}.get(scheme)
    return named if catalog in ("sql", "postgres") and named else catalog


def _address(uri: str) -> Value | None:
    """An address as it is; a secret in it cannot be given apart from it."""
    if secrets_in(uri):
        return Variable("CARLAKE_CATALOG_URI")
    return uri or None


def _properties(given: Mapping[str, str]) -> dict[str, Value]:
    """The catalog's properties that others need: none of carlake's own, and secrets as variables."""
    found: dict[str, Value] = {}
    for key, value in given.items():
        if key in _OWN or key.startswith("carlake."):
            continue
        if _PLAIN.fullmatch(key):
            found[key] = str(value)
        elif not _BY_THE_CHAIN.fullmatch(key):
            found[key] = Variable(variable_of(key))
    return found


def variable_of(key: str) -> str:
    """The environment variable that a text reads a secret property from: `credential` -> `ICEBERG_CREDENTIAL`."""
    return "ICEBERG_" + re.sub(r"[^A-Z0-9]+", "_", key.upper()).strip("_")


CATALOG = CATALOG_NAME
"""The catalog's name, in every tool."""
