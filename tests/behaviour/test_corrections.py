"""Late data and corrections: every row that an event touched is right again, and no other row is written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from carlake.refresh.report import RunReport
from carlake.simulator.fleet import Fleet, records
from lakes import (
    ALERTS,
    MODIFIED,
    MONTHLY,
    SILVER,
    STATE,
    Lakehouse,
    Landed,
    expected,
    flat,
    held,
    lakehouse,
    nested,
    put,
    step,
)

V1, V2, V3 = "2025-10-20T00:00:00Z", "2025-10-21T00:00:00Z", "2025-10-22T00:00:00Z"


class Player:
    """Lands records object by object and holds every run to the model, and its report to the rows that differ."""

    def __init__(self, house: Lakehouse, folder: Path) -> None:
        self.house, self.folder = house, folder
        self.landed: list[Landed] = []
        self.runs = 0

    def land(self, *texts: str, modified: datetime = MODIFIED) -> RunReport:
        self.runs += 1
        before = held(self.house)
        report = self.house.run([str(put(self.folder / f"{self.runs}.ndjson", *texts, modified=modified))])
        assert report.status == "succeeded"
        self.landed += [(text, modified) for text in texts]
        after = held(self.house)
        assert after == expected(self.landed)
        for table, rows in after.items():
            done, was = step(report, table), before[table]
            assert done.rows_out == sum(row not in was for row in rows), table
            assert done.rows_removed == sum(row not in rows for row in was), table
        return report

    def rows(self, table: str) -> list[dict[str, object]]:
        return held(self.house)[table]


@pytest.fixture
def player(small_folder: Path) -> Iterator[Player]:
    with lakehouse(small_folder / "lake") as house:
        yield Player(house, small_folder / "in")
        assert house.verify().ok


def test_a_newer_version_moves_an_event_to_another_month(player: Player) -> None:
    player.land(
        nested("A", "e1", "2025-03-05T10:00:00Z", V1, trip_distance_km=100, trip_fuel_consumed_liters=10),
        nested("A", "e2", "2025-03-09T10:00:00Z", V1, trip_distance_km=50, trip_fuel_consumed_liters=4),
        nested("A", "e3", "2025-09-09T10:00:00Z", V1, trip_distance_km=7, current_mileage_km=900),
        nested("B", "e1", "2025-03-05T10:00:00Z", V1, trip_distance_km=1),
    )
    report = player.land(
        nested("A", "e1", "2025-04-05T10:00:00Z", V2, trip_distance_km=80, trip_fuel_consumed_liters=10)
    )
    assert (step(report, SILVER).rows_out, step(report, SILVER).rows_removed) == (1, 1)
    assert (step(report, MONTHLY).rows_out, step(report, MONTHLY).rows_removed) == (2, 1), "March shrinks, April comes"
    assert step(report, STATE).rows_out == 0, "the car's state is of September"

    report = player.land(nested("A", "e2", "2025-04-09T10:00:00Z", V2, trip_distance_km=50))
    assert (step(report, MONTHLY).rows_out, step(report, MONTHLY).rows_removed) == (1, 2), "March goes, April grows"
    months = [(row["car_chassis"], row["year_month"]) for row in player.rows(MONTHLY)]
    assert months == [("A", "2025-04"), ("A", "2025-09"), ("B", "2025-03")]


def test_an_older_version_that_comes_later_changes_nothing(player: Player) -> None:
    player.land(nested("A", "e1", "2025-10-05T10:00:00Z", V2, engine_temp_celsius=120, trip_distance_km=8))
    before = held(player.house)
    report = player.land(nested("A", "e1", "2025-06-05T10:00:00Z", V1, engine_temp_celsius=80, trip_distance_km=9))
    assert held(player.house) == before
    assert (report.records, report.accepted, report.duplicates) == (1, 0, 1)
    assert [each.rows_out for each in report.steps if each.table != "bronze_car_data"] == [0] * 5


def test_an_alert_that_no_longer_holds_goes_and_others_of_the_event_stay(player: Player) -> None:
    hot = {"engine_temp_celsius": 120, "trip_max_speed_kmh": 140, "fuel_available_liters": 3}
    player.land(
        nested("A", "e1", "2025-10-05T10:00:00Z", V1, **hot), nested("B", "e1", "2025-10-05T10:00:00Z", V1, **hot)
    )
    assert len(player.rows(ALERTS)) == 6
    report = player.land(
        nested("A", "e1", "2025-10-05T10:00:00Z", V2, **hot | {"engine_temp_celsius": 90, "fuel_available_liters": 7})
    )
    assert step(report, ALERTS).rows_removed == 3, "one goes, one is a warning now, one tells the new fuel"
    alerts = [(row["car_chassis"], row["alert_type"], row["alert_severity"]) for row in player.rows(ALERTS)]
    assert alerts[:2] == [("A", "LOW_FUEL", "WARNING"), ("A", "SPEEDING_ALERT", "WARNING")] and len(alerts) == 5
    player.land(nested("A", "e1", "2025-10-05T10:00:00Z", V3))
    assert {row["car_chassis"] for row in player.rows(ALERTS)} == {"B"}


def test_a_flat_event_wipes_no_insurance_and_its_second_upload_corrects_it(player: Player) -> None:
    insured = {"insurance_provider": "Northlight", "insurance_valid_until": "2027-01-01", "gas_type": "petrol"}
    player.land(nested("A", "e1", "2025-10-05T10:00:00Z", V1, current_mileage_km=10, **insured))
    first = flat("A", "2025-10-06T10:00:00Z", current_mileage_km=20, fuel_available_liters=30)
    player.land(first)
    [state] = player.rows(STATE)
    assert (state["insurance_status"], state["insurance_provider"], state["gas_type"]) == (
        "ACTIVE",
        "Northlight",
        "petrol",
    )
    assert (state["current_mileage_km"], state["fuel_available_liters"]) == (20.0, 30.0)

    corrected = flat("A", "2025-10-06T10:00:00Z", current_mileage_km=25, fuel_available_liters=29)
    report = player.land(corrected, modified=MODIFIED + timedelta(hours=1))
    assert (report.accepted, report.duplicates) == (0, 1)
    assert player.rows(STATE)[0]["current_mileage_km"] == 25.0
    # An older upload that arrives late does not win, whatever the order of arrival.
    player.land(flat("A", "2025-10-06T10:00:00Z", current_mileage_km=22), modified=MODIFIED - timedelta(hours=1))
    assert player.rows(STATE)[0]["current_mileage_km"] == 25.0


def test_one_event_id_under_two_cars_is_two_events(player: Player) -> None:
    player.land(nested("A", "e", "2025-10-05T10:00:00Z", V1), nested("B", "e", "2025-10-05T10:00:00Z", V2))
    assert [(row["car_chassis"], row["event_id"]) for row in player.rows(SILVER)] == [("A", "e"), ("B", "e")]


def test_new_events_in_a_lake_with_history_write_rows_of_the_touched_keys_only(player: Player) -> None:
    history = [record for record in records(Fleet(events=1500, cars=25, days=200, bad=0.01)) if record.kind != "bad"]
    player.land(*(str(record.text) for record in history))
    newer = [record for record in records(Fleet(events=20, cars=3, days=2, seed=8, bad=0)) if record.kind == "event"]
    again = [str(record.text) for record in history[:5]]
    report = player.land(*(str(record.text) for record in newer), *again)
    assert (step(report, SILVER).rows_in, step(report, SILVER).rows_out) == (len(newer) + len(again), len(newer))
    assert step(report, STATE).rows_out == 3
    assert step(report, STATE).rows_removed == step(report, MONTHLY).rows_removed == 0
