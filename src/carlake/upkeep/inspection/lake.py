"""A lake as it is found, whole or not: what the checks and `recover` look at. Nothing here needs the lake to open."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pyiceberg.table.snapshots import Snapshot

from carlake import lake as lakes
from carlake.catalogs.by_name import CATALOG_NAME, file_io_properties, open_catalog, warehouse_location
from carlake.contracts.load import load as load_contracts
from carlake.errors import CarlakeError, ContractError, LakeError
from carlake.lake_in_store import place_all
from carlake.landing.listing import is_store
from carlake.landing.prefixes import archive_of, landing_of, look_into
from carlake.refresh.plan import Bookmark
from carlake.rules.load import load_rules
from carlake.settings import Settings, SettingsText
from carlake.storage.places import Places, forget_kept, is_remote, path_of
from carlake.storage.store_files import store_options
from carlake.storage.store_paths import AnyPath, StorePath, any_path
from carlake.tables.declare import declare
from carlake.tables.table import Table
from carlake.upkeep.inspection.examined import ExaminedTable, SnapshotFiles
from carlake.upkeep.inspection.lineage import MetadataFile, ahead, choose, number_of, readable
from carlake.upkeep.inspection.place import Place, local

# More rows of a table than this are not read for a quick look.
_QUICK_ROWS = 2_000_000

_NOWHERE = Path(os.devnull, "no-lake")
# The folder of this machine for a lake in a store that cannot be opened.

_WAIT_SECONDS = 2.0
"""How long a look waits for a catalog that is locked; a writer waits much longer."""


@dataclass(frozen=True)
class CatalogState:
    """What the catalog says.

    state     well, lost (no file), damaged (a file that is no catalog), unreachable (no answer)
    why       in words, where it is not well
    pointers  location of each table's current metadata file
    """

    state: str
    why: str = ""
    pointers: Mapping[str, str] = field(default_factory=dict)


class Inspection:
    """What is known of a lake's folder, each part looked at when it is first asked for.

    path      the lake's folder
    settings  the settings, or None to read the lake's own
    deep      read every data file, not only what metadata says
    now       the time
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        settings: Settings | None = None,
        *,
        settings_file: Path | None = None,
        deep: bool = False,
        now: datetime | None = None,
    ) -> None:
        given = os.fspath(path)
        self.uri = path_of(given).rstrip("/") if is_remote(given) else ""
        self._opened: lakes.Lake | None = None
        self._refused: LakeError | None = None
        if self.uri:
            self.root = _NOWHERE
            try:
                self._opened = lakes.open(self.uri, settings, settings_file)
                self.root = self._opened.root
            except LakeError as error:
                self._refused = error
        else:
            self.root = Path(os.path.realpath(Path(given.removeprefix("file://")).expanduser()))
        forget_kept()  # what counts is what lies there now
        self.deep = deep
        self.now = now or datetime.now(UTC)
        self._given = settings
        self._settings_file = settings_file
        self._mistakes: list[CarlakeError] = []
        self._best: dict[str, MetadataFile | None] = {}

    # -- the lake ----------------------------------------------------------------------------------------------------

    @cached_property
    def refusal(self) -> LakeError | None:
        """Why the lake cannot be opened; None where it can."""
        if self.uri:
            return self._refused
        try:
            lakes.open(self.root)
        except LakeError as error:
            return error
        return None

    @property
    def location(self) -> str:
        """Where it lies, as a person names it."""
        return self.uri or str(self.root)

    @property
    def places(self) -> Places:
        """What reads the files of its tables."""
        return Places(store_options(file_io_properties(self.settings)))

    @cached_property
    def own(self) -> dict[str, Any]:
        """What carlake.toml says that the lake is; empty where it does not."""
        if self.uri and self._opened is None:
            return {}
        try:
            text = (self._toml or self.root / "carlake.toml").read_bytes().decode("utf-8-sig")
            own = tomllib.loads(text).get("lake")
        except (OSError, ValueError):
            return {}
        return own if isinstance(own, dict) else {}

    @property
    def is_lake(self) -> bool:
        """Whether anything of a lake is there."""
        if self.uri:
            return self._opened is not None
        return (self.root / "carlake.toml").is_file() or bool(self.folders)

    @property
    def is_newer(self) -> bool:
        """Whether a later carlake made it, so that this one must leave it alone."""
        version = self.own.get("format")
        return isinstance(version, int) and version > lakes.FORMAT

    @cached_property
    def place(self) -> Place:
        """Where it was made, and where it lies. Where carlake.toml does not say, the tables do."""
        if self.uri:
            return Place(self.root, self.root, self.places)
        location = self.own.get("location")
        if not isinstance(location, str) or not location:
            location = self._recorded_by_tables()
        recorded = Path(location)
        try:
            same = recorded.is_dir() and recorded.samefile(self.root)
        except OSError:
            same = False
        return Place(recorded if same else self.root, recorded, self.places)

    def _recorded_by_tables(self) -> str:
        places = [Path(local(location)) for location in self.catalog.pointers.values() if not is_remote(location)]
        for folder in self.folders.values():
            table = ExaminedTable(folder.name, folder, None, Place(self.root, self.root))
            places += [Path(local(file.metadata.location)) / "metadata" / "x" for file in table.files[:1]]
        for path in places:  # <lake>/warehouse/<namespace>/<table>/metadata/<file>
            if len(path.parents) > 4 and path.parents[3].name == "warehouse":
                return str(path.parents[4])
        return str(self.root)

    @property
    def lake(self) -> lakes.Lake:
        """The lake's folders, where it lies now, whether or not it can be opened."""
        found = (
            self._opened if self.uri and self._opened else lakes.Lake(self.place.root, str(self.own.get("id") or ""))
        )
        return found.with_warehouse(self.settings.warehouse)

    @property
    def landing(self) -> str:
        """Where objects arrive."""
        return landing_of(self.lake, self._reached)

    @property
    def archive(self) -> str:
        """Where objects go."""
        return archive_of(self.lake, self._reached)

    @property
    def landing_is_gone(self) -> bool:
        """Whether it is a folder, and is not there."""
        return not is_store(self.landing) and not self.lake.landing.is_dir()

    @cached_property
    def _reached(self) -> Settings:
        """The settings, by which stores are reached from now on."""
        look_into(self.lake, self.settings)
        return self.settings

    # -- settings ----------------------------------------------------------------------------------------------------

    @cached_property
    def _settings(self) -> Settings | CarlakeError:
        try:
            found = self._given or Settings.load(lake=self._toml if self.own else None, file=self._settings_file)
            return place_all(self._opened, found) if self.uri and self._opened else found
        except CarlakeError as error:
            return error

    @property
    def _toml(self) -> Path | SettingsText:
        """The lake's own file."""
        return self._opened.toml if self.uri and self._opened else self.root / "carlake.toml"

    @property
    def settings(self) -> Settings:
        """The settings; the defaults where they cannot be read."""
        return self._settings if isinstance(self._settings, Settings) else Settings()

    @cached_property
    def _declared(self) -> dict[str, Table] | CarlakeError:
        try:
            contracts = load_contracts(
                self.settings.contracts,
                off=self.settings.contracts_off,
                max_record_bytes=int(self.settings.max_record_bytes),
            )
            extra = contracts.extra_columns
            try:
                rules = load_rules(self.settings.rules, extra_columns=extra)
            except ContractError as error:
                self._mistakes.append(error)
                rules = load_rules(extra_columns=extra)
            partition, longest = self.settings.silver_partition, int(self.settings.max_record_bytes)
            return declare(contracts.canonical, rules, extra, partition, longest)
        except CarlakeError as error:
            return error

    @property
    def declared(self) -> dict[str, Table]:
        """The declared tables; none where a contract or rule is broken."""
        return self._declared if isinstance(self._declared, dict) else {}

    @property
    def setting_errors(self) -> list[CarlakeError]:
        """What is wrong with settings, contracts and rules."""
        return [*(each for each in (self._settings, self._declared) if isinstance(each, CarlakeError)), *self._mistakes]

    # -- the catalog -------------------------------------------------------------------------------------------------

    @property
    def own_catalog(self) -> bool:
        """Whether the catalog is the lake's own file."""
        return self.settings.catalog == "sqlite"

    @cached_property
    def catalog(self) -> CatalogState:
        """What the catalog says."""
        return self._sqlite() if self.own_catalog else self._other()

    def _sqlite(self) -> CatalogState:
        # Not `self.lake`: where carlake.toml is lost, the catalog is asked where the lake was made.
        file = self.root / "catalog.db"
        if not file.exists():
            return CatalogState("lost", "is missing")
        sql = "SELECT table_name, metadata_location FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ?"
        try:
            # Not read-only: a process that died in a commit has left a journal, which the next to open rolls back.
            uri = f"{file.absolute().as_uri()}?mode={'rw' if os.access(file, os.W_OK) else 'ro'}"
            with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_WAIT_SECONDS)) as database:
                rows = database.execute(sql, (CATALOG_NAME, self.settings.namespace)).fetchall()
                [(sound,)] = database.execute("PRAGMA quick_check(1)").fetchall()
        except sqlite3.OperationalError as error:
            unreachable = any(word in str(error) for word in ("locked", "unable to open", "readonly", "disk I/O"))
            return CatalogState("unreachable" if unreachable else "damaged", f"cannot be read: {error}")
        except sqlite3.DatabaseError as error:
            return CatalogState("damaged", f"is damaged: {error}")
        if sound != "ok":
            return CatalogState("damaged", f"is damaged: {sound}")
        return CatalogState("well", "", {str(name): str(location) for name, location in rows if location})

    def _other(self) -> CatalogState:
        pointers = {}
        try:
            catalog = open_catalog(self.settings, self.lake)
            for identifier in catalog.list_tables(self.settings.namespace):
                # Metadata that is gone or damaged is the table's trouble, not the catalog's.
                with contextlib.suppress(FileNotFoundError, ValueError):
                    pointers[identifier[-1]] = catalog.load_table(identifier).metadata_location
        except Exception as error:  # noqa: BLE001  (a catalog may fail in any way)
            return CatalogState("unreachable", f"gives no answer: {error}")
        return CatalogState("well", "", pointers)

    # -- tables ------------------------------------------------------------------------------------------------------

    @cached_property
    def folders(self) -> dict[str, AnyPath]:
        """The tables' folders in the warehouse that hold anything."""
        if warehouse := self.settings.warehouse:
            inside_store = f"{warehouse}/{self.settings.namespace}"
            try:
                names = self.places.folders(inside_store)
                return {name: StorePath(f"{inside_store}/{name}", self.places) for name in names}
            except OSError:
                return {}
        inside = self.root / "warehouse" / self.settings.namespace
        try:
            return {path.name: path for path in sorted(inside.iterdir()) if (path / "metadata").is_dir()}
        except OSError:
            return {}

    @cached_property
    def tables(self) -> dict[str, ExaminedTable]:
        """Every table that is declared, in the catalog, or in the warehouse."""
        names = dict.fromkeys([*self.declared, *self.catalog.pointers, *self.folders])
        pointers = {name: self.place.path(location) for name, location in self.catalog.pointers.items()}
        inside = any_path(f"{warehouse_location(self.lake)}/{self.settings.namespace}", self.places)
        return {
            name: ExaminedTable(name, self.folders.get(name, inside / name), pointers.get(name), self.place)
            for name in names
        }

    def named(self, name: str) -> set[int]:
        """The snapshots of a table that bookmarks of the tables made from it name."""
        found: set[int] = set()
        for table in self.declared.values():
            if table.source != name:
                continue
            for file in self.tables[table.name].files:
                marks = [Bookmark.of(snapshot) for snapshot in file.metadata.snapshots]
                found |= {mark.source for mark in marks if mark is not None and mark.source is not None}
        return found

    def later(self, name: str) -> list[MetadataFile]:
        """The metadata files that prove that the catalog's entry is from an old backup."""
        table = self.tables[name]
        if table.current is None:
            return []
        number = table.current.number
        # Most often there is none, so nothing is read.
        newer = readable(path for path in table.paths if number_of(path) > number)
        return ahead(table.current, newer, self.named(name)) if newer else []

    def best(self, name: str) -> MetadataFile | None:
        """The metadata file that the catalog should point to; None where none can be read."""
        if name not in self._best:
            self._best[name] = self._choose(name)
        return self._best[name]

    def head(self, name: str) -> int | None:
        """The snapshot that main of a table is, or should be; None where it has none."""
        best = self.best(name)
        return best.head if best is not None else None

    def newest(self, name: str) -> Snapshot | None:
        """That snapshot; None where there is none, or no table."""
        table = self.tables.get(name)
        return table.snapshot(self.best(name)) if table is not None else None

    def files(self, name: str) -> SnapshotFiles:
        """The files of that snapshot."""
        snapshot = self.newest(name)
        return self.tables[name].snapshot_files(snapshot) if snapshot is not None else SnapshotFiles()

    def may_read(self, name: str) -> bool:
        """Whether all rows of a table may be read: a quick look reads only few."""
        return self.deep or sum(file.record_count for file in self.files(name).data) <= _QUICK_ROWS

    def _choose(self, name: str) -> MetadataFile | None:
        table = self.tables[name]
        later = self.later(name)
        if table.current is not None and not later:
            return table.current
        uuid = str(table.current.metadata.table_uuid) if table.current else ""
        return choose(later or table.files, self.named(name), table.whole, uuid)

    def made_from(self, name: str) -> list[str]:
        """The tables made from `name`, directly or not, sources first."""
        found: list[str] = []
        for table in self.declared.values():
            if table.source == name or table.source in found:
                found.append(table.name)
        return found

    @property
    def today(self) -> date:
        """The UTC day."""
        return self.now.astimezone(UTC).date()
