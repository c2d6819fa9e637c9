"""A car is forgotten of whose records retention has left quarantine alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from carlake.lakehouse import Lakehouse
from carlake.landing.pseudonyms import Pseudonyms
from carlake.settings import Settings
from carlake.upkeep.erasure.rows import Erasing
from carlake.upkeep.erasure.search import Needle, Place, Searched, search
from lakes import BRONZE, QUARANTINE, SILVER, TODAY, flat, held, lakehouse, nested, put, rows_of
from personal.test_forget import BROKEN_OTHER, BROKEN_OWN, CAR, OTHER, OTHERS, OWN, bare_search
from upkeep.maintained import PLAIN

ESCAPED = json.dumps({"vin": CAR}).replace(CAR, "".join(f"\\u{ord(letter):04x}" for letter in CAR))
REFUSED = [BROKEN_OWN, json.dumps({"vin": CAR}), ESCAPED, flat(CAR, "yesterday")]
# What a kept snapshot of a table was made from stays in bronze.
LATER = 6
THEIRS = [BROKEN_OTHER, json.dumps({"vin": OTHER})]


@pytest.fixture(params=["clear", "pseudonyms"])
def house(request: pytest.FixtureRequest, small_folder: Path) -> Iterator[Lakehouse]:
    more: dict[str, Any] = {"bronze_retention_days": 5}
    if request.param == "pseudonyms":
        (small_folder / "pseudonym.key").write_text("5a" * 32)
        more["pseudonym_key_file"] = small_folder / "pseudonym.key"
    with lakehouse(small_folder / "lake", Settings(**PLAIN | more)) as opened:
        yield opened


def retained(house: Lakehouse, *records: str) -> None:
    """A lake that has taken records in, each in an object of its own, of which bronze has only that they were there."""
    house.clock = lambda: datetime(2025, 10, 1, tzinfo=UTC)
    for number, record in enumerate(records):
        put(house.lake.landing / f"{number}.json", record)
    assert house.run(today=TODAY).status == "succeeded"
    house.clock = lambda: datetime(2025, 11, 1, tzinfo=UTC)
    for number in range(LATER):
        put(house.lake.landing / "later.json", nested(OTHER, f"later{number}", "2025-10-30T00:00:00Z"))
        house.run(today=TODAY)
    assert house.maintain().ok
    rows = rows_of(house, BRONZE)
    assert [row["record_hash"] is None for row in rows].count(True) == len(records) == len(rows) - LATER


def refused(house: Lakehouse) -> list[str]:
    return sorted(row["source_id"] for row in rows_of(house, QUARANTINE))


def is_gone(house: Lakehouse) -> bool:
    known: Pseudonyms | None = house.pseudonyms
    needle = Needle([CAR]) if known is None else Needle([CAR, known.car(CAR)], known.open)
    house.release_engine()
    return not any(search(house.lake.root, needle, Searched())) and bare_search(house.lake.root, CAR) == []


def test_its_rows_in_quarantine_go_though_bronze_has_no_record_of_them(house: Lakehouse) -> None:
    retained(house, *REFUSED, *THEIRS, OWN[0], OTHERS[0])
    assert len(refused(house)) == len(REFUSED) + len(THEIRS)
    plan = {each.table: each.rows for each in house.plan_forget(CAR).tables}
    done = house.forget(CAR)
    assert done.ok and not done.mentions
    rows = {each.table: each.rows for each in done.tables}
    assert plan[QUARANTINE] == rows[QUARANTINE] == len(REFUSED) and rows[BRONZE] == 0 and rows[SILVER] == 1
    assert len(refused(house)) == len(THEIRS) and is_gone(house)
    before = refused(house), held(house)
    assert house.verify().ok
    assert house.rebuild(everything=True, from_archive=True, today=TODAY).status == "succeeded"
    assert (refused(house), held(house)) == before and house.verify().ok and is_gone(house)


@pytest.mark.parametrize("house", ["clear"], indirect=True)
def test_a_mention_elsewhere_does_not_hide_them(house: Lakehouse) -> None:
    """Neither what another car's records say, landed since or in quarantine for long, nor are these taken for its own."""
    mention = json.dumps(json.loads(OTHERS[0]) | {"towed": CAR})
    theirs = json.dumps(json.loads(flat(OTHER, "yesterday")) | {"towed": CAR})
    retained(house, *REFUSED, theirs)
    put(house.lake.landing / "mention.json", mention)
    house.run(today=TODAY)
    done = house.forget(CAR)
    assert done.ok and done.mentions
    (row,) = rows_of(house, QUARANTINE)
    assert row["raw"] == theirs
    assert {each.source for each in done.mentions if each.kind == "parquet value"} == {
        row["source_id"],
        *(each["source_id"] for each in rows_of(house, BRONZE) if each["raw"] == mention),
    }


@pytest.mark.parametrize("house", ["clear"], indirect=True)
def test_a_mention_in_quarantine_alone(house: Lakehouse) -> None:
    theirs = json.dumps(json.loads(flat(OTHER, "yesterday")) | {"towed": CAR})
    retained(house, BROKEN_OWN, theirs)
    done = house.forget(CAR)
    assert done.ok and done.mentions and [row["raw"] for row in rows_of(house, QUARANTINE)] == [theirs]


@pytest.mark.parametrize("house", ["clear"], indirect=True)
def test_a_row_without_a_car_is_a_mention_only_where_its_object_has_one(house: Lakehouse) -> None:
    erasing = Erasing(house.context(), (CAR,))
    place = Place("quarantine/data/1.parquet", "parquet value", "raw", None, "theirs")
    assert not erasing.is_mention(place)
    erasing.mentioned.add("theirs")
    assert erasing.is_mention(place) and not erasing.is_mention(replace(place, source="its own"))
