"""Athena: it reads what is in AWS Glue's catalog and S3, and takes no settings."""

from __future__ import annotations

from collections.abc import Iterator

from carlake.look.connect.place import Place


def athena(place: Place) -> Iterator[str]:
    """SQL for Athena's engine version 3, with the snapshots of a release as numbers."""
    yield f"-- Amazon Athena, engine version 3: catalog AwsDataCatalog, database {place.namespace}."
    yield f'SELECT * FROM "AwsDataCatalog"."{place.namespace}"."gold_car_current_state";'
    if place.snapshots:
        yield f"-- As they were together at the end of run {place.release}: Athena takes the numbers of snapshots, not tags."
    for name, snapshot in place.snapshots.items():
        yield f'SELECT * FROM "AwsDataCatalog"."{place.namespace}"."{name}" FOR VERSION AS OF {snapshot};'
