"""What a person names to be compared: a table of the lake, now or at the end of a run, another of the catalog, or files."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

from carlake.errors import NotFoundError, ReadError
from carlake.landing.globs import is_glob
from carlake.landing.listing import list_paths
from carlake.look.names import resolve_table
from carlake.look.query import views_of

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable

    from carlake.engines.duckdb.compare import ComparingSession, Side
    from carlake.lakehouse import Lakehouse
    from carlake.landing.landed import LandedObject
    from carlake.tables.table import Table

_FILE = re.compile(r"\.(parquet|csv|tsv|json|jsonl|ndjson|txt|gz|zst)$", re.IGNORECASE)
# Folders that say that the files beside them are a table of another format, with rows that are no longer in it.
_FORMATS = {"_delta_log": "a Delta table", ".hoodie": "a Hudi table"}
_ICEBERG = re.compile(r"/metadata/[^/]+\.metadata\.json$")


@dataclass(frozen=True)
class Named:
    """One side of a comparison.

    name      as it is shown
    table     the lake's table, where it is one; at `run` (None: now)
    iceberg   another table of the catalog, at `snapshot`
    objects   files
    """

    name: str
    table: Table | None = None
    run: str | None = None
    iceberg: IcebergTable | None = None
    snapshot: int | None = None
    objects: tuple[LandedObject, ...] = ()

    def read(self, session: ComparingSession, side: Side, house: Lakehouse) -> None:
        """Give the side to a session. Raises NotFoundError for a run that is not kept, ReadError."""
        if self.table is not None:
            together = house.release(self.run) if self.run is not None else {}
            arguments = (house.catalog, house.settings.namespace, house.declared, [self.table.name], None, None)
            session.read_view(side, views_of(*arguments, together)[0])
        elif self.iceberg is not None:
            batches = self.iceberg.scan(snapshot_id=self.snapshot).to_arrow_batch_reader()
            session.read_batches(side, batches, f"table {self.name}")
        else:
            session.read_objects(side, self.objects, self.name)


def named(house: Lakehouse, text: str, *, as_of_run: str | None = None, files: bool = True) -> Named:
    """What a person means: `TABLE`, `TABLE@RUN`, `NAMESPACE.TABLE` or, where `files`, a path, folder, glob or uri.

    as_of_run  the run at whose end the lake's tables are read, where the text names none
    Raises NotFoundError where it is none of these; ReadError for files that are another table format's.
    """
    if files and _is_path(text):
        return _files(text)
    name, _, run = text.partition("@")
    if "." in name and name.rpartition(".")[0] != house.settings.namespace:
        return _other(house, name, run)
    try:
        table = house.declared[resolve_table(name, tuple(house.declared))]
    except NotFoundError as error:
        if not files:
            raise
        raise NotFoundError(f"{text} is neither a file nor a table.", error.advice) from None
    run = run or as_of_run or ""
    return Named(f"{table.name}@{run}" if run else table.name, table, run or None)


def _is_path(text: str) -> bool:
    return "/" in text or "\\" in text or is_glob(text) or _FILE.search(text) is not None or os.path.lexists(text)


def _other(house: Lakehouse, name: str, at: str) -> Named:
    try:
        iceberg = house.catalog.load_table(name)
    except (NoSuchTableError, NoSuchNamespaceError) as error:
        raise NotFoundError(
            f"There is no table {name} in the catalog.",
            f"The lake's own tables have the namespace {house.settings.namespace}; files are named by their path.",
        ) from error
    if not at:
        return Named(name, iceberg=iceberg)
    if not at.isdigit() or iceberg.metadata.snapshot_by_id(int(at)) is None:
        raise NotFoundError(
            f"Table {name} has no snapshot {at}.", "carlake's runs are not in it: name a snapshot by its id."
        )
    return Named(f"{name}@{at}", iceberg=iceberg, snapshot=int(at))


def _files(text: str) -> Named:
    listing = list_paths([text])
    for item in listing.unreadable:
        raise ReadError(f"{item.uri} {item.why}.", item.advice)
    found = {name for uri in listing.passed_over for name in uri.rstrip("/").split("/")[-1:] if name in _FORMATS}
    iceberg = any(_ICEBERG.search(landed.uri) for landed in listing.objects)
    if found or iceberg:
        what = _FORMATS[found.pop()] if found else "an Iceberg table"
        raise ReadError(
            f"{text} is {what}: its files hold rows of older versions, too.",
            "Have its own engine write the rows out as Parquet, or register it with the catalog and name the table.",
        )
    objects = tuple(landed for landed in listing.objects if landed.size)
    if not objects:
        raise NotFoundError(f"There is no file with content at {text}.", "Check the path.")
    return Named(text, objects=objects)
