"""Time passes: a run on a later UTC day corrects what the day alone made wrong, with no event."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from lakes import MODIFIED, STATE, bookmark, expected, heads, held, lakehouse, nested, put, step

RECORDS = [
    nested("ends today", "e", "2025-10-05T10:00:00Z", insurance_valid_until="2025-11-01"),
    nested("ends in 90", "e", "2025-10-05T10:00:00Z", insurance_valid_until="2026-01-30"),
    nested("ends in 91", "e", "2025-10-05T10:00:00Z", insurance_valid_until="2026-01-31"),
    nested("ended", "e", "2025-10-05T10:00:00Z", insurance_valid_until="2025-10-30"),
    nested("not known", "e", "2025-10-05T10:00:00Z"),
]
Open = Callable[[datetime], Lakehouse]


@pytest.fixture
def opened(small_folder: Path) -> Open:
    """Opens the lake at a time of the clock; on 1 November it has landed the records."""
    path = put(small_folder / "in" / "a.ndjson", *RECORDS)
    with lakehouse(small_folder / "lake", at=datetime(2025, 11, 1, 23, 59, 59, tzinfo=UTC)) as house:
        house.run([str(path)])
        assert statuses(house)["ends today"] == ("EXPIRING_IN_90_DAYS", None)
        assert statuses(house)["ended"] == ("EXPIRED", 2)
    return lambda at: lakehouse(small_folder / "lake", Settings(threads=1), at=at)


def statuses(house: Lakehouse) -> dict[str, tuple[str, int | None]]:
    rows = held(house)[STATE]
    return {row["car_chassis"]: (row["insurance_status"], row["insurance_days_expired"]) for row in rows}


def model_on(day: date) -> object:
    return expected([(text, MODIFIED) for text in RECORDS], day)


def test_the_next_day_corrects_the_rows_that_it_made_wrong(opened: Open) -> None:
    with opened(datetime(2025, 11, 2, 0, 0, 1, tzinfo=UTC)) as house:
        before = heads(house)
        report = house.run()
        done = step(report, STATE)
        # Of five rows: two days are counted anew, one has begun its last 90 days; the others stay as they are.
        assert (done.why, done.rows_in, done.rows_out, done.rows_removed) == ("day", 0, 3, 3)
        assert held(house) == model_on(date(2025, 11, 2))
        assert {name for name, head in heads(house).items() if head != before[name]} == {STATE}
        mark = bookmark(house, STATE)
        assert mark is not None and mark.day == date(2025, 11, 2)
        assert house.run().idle and house.verify().ok


def test_the_day_is_the_utc_day_of_the_clock(opened: Open) -> None:
    with opened(datetime(2025, 11, 2, 1, 0, tzinfo=timezone(timedelta(hours=2)))) as house:
        assert house.run().idle, "it is still 1 November in UTC"
    with opened(datetime(2025, 11, 1, 23, 0, tzinfo=timezone(-timedelta(hours=2)))) as house:
        assert not house.run().idle
        assert held(house) == model_on(date(2025, 11, 2))


def test_a_year_later_even_with_new_events(opened: Open, small_folder: Path) -> None:
    event = nested("ended", "e2", "2025-10-06T10:00:00Z", insurance_valid_until="2026-10-31")
    with opened(datetime(2026, 11, 1, tzinfo=UTC)) as house:
        report = house.run([str(put(small_folder / "in" / "b.json", event))])
        assert step(report, STATE).rows_out == 4
        assert held(house) == expected([(text, MODIFIED) for text in [*RECORDS, event]], date(2026, 11, 1))
        assert house.verify().ok


def test_the_day_goes_back_only_when_asked(opened: Open, small_folder: Path) -> None:
    with opened(datetime(2025, 10, 20, tzinfo=UTC)) as house:
        assert house.run().idle, "the clock of another machine is behind"
        event = nested("ended", "e2", "2025-10-06T10:00:00Z", insurance_valid_until="2025-10-31")
        house.run([str(put(small_folder / "in" / "b.json", event))])
        assert statuses(house)["ended"] == ("EXPIRED", 1), "judged by the day of the bookmark"

        house.run(today=date(2025, 10, 31))
        assert statuses(house)["ended"] == ("EXPIRING_IN_90_DAYS", None)
        assert statuses(house)["ends today"] == ("EXPIRING_IN_90_DAYS", None)
        assert statuses(house)["ends in 90"] == ("ACTIVE", None)
        assert house.verify().ok, "verify judges by the bookmark's day"
    with opened(datetime(2025, 11, 2, tzinfo=UTC)) as house:
        house.run()
        assert statuses(house)["ends today"] == ("EXPIRED", 1)
