"""What the catalogs of a lake share: a name, where tables lie, and metadata files that are named by their content."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import stamina
from pyiceberg.catalog import Catalog, MetastoreCatalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError, ServerError
from pyiceberg.io import FileIO
from pyiceberg.table import StagedTable
from pyiceberg.table.metadata import TableMetadata

from carlake.lake import Lake
from carlake.storage.checksums import checksum
from carlake.storage.durable import places_of, settle
from carlake.storage.places import is_remote

CATALOG_NAME = "carlake"
"""The catalog's name. A SQL catalog records it in every row, so all engines must use this one."""

FILE_IO = "carlake.storage.durable.DurableFileIO"
"""What reads and writes the tables' files, as PyIceberg names it."""

_TRIES = 4
_CUT_FROM_A_URI = "#?\t\r\n"  # PyIceberg takes a location apart as a URL, and would lose these and what follows

# It would tell each try that is followed by another on standard error; the last one's error is told by carlake.
logging.getLogger("stamina").setLevel(logging.ERROR)


def warehouse_location(lake: Lake) -> str:
    """The location of the warehouse, as tables record it: a `file://` URI, not encoded, as Iceberg has them, or the URI
    of a place in an object store.

    A path with a character that would end or vanish from a URI (`#`, `?`, a line break) is recorded bare.
    """
    if lake.warehouse_uri:
        return lake.warehouse_uri
    path = str(lake.warehouse)
    return path if any(character in path for character in _CUT_FROM_A_URI) else f"file://{path}"


def make_namespace(catalog: Catalog, namespace: str) -> None:
    """Make the namespace where it is missing; another process may win.

    A server may tell the slower of two by an error of its own database, so after one it is looked at again.
    """
    for attempt in stamina.retry_context(on=ServerError, attempts=_TRIES, wait_initial=0.1, wait_max=2.0):
        with attempt:
            if not catalog.namespace_exists(namespace):
                with contextlib.suppress(NamespaceAlreadyExistsError):
                    catalog.create_namespace(namespace)


class WritesMetadata(MetastoreCatalog):  # type: ignore[misc]  # PyIceberg is untyped here
    """A catalog that keeps one pointer for each table, so that whoever commits writes the metadata file: SQL, Glue."""

    def _update_and_stage_table(self, *args: Any) -> StagedTable:
        """Called by PyIceberg in a commit: the metadata file's name has the checksum of what will be written."""
        staged = super()._update_and_stage_table(*args)
        folder, _, name = staged.metadata_location.rpartition("/")
        content = staged.metadata.model_dump_json(exclude_none=True).encode()
        staged.metadata_location = f"{folder}/{name.partition('-')[0]}-{checksum(content)}.metadata.json"
        return staged

    @staticmethod
    def _write_metadata(metadata: TableMetadata, io: FileIO, metadata_path: str) -> None:
        """Called by PyIceberg in a commit. The same commit, sent again, finds the file of the try before."""
        places = places_of(io)
        try:
            MetastoreCatalog._write_metadata(metadata, io, metadata_path)
        except FileExistsError:
            if not places.is_whole(metadata_path):
                # Cut short, so no catalog names it: a try that was broken off names no file.
                places.remove([metadata_path])
                MetastoreCatalog._write_metadata(metadata, io, metadata_path)
            settle()
        except OSError:
            if not is_remote(metadata_path):
                places.remove([metadata_path])  # where the disk is full, half a file is in the way
            raise
