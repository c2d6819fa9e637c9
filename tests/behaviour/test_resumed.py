"""Gold goes on from its own rows where that gives the same; where it might not, the events so far are read again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lakes import MODIFIED, SILVER, Lakehouse, expected, flat, held, lakehouse, nested, put
from model import MONTHLY, STATE

V1, V2 = "2025-10-20T00:00:00Z", "2025-10-21T00:00:00Z"
SETTLED = (
    nested(
        "A", "e1", "2025-10-01T10:00:00Z", V1, manufacturer="M", model="X", current_mileage_km=10, trip_distance_km=5
    ),
    nested("A", "e2", "2025-10-03T10:00:00Z", V1, insurance_provider="P", insurance_valid_until="2025-12-01"),
    nested("B", "e1", "2025-10-02T10:00:00Z", V1, manufacturer="M", fuel_available_liters=3, trip_distance_km=1),
)


class Watched:
    """Lands records and notes for which tables the events so far were read by key."""

    def __init__(self, house: Lakehouse, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.house, self.folder, self.texts, self.read = house, folder, list(SETTLED), 0
        scan = house.engine.scan

        def noting(table: str, snapshot: int | None, keys: str | None = None, *rest: Any, **more: Any) -> str:
            self.read += table == SILVER and keys is not None
            return scan(table, snapshot, keys, *rest, **more)

        monkeypatch.setattr(house.engine, "scan", noting)

    def land(self, *texts: str) -> int:
        """How many tables read events again. Every row is then as the model has it."""
        self.texts += texts
        before = self.read
        report = self.house.run([str(put(self.folder / f"{len(self.texts)}.ndjson", *texts))])
        assert report.status == "succeeded"
        assert held(self.house) == expected([(text, MODIFIED) for text in self.texts])
        return self.read - before


@pytest.fixture
def lake(small_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    with lakehouse(small_folder / "lake") as house:
        house.run([str(put(small_folder / "in" / "0.ndjson", *SETTLED))])
        yield Watched(house, small_folder / "in", monkeypatch)
        assert house.verify().ok


def test_later_events_of_known_cars_read_no_older_ones(lake: Watched) -> None:
    assert (
        lake.land(nested("A", "e3", "2025-10-04T10:00:00Z", V1, model="X", fuel_available_liters=7, trip_distance_km=2))
        == 0
    )
    assert lake.land(flat("B", "2025-10-05T10:00:00Z", manufacturer="M", current_mileage_km=4)) == 0
    assert (
        lake.land(
            nested("A", "e4", "2025-10-06T10:00:00Z", V1, insurance_provider="Q", trip_fuel_consumed_liters=1),
            nested("A", "e5", "2025-10-07T10:00:00Z", V1, current_mileage_km=12),
            nested("B", "e4", "2025-10-07T10:00:00Z", V1, trip_distance_km=3, trip_fuel_consumed_liters=1),
        )
        == 0
    )


def test_a_car_that_was_never_seen_has_no_events_to_read(lake: Watched) -> None:
    assert lake.land(nested("C", "e1", "2025-10-04T10:00:00Z", V1, current_mileage_km=1)) == 1, "only the month's"


@pytest.mark.parametrize(
    "at", ["2025-10-03T10:00:00Z", "2025-10-02T10:00:00Z"], ids=["as late as the latest", "before the latest"]
)
def test_an_event_that_is_not_the_latest_reads_those_before(lake: Watched, at: str) -> None:
    assert lake.land(nested("A", "e0", at, V1, current_mileage_km=9, insurance_provider="Z", model="X")) == 1


def test_one_late_event_among_many_reads_only_its_own_car(lake: Watched) -> None:
    texts = (
        nested("A", "e9", "2025-10-02T10:00:00Z", V1, current_mileage_km=11, trip_distance_km=1),
        nested("B", "e9", "2025-10-09T10:00:00Z", V1, current_mileage_km=11, trip_distance_km=1),
    )
    assert lake.land(*texts) == 1


@pytest.mark.parametrize("says", [{"model": "Y"}, {"manufacturer": "N"}])
def test_an_event_that_says_something_else_of_the_car_reads_its_month(lake: Watched, says: dict[str, str]) -> None:
    assert lake.land(nested("A", "e3", "2025-10-04T10:00:00Z", V1, trip_distance_km=2, **says)) == 1


def test_an_event_of_a_month_without_a_row_reads_that_month(lake: Watched) -> None:
    lake.land(nested("A", "e3", "2025-09-04T10:00:00Z", V1, manufacturer="old", model="old"))
    assert lake.land(nested("A", "e4", "2025-09-03T10:00:00Z", V1, trip_distance_km=1)) == 2
    months = [(row["year_month"], row["model"]) for row in held(lake.house)[MONTHLY] if row["car_chassis"] == "A"]
    assert months == [("2025-09", "old"), ("2025-10", "X")]


def test_a_correction_reads_what_it_touches(lake: Watched) -> None:
    assert lake.land(nested("A", "e1", "2025-10-01T10:00:00Z", V2, current_mileage_km=8, trip_distance_km=4)) == 3
    [state] = [row for row in held(lake.house)[STATE] if row["car_chassis"] == "A"]
    assert state["current_mileage_km"] == 8
