"""How long the history of a table gets where objects land without a pause and maintenance comes in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyiceberg.table import Table as IcebergTable

from carlake.engines.manifests import ancestry
from carlake.lakehouse import Lakehouse
from carlake.upkeep.maintenance import jobs
from carlake.upkeep.maintenance.expiry import expirable
from carlake.upkeep.maintenance.maintain import maintain_slice
from lakes import BRONZE, SILVER, TODAY, iceberg, nested, put
from upkeep.maintained import made, opened

KEPT = 5
DERIVED = (BRONZE, SILVER)
"""Tables whose snapshots others were made from."""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield from made(tmp_path_factory.mktemp("history"))


def land(house: Lakehouse, number: int) -> None:
    at = f"2025-09-{1 + number % 28:02d}T{number // 28:02d}:00:00Z"
    put(house.lake.landing / f"n{number}.json", nested(f"CAR-{number % 3}", f"n{number}", at, trip_distance_km=7.5))
    assert house.run(today=TODAY).status == "succeeded"


def cut_off(table: IcebergTable) -> set[int]:
    """Snapshots that nothing leads to any more."""
    led_to = {snapshot.snapshot_id for snapshot in ancestry(table, table.metadata.current_snapshot_id)}
    led_to |= {ref.snapshot_id for ref in table.metadata.refs.values()}
    return {snapshot.snapshot_id for snapshot in table.metadata.snapshots} - led_to


def test_what_an_expiry_cuts_off_goes_too(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No table was made from a merge's snapshot, so it goes before older ones that a table was made from; these must not
    stay for good once nothing leads to them. In a lake that never rests that was one in four.
    """
    monkeypatch.setattr(jobs, "_SNAPSHOTS_AT_ONCE", 2)
    most = dict.fromkeys(DERIVED, 0)
    seen = 0
    with opened(own, keep_snapshots=KEPT, compact_files=2) as house:
        house.maintain()
        for number in range(24):
            land(house, number)
            maintain_slice(house, 60)
            for name in DERIVED:
                table = iceberg(house, name)
                seen += bool(cut_off(table))
                most[name] = max(most[name], len(table.metadata.snapshots))
        # Twice as many without it, and more with each commit.
        assert seen and max(most.values()) <= 14, most
        assert house.verify(deep=True).ok


def test_what_another_program_has_under_way_stays(own: Path) -> None:
    with opened(own) as house:
        table = iceberg(house, SILVER)
    metadata = table.metadata
    oldest, foreign, gone, *_ = sorted(metadata.snapshots, key=lambda snapshot: snapshot.sequence_number or 0)
    assert foreign.summary is not None
    summary = foreign.summary.model_copy(update={"_additional_properties": {}})
    there = [each for each in metadata.snapshots if each.snapshot_id not in (foreign.snapshot_id, gone.snapshot_id)]
    there.append(foreign.model_copy(update={"summary": summary}))
    table.metadata = metadata.model_copy(update={"snapshots": there})
    assert cut_off(table) == {oldest.snapshot_id, foreign.snapshot_id}
    going = expirable(table, 5, 200, ())
    assert oldest.snapshot_id in going and foreign.snapshot_id not in going
