"""A failing table stops only itself and what reads it: real failures, made as a machine or another program makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from carlake.errors import ContractError
from carlake.lakehouse import Lakehouse
from carlake.refresh.circuits import Circuits
from carlake.refresh.context import WATCH
from carlake.refresh.report import RunReport
from carlake.settings import Settings
from lakes import (
    ALERTS,
    BRONZE,
    MODIFIED,
    MONTHLY,
    NOON,
    SILVER,
    STATE,
    expected,
    held,
    iceberg,
    lakehouse,
    nested,
    put,
    rows_of,
    step,
)
from landing.ordinary_user import open_to_all, ordinary_user

Break = Callable[[Lakehouse], Callable[[], Any]]
"""Breaks something of a lake, and gives what mends it."""


def event(number: int, car: str = "CAR-1") -> str:
    return nested(
        car,
        f"e{number}",
        f"2025-10-{number:02}T08:00:00Z",
        trip_max_speed_kmh=118.0,
        fuel_available_liters=3.0,
        trip_distance_km=10.0,
        trip_fuel_consumed_liters=1.0,
        manufacturer="Seat",
    )


def data_files(house: Lakehouse, name: str) -> list[Path]:
    tasks = iceberg(house, name).scan().plan_files()
    return [Path(task.file.file_path.removeprefix("file://")) for task in tasks]


def moved_away(path: Path) -> Callable[[], Any]:
    aside = path.rename(path.with_name(f"{path.name}.aside"))
    return lambda: aside.rename(path)


def file_missing(house: Lakehouse) -> Callable[[], Any]:
    return moved_away(data_files(house, STATE)[0])


def file_cut_short(house: Lakehouse) -> Callable[[], Any]:
    (file,) = data_files(house, STATE)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    return lambda: file.write_bytes(content)


def column_dropped(house: Lakehouse, name: str = STATE, column: str = "gas_type") -> Callable[[], Any]:
    table = iceberg(house, name)
    before = table.metadata.current_schema_id
    with table.update_schema(allow_incompatible_changes=True) as update:
        update.delete_column(column)
    return lambda: set_schema(house, name, before)


def column_renamed(house: Lakehouse) -> Callable[[], Any]:
    table = iceberg(house, STATE)
    before = table.metadata.current_schema_id
    with table.update_schema(allow_incompatible_changes=True) as update:
        update.rename_column("manufacturer", "maker")
    return lambda: set_schema(house, STATE, before)


def column_retyped(house: Lakehouse) -> Callable[[], Any]:
    from pyiceberg.types import LongType

    table = iceberg(house, STATE)
    before = table.metadata.current_schema_id
    with table.update_schema() as update:
        update.update_column("year", LongType())
    return lambda: set_schema(house, STATE, before)


def set_schema(house: Lakehouse, name: str, schema_id: int) -> None:
    """What a person does in another engine to take a change of the schema back."""
    from pyiceberg.table.update import SetCurrentSchemaUpdate

    house.catalog.commit_table(iceberg(house, name), (), (SetCurrentSchemaUpdate(schema_id=schema_id),))


def metadata_missing(house: Lakehouse) -> Callable[[], Any]:
    mend = moved_away(Path(iceberg(house, STATE).metadata_location.removeprefix("file://")))
    house.reopen()
    return mend


FAILURES: dict[str, tuple[Break, str]] = {
    "missing data file": (file_missing, ".parquet is missing"),
    "data file cut short": (file_cut_short, ".parquet"),
    "column dropped": (column_dropped, f"Another program changed table {STATE}: it has no column gas_type any more"),
    "column renamed": (
        column_renamed,
        f"Another program changed table {STATE}: it has no column manufacturer any more",
    ),
    "column retyped": (column_retyped, f"Another program changed table {STATE}: it has column year as long, not int"),
    "metadata file missing": (metadata_missing, ".metadata.json is missing"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_one_gold_table_fails_and_the_others_go_on(failure: str, small_folder: Path) -> None:
    breaks, told = FAILURES[failure]
    with lakehouse(small_folder / "lake") as house:
        put(house.lake.landing / "1.json", event(1))
        assert house.run().status == "succeeded"
        mend = breaks(house)

        put(house.lake.landing / "2.json", event(2), event(3, "CAR-2"))
        report = house.run()
        assert report.status == "partial", report
        failed = [each for each in report.steps if each.status == "failed"]
        assert [each.table for each in failed] == [STATE]
        assert told in failed[0].error and "carlake doctor" in failed[0].error and "LINE 1" not in failed[0].error
        right = expected([(event(1), MODIFIED), (event(2), MODIFIED), (event(3, "CAR-2"), MODIFIED)])
        for name in (SILVER, MONTHLY, ALERTS):
            assert rows_of(house, name) == right[name], name
        (row,) = (row for row in house.runs().to_pylist() if row["run_id"] == report.run_id)
        assert row["status"] == "partial" and row["tables"] == "5/6" and told in row["error"]
        assert not list(house.lake.landing.iterdir()), "what is in bronze is archived all the same"

        mend()
        house.reopen()
        again = house.run()
        assert again.status == "succeeded" and step(again, STATE).why == "source"
        assert held(house) == right and house.verify().ok


def test_nothing_is_read_as_null_from_a_source_whose_column_was_dropped(small_folder: Path) -> None:
    """Gold computed from a silver without the column would put nulls where there are values."""
    with lakehouse(small_folder / "lake") as house:
        put(house.lake.landing / "1.json", event(1))
        house.run()
        before = held(house)
        mend = column_dropped(house, SILVER, "manufacturer")
        # Without bookmarks, gold is computed anew from all of silver.
        for name in (STATE, MONTHLY, ALERTS):
            table = iceberg(house, name)
            table.append(table.scan().to_arrow()[:0])
        put(house.lake.landing / "2.json", event(2))
        report = house.run()
        failed = [each for each in report.steps if each.status == "failed"]
        assert [each.table for each in failed] == [SILVER, STATE, MONTHLY, ALERTS]
        assert all("has no column manufacturer any more" in each.error for each in failed)
        assert {name: rows_of(house, name) for name in (STATE, MONTHLY, ALERTS)} == {
            name: before[name] for name in (STATE, MONTHLY, ALERTS)
        }
        mend()
        assert house.run().status == "succeeded"
        assert held(house) == expected([(event(1), MODIFIED), (event(2), MODIFIED)]) and house.verify().ok


def test_what_reads_a_failed_table_stays_at_its_last_good_snapshot(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake") as house:
        put(house.lake.landing / "1.json", event(1))
        house.run()
        before = held(house)
        mend = moved_away(data_files(house, SILVER)[0])
        put(house.lake.landing / "2.json", nested("CAR-1", "e1", "2025-10-01T08:00:00Z", "2025-10-05T08:00:00Z"))
        report = house.run()
        assert [each.table for each in report.steps if each.status == "failed"] == [SILVER]
        assert {
            each.table: each.status for each in report.steps if each.table in (STATE, MONTHLY, ALERTS)
        } == dict.fromkeys((STATE, MONTHLY, ALERTS), "skipped")
        mend()
        assert {name: rows_of(house, name) for name in before} == before
        assert house.run().status == "succeeded" and house.verify().ok


def test_a_mistake_in_a_rules_file_stops_the_alerts_alone(small_folder: Path) -> None:
    rules = small_folder / "rules.yaml"
    rules.write_text("rules:\n  SPEEDING_ALERT:\n    above: {WARNING: 100}\n")
    settings = Settings(threads=1, rules=[rules])
    with lakehouse(small_folder / "lake", settings) as house:
        put(house.lake.landing / "1.json", event(1))
        assert house.run().status == "succeeded"
        alerts = rows_of(house, ALERTS)

    good, bad = rules.read_text(), "rules:\n  SPEEDING_ALERT:\n    column: no_such\n"
    rules.write_text(bad)
    with lakehouse(small_folder / "lake", settings) as house:
        put(house.lake.landing / "2.json", event(2))
        for why in ("source", ""):
            report = house.run()
            assert report.status == "partial" and step(report, STATE).why == why
            assert [each.table for each in report.steps if each.status == "failed"] == [ALERTS]
            assert "rules.yaml, line 3" in step(report, ALERTS).error and "no_such" in step(report, ALERTS).error
        assert rows_of(house, ALERTS) == alerts
        info = house.table(ALERTS)
        assert "no_such" in info.trouble and info.rows == len(alerts) and info.changed == ()
        assert [problem.kind for problem in house.verify().problems] == ["definition"]
        with pytest.raises(ContractError, match="no_such"):
            house.plan()

        rules.write_text(good)  # the process that is open reads it again by itself
        report = house.run()
        assert report.status == "succeeded" and step(report, ALERTS).status == "succeeded" and house.verify().ok
        assert house.circuits() == []


def test_a_folder_that_may_not_be_written_stops_its_table_alone(tmp_path: Path) -> None:
    folder = open_to_all(tmp_path)
    folder.chmod(0o777)
    with ordinary_user(), lakehouse(folder / "lake") as house:
        put(house.lake.landing / "1.json", event(1))
        house.run()
        data = house.lake.warehouse / "carlake" / MONTHLY / "data"
        for path in [data, *data.rglob("*")]:
            if path.is_dir():
                path.chmod(0o555)
        put(house.lake.landing / "2.json", event(2))
        report = house.run()
        assert [each.table for each in report.steps if each.status == "failed"] == [MONTHLY]
        assert "Permission denied" in step(report, MONTHLY).error and str(data) in step(report, MONTHLY).error
        for path in [data, *data.rglob("*")]:
            if path.is_dir():
                path.chmod(0o755)
        assert house.run().status == "succeeded" and house.verify().ok


def test_where_nothing_can_land_the_new_day_still_comes(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake") as house:
        put(
            house.lake.landing / "1.json",
            nested("CAR-1", "e1", "2025-10-01T08:00:00Z", insurance_valid_until="2025-11-01"),
        )
        house.run()
        assert rows_of(house, STATE)[0]["insurance_status"] == "EXPIRING_IN_90_DAYS"
        mend = column_dropped(house, BRONZE, "raw")
        put(house.lake.landing / "2.json", event(2))
        report = house.run(today=datetime(2025, 11, 2).date())  # noqa: DTZ001
        assert report.status == "failed" and step(report, BRONZE).status == "failed"
        assert step(report, STATE).why == "day" and rows_of(house, STATE)[0]["insurance_status"] == "EXPIRED"
        assert (house.lake.landing / "2.json").exists()
        mend()
        assert house.run().status == "succeeded" and house.verify().ok


# -- again and again ---------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def house(small_folder: Path, clock: Clock) -> Iterator[Lakehouse]:
    with Lakehouse.create(small_folder / "lake", Settings(threads=1), clock=clock) as house:
        put(house.lake.landing / "0.json", event(9))
        house.run()
        yield house


def watched(house: Lakehouse, clock: Clock, number: int, seconds: float = 0) -> RunReport:
    """A turn of `watch`, with news, after a while."""
    clock.now += timedelta(seconds=seconds)
    return house.take(list_of(house, number), archive=True, trigger=WATCH)


def list_of(house: Lakehouse, number: int) -> Any:
    from carlake.landing.listing import list_landing

    put(house.lake.landing / f"{number}.json", event(number))
    return list_landing(house.lake.landing).objects


def test_watch_backs_off_and_the_circuit_closes_by_itself(house: Lakehouse, clock: Clock) -> None:
    mend = file_missing(house)
    statuses = [step(watched(house, clock, number, 10), STATE).status for number in (1, 2, 3)]
    assert statuses == ["failed"] * 3
    (circuit,) = house.circuits()
    assert circuit.table == STATE and circuit.failures == 3 and circuit.state(clock.now) == "open"

    waits = watched(house, clock, 4)
    assert (
        waits.status == "partial"
        and step(waits, STATE).status == "waiting"
        and "is missing" in step(waits, STATE).error
    )
    assert step(waits, MONTHLY).status == "succeeded"
    assert house.circuits() == [circuit], "what waits was not tried"
    assert house.take((), trigger=WATCH).idle, "nothing was done, so nothing is to be written down"

    by_hand = house.run()
    assert step(by_hand, STATE).status == "failed", "a person's run tries it"
    mend()
    assert step(house.take((), trigger=WATCH), STATE).status == "waiting"
    clock.now = house.circuits()[0].retry_at
    assert step(house.take((), trigger=WATCH), STATE).status == "succeeded"
    assert house.circuits() == [] and house.verify().ok


def test_losing_the_circuits_changes_no_row(house: Lakehouse, clock: Clock) -> None:
    mend = file_missing(house)
    for number in (1, 2, 3):
        watched(house, clock, number, 10)
    for file in (house.lake.scratch.parent / "circuits").iterdir():
        file.unlink()
    assert house.circuits() == [] and step(watched(house, clock, 4), STATE).status == "failed", "it is tried more often"
    mend()
    assert house.run().status == "succeeded" and house.verify().ok


def test_a_landing_that_keeps_failing_backs_off(house: Lakehouse, clock: Clock) -> None:
    mend = column_dropped(house, BRONZE, "raw")
    for number in (1, 2, 3):
        assert watched(house, clock, number, 10).status == "failed"
    waits = watched(house, clock, 4)
    assert step(waits, BRONZE).status == "waiting" and len(list(house.lake.landing.iterdir())) == 4
    mend()
    clock.now = house.circuits()[0].retry_at
    report = watched(house, clock, 5)
    assert report.status == "succeeded" and report.records == 5 and house.circuits() == [] and house.verify().ok


def test_a_changed_definition_is_no_failure(house: Lakehouse, clock: Clock, small_folder: Path) -> None:
    rules = small_folder / "rules.yaml"
    rules.write_text("rules:\n  SPEEDING_ALERT: off\n")
    with Lakehouse.open(house.lake.root, Settings(threads=1, rules=[rules]), clock=clock) as other:
        for _ in range(4):
            report = other.take((), trigger=WATCH)
            assert step(report, ALERTS).status == "left" and report.status == "partial" and report.idle
        assert other.circuits() == []


def test_a_table_that_failed_and_is_then_left_as_it_is_fails_no_more(
    house: Lakehouse, clock: Clock, small_folder: Path
) -> None:
    file_missing(house)
    for number in (1, 2, 3):
        watched(house, clock, number, 10)
    assert [circuit.table for circuit in house.circuits()] == [STATE]
    clock.now = house.circuits()[0].retry_at
    changed = Settings(threads=1, max_record_bytes=1 << 20)
    with Lakehouse.open(house.lake.root, changed, clock=clock) as other:
        circuits = Circuits.of_lake(house.lake, changed, clock)
        circuits.failed(SILVER, "it failed", "a run", clock.now)
        clock.now += timedelta(hours=1)
        assert step(other.take((), trigger=WATCH), SILVER).status == "left"
        assert [circuit.table for circuit in other.circuits()] == [STATE]
