"""The only place that writes to a catalog: one compare-and-swap per refresh, with three outcomes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from pyiceberg.catalog import Catalog, MetastoreCatalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.update import AssertRefSnapshotId, AssertTableUUID, TableRequirement

from carlake.catalogs.failures import meaning, outcome
from carlake.engines.manifests import ancestry
from carlake.engines.protocol import Staged
from carlake.errors import CarlakeError, CommitRefusedError, CommitUnknownError, LakeError
from carlake.refresh.causes import cause, is_full
from carlake.storage.durable import places_of, settle
from carlake.storage.places import path_of

_TRIES = 6


def commit(
    catalog: Catalog,
    iceberg: IcebergTable,
    staged: Staged,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Publish what is staged, if main is still its base and the table is still the one it was staged for.

    Returns when the snapshot has landed. Raises CommitRefusedError when main moved (nothing was published: plan again
    from the top), LakeError where the catalog does not take commits from this user, CommitUnknownError when the catalog
    gave no clear answer within the tries; then the staged files must be kept, since the commit may have landed; OSError
    where the disk is full and nothing was published.

    A catalog's answer can be lost on the way. The snapshot id was chosen before the first try, so finding it in main's
    ancestry tells that a try landed; sending the same commit again is safe, since it asserts the same base.
    """
    if (missing := _missing(iceberg, staged)) is not None:
        # A writer that stood still for a day finds its files removed as orphans, or those that it brings back expired.
        raise CommitRefusedError(f"Table {staged.table}: the data file {missing} is gone before its commit.")
    identifier = ".".join(iceberg.name())
    requirements: tuple[TableRequirement, ...] = (
        AssertTableUUID(uuid=iceberg.metadata.table_uuid),
        AssertRefSnapshotId(ref="main", snapshot_id=staged.base),
    )
    trouble: Exception | None = None
    for attempt in range(_TRIES):
        if attempt:
            sleep(min(0.1 * 2**attempt, 5.0) * (0.5 + random.random()))  # noqa: S311  (jitter, not a secret)
            landed = _landed(catalog, identifier, staged.snapshot_id)
            if landed:
                return
            if landed is None:
                continue
        try:
            # Such catalogs write the metadata file, which settles all files; others leave that to a server.
            if not isinstance(catalog, MetastoreCatalog):
                settle()
            # Direct, not through a transaction: PyIceberg's own retry would move the base behind our back.
            catalog.commit_table(iceberg, requirements, staged.updates)
            return
        except NoSuchTableError as gone:
            raise LakeError(
                f"Table {staged.table} is not in the catalog any more.", "Run `carlake run` to make it again."
            ) from gone
        except CarlakeError:
            raise
        except Exception as error:
            became = outcome(error)
            if became == "moved":
                # A refusal may be our own success: after an unclear try, or where something on the way to a server
                # sends a request twice.
                sure = trouble is None and isinstance(catalog, SqlCatalog)
                landed = False if sure else _landed(catalog, identifier, staged.snapshot_id)
                if landed:
                    return
                raise CommitRefusedError(
                    f"Table {staged.table} moved on from snapshot {staged.base}: {error}",
                    surely_not_landed=trouble is None and landed is False,
                ) from error
            if became == "denied" and trouble is None:
                what, advice = meaning(error) or (str(error), "")
                raise LakeError(f"Table {staged.table} was not committed: {what}.", advice) from error
            if isinstance(catalog, MetastoreCatalog):
                # Such catalogs write the metadata file before they swap: what a mistake in what was staged, or a full
                # disk, breaks off is not published.
                full = trouble is None and isinstance(error, OSError) and is_full(error)
                if full or isinstance(error, ValueError):
                    raise
            trouble = error
    if _landed(catalog, identifier, staged.snapshot_id):
        return
    assert trouble is not None
    raise CommitUnknownError(
        f"The catalog did not say whether snapshot {staged.snapshot_id} of table {staged.table} landed: {cause(trouble).splitlines()[0]}",
        "Its files were kept. Run the same command again: it finds out and does only what is missing.",
    ) from trouble


def _missing(iceberg: IcebergTable, staged: Staged) -> str | None:
    """A data file that the commit would add and that is not there; None where all are."""
    places = places_of(iceberg.io)
    return next((path_of(location) for location in staged.data_files if not places.has(location)), None)


def _landed(catalog: Catalog, identifier: str, snapshot_id: int) -> bool | None:
    """Whether the snapshot is in main's ancestry; None where the catalog does not answer."""
    try:
        table = catalog.load_table(identifier)
    except Exception:  # noqa: BLE001  (no answer is an answer here)
        return None
    head = table.current_snapshot()
    return any(s.snapshot_id == snapshot_id for s in ancestry(table, head.snapshot_id if head else None))
