"""Which landed objects were taken back out of bronze: its table properties tell, one for each, until one lands again.

Not its snapshots: those expire one by one, and a release's tag, or a file that nobody removed yet, outlives the one that
took the object back. What such a file holds of it must come back by no recovery.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import RemovePropertiesUpdate, SetPropertiesUpdate, TableUpdate

from carlake.engines.protocol import Staged

_PROPERTY = "carlake.withdrawn."
"""What the property of an object begins with, before its id; its value is when it was taken back."""
_SUMMARY = "carlake.withdrawn"
"""Where the snapshot of a withdrawal told it before."""
# Each costs a hundred bytes in every metadata file, and files of objects that were taken back before so many are gone.
_MOST = 1000


def withdrawn_ids(metadata: TableMetadata) -> set[str]:
    """The objects that were taken back out of bronze, and have not landed since."""
    found = {name.removeprefix(_PROPERTY) for name in metadata.properties if name.startswith(_PROPERTY)}
    for snapshot in metadata.snapshots:
        told = snapshot.summary.additional_properties.get(_SUMMARY, "") if snapshot.summary else ""
        found.update(each for each in told.split(",") if each)
    return found


def taking_back(staged: Staged, iceberg: IcebergTable, source_ids: Iterable[str], at: datetime) -> Staged:
    """What is staged, so that bronze tells from then on that these objects were taken back."""
    own = {f"{_PROPERTY}{source_id}": at.isoformat() for source_id in source_ids}
    before = {name: since for name, since in iceberg.properties.items() if name.startswith(_PROPERTY)}
    known = sorted({**before, **own}.items(), key=lambda pair: (pair[1], pair[0]))
    updates: list[TableUpdate] = [SetPropertiesUpdate(updates=own)]
    if gone := [name for name, _ in known[:-_MOST] if name not in own]:
        updates.append(RemovePropertiesUpdate(removals=gone))
    return replace(staged, updates=(*staged.updates, *updates))


def landing_again(staged: Staged, iceberg: IcebergTable, source_ids: Iterable[str]) -> Staged:
    """What is staged, so that bronze does not say any more that these objects were taken back."""
    again = [name for source_id in source_ids if (name := f"{_PROPERTY}{source_id}") in iceberg.properties]
    if not again:
        return staged
    return replace(staged, updates=(*staged.updates, RemovePropertiesUpdate(removals=again)))
