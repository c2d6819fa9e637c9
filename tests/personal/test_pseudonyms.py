"""Pseudonyms from landing on: the same tables with other names, and no clear name in any file of the lake."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carlake.contracts.load import load
from carlake.errors import DefinitionChangedError, SettingsError
from carlake.lakehouse import Lakehouse
from carlake.landing.pseudonyms import Pseudonyms
from carlake.settings import Settings
from carlake.upkeep.erasure.search import Needle, Searched, search
from lakes import BRONZE, QUARANTINE, SILVER, flat, held, iceberg, lakehouse, nested, oldest, put, rows_of, step, truck
from personal.test_forget import bare_search, packed_parquet

CAR, OTHER = "WVWZZZ1JZXW000001", "1FTFW1ET5DFC10312"
POLICY, CUSTOMER = "POL-4711-X", "customer 8/15"
KEY = "5a" * 32
PERSONAL = ("car_chassis", "insurance_policy_number", "rental_customer_id")

GOOD = [
    nested(CAR, f"{CAR}_1", "2025-10-01T00:00:00Z", "2025-10-01T01:00:00Z", engine_temp_celsius=120.50,
           insurance_policy_number=POLICY, rental_customer_id=CUSTOMER, trip_distance_km=5),
    nested(CAR, f"{CAR}_1", "2025-10-01T00:00:00Z", "2025-10-01T02:00:00Z", engine_temp_celsius=130, trip_distance_km=5),
    nested(OTHER, "e2", "2025-10-02T00:00:00Z", rental_customer_id=CUSTOMER, current_mileage_km=123456),
    flat(CAR, "2025-10-03T00:00:00Z", current_mileage_km=7),
    oldest(CAR, "Wed, 29 Oct 2025 11:00:00", insurance_policy_number=POLICY),
]  # fmt: skip
BAD: list[str | bytes] = [
    '{"carChassis": "' + CAR + '", "event_id": ',
    '{"no contract": "of ' + CAR + '"}',
    b'{"carChassis": "' + CAR.encode() + b'\xff"}',
    flat(CAR, "yesterday"),
    flat(CAR, "2025-10-03T00:00:00Z", engine_temp_celsius=1e9),
    '{"carChassis": 12345678, "telemetryTimestamp": "2025-10-03T00:00:00Z"}',
    '{"carChassis": "' + CAR + '", "carInsurance": "policy ' + POLICY + '", "metrics": {"metricTimestamp": "x"}}',
]


@pytest.fixture
def settings(small_folder: Path) -> Settings:
    (small_folder / "pseudonym.key").write_text(KEY)
    return Settings(threads=1, pseudonym_key_file=small_folder / "pseudonym.key")


@pytest.fixture
def house(small_folder: Path, settings: Settings) -> Iterator[Lakehouse]:
    with lakehouse(small_folder / "lake", settings) as opened:
        yield opened


def pseudonyms() -> Pseudonyms:
    return Pseudonyms(bytes.fromhex(KEY), load(()))


def landed(landing: Path) -> None:
    put(landing / f"{CAR} {POLICY}.json", *GOOD[:2], *BAD[:4])
    put(landing / "b.json.gz", gzip.compress("\n".join(GOOD[2:]).encode(), mtime=0))
    put(
        landing / "c.csv", f"carChassis,telemetryTimestamp\n{CAR},2025-10-05T00:00:00Z\n{OTHER},2025-10-05T00:00:00Z\nx"
    )
    put(landing / "d.parquet", packed_parquet(CAR))
    put(landing / "e.json", *BAD[4:])
    put(landing / "f.json", GOOD[0].replace(CAR, CAR[:-1] + "\\u0031"))
    put(landing / "g.json.gz", gzip.compress(GOOD[0].encode(), mtime=0)[:-5])
    put(landing / "empty.json")


def renamed(rows: list[dict[str, Any]], names: Pseudonyms) -> list[dict[str, Any]]:
    """Rows of a clear lake, as a lake of pseudonyms has them."""
    changed = []
    for row in rows:
        new = {name: names.of(name, value) if name in PERSONAL and value else value for name, value in row.items()}
        if new.get("event_id"):
            new["event_id"] = new["event_id"].replace(CAR, names.car(CAR)).replace(OTHER, names.car(OTHER))
        new.pop("alert_id", None)
        changed.append(new)
    return sorted(changed, key=repr)


def test_the_same_tables_and_no_clear_name_anywhere(house: Lakehouse, small_folder: Path) -> None:
    landed(house.lake.landing)
    assert house.run().status == "succeeded"
    names = pseudonyms()
    with lakehouse(small_folder / "clear") as plain:
        landed(plain.lake.landing)
        plain.run()
        clear_rows, reasons = held(plain), sorted(row["reason"] for row in rows_of(plain, QUARANTINE))
        assert bare_search(plain.lake.root, POLICY)
    for table, rows in held(house).items():
        assert sorted(({k: v for k, v in row.items() if k != "alert_id"} for row in rows), key=repr) == renamed(
            clear_rows[table], names
        ), table
    assert sorted(row["reason"] for row in rows_of(house, QUARANTINE)) == reasons
    house.write_down_runs()
    house.release_engine()
    for name in (CAR, OTHER, POLICY, CUSTOMER, "12345678"):
        assert bare_search(house.lake.root, name) == [], name
        assert list(search(house.lake.root, Needle([name]), Searched())) == [], name
    verified = house.verify()
    assert (verified.problems, verified.behind, verified.pending) == ((), (), 0)
    assert list(house.lake.landing.rglob("*.json")) == []
    assert KEY not in house.lake.toml.read_text()


def test_what_is_archived_lands_as_the_same_rows(house: Lakehouse, small_folder: Path, settings: Settings) -> None:
    landed(house.lake.landing)
    house.run()
    columns = ("source_id", "source_row", "record_hash", "raw", "raw_bytes", "car_chassis", "event_id")
    with lakehouse(small_folder / "again", settings) as again:
        again.run([str(house.lake.archive)])
        for name, kept in ((BRONZE, columns), (QUARANTINE, ("source_row", "reason", "detail", "raw"))):
            one, two = (
                sorted(map(repr, iceberg(each, name).scan(selected_fields=kept).to_arrow().select(kept).to_pylist()))
                for each in (house, again)
            )
            assert one == two
        assert held(again) == held(house)


def test_bronze_made_again_from_the_archive_is_the_same(house: Lakehouse) -> None:
    landed(house.lake.landing)
    house.run()
    put(house.lake.landing / "later.json", *GOOD[:1], '{"no contract": "of ' + OTHER + '"}', *BAD[:1])
    house.run()
    before = rows_of(house, BRONZE), rows_of(house, QUARANTINE), held(house)
    for _ in range(2):
        report = house.rebuild(everything=True, from_archive=True)
        assert report.status == "succeeded" and step(report, BRONZE).rows_out and step(report, QUARANTINE).rows_out
        assert (rows_of(house, BRONZE), rows_of(house, QUARANTINE), held(house)) == before
        found = house.verify()
        assert (found.problems, found.behind) == ((), ())
    names = pseudonyms()
    for car in (CAR, OTHER):
        assert house.forget(car).ok
        house.release_engine()
        assert list(search(house.lake.root, Needle([car, names.car(car)], names.open), Searched())) == []
    rows = rows_of(house, BRONZE)
    assert len(rows) == len(before[0]) and rows_of(house, SILVER) == []
    assert house.rebuild(everything=True, from_archive=True).status == "succeeded" and rows_of(house, BRONZE) == rows


def test_known_content_is_known_again(house: Lakehouse) -> None:
    landed(house.lake.landing)
    first = house.run()
    landed(house.lake.landing)
    second = house.run()
    assert (second.status, second.files_known, second.records) == ("succeeded", first.files, 0)
    assert list(house.lake.landing.rglob("*.json")) == []
    assert house.verify().ok


def test_a_car_is_forgotten_by_its_clear_name(house: Lakehouse) -> None:
    landed(house.lake.landing)
    house.run()
    names = pseudonyms()
    before = {t: [row for row in rows if row["car_chassis"] != names.car(CAR)] for t, rows in held(house).items()}
    done = house.forget(CAR)
    assert done.ok and done.tables[0].rows >= 10
    assert held(house) == before
    open_too = Needle([CAR, names.car(CAR)], names.open)
    house.release_engine()
    assert list(search(house.lake.root, open_too, Searched())) == []
    assert house.verify().ok
    put(house.lake.landing / "again.json", *GOOD[:2], BAD[0], BAD[1], GOOD[2].replace("e2", "e7"))
    report = house.run()
    assert (report.records, report.forgotten, report.accepted) == (5, 4, 1)
    house.release_engine()
    assert list(search(house.lake.root, open_too, Searched())) == []
    assert house.verify().ok


@pytest.mark.parametrize("record", BAD[:3], ids=["broken", "of no contract", "not UTF-8"])
def test_an_encrypted_record_that_is_all_of_a_car_in_an_object(house: Lakehouse, record: str | bytes) -> None:
    names = pseudonyms()
    put(house.lake.landing / "a.json", GOOD[2], record)
    house.run()
    (archived,) = house.lake.archive.glob("*/*/*.json")
    left = [base64.b64decode(line) for line in re.findall(rb'"base64":"([^"]*)"', archived.read_bytes())]
    left += archived.read_bytes().splitlines()
    assert CAR.encode() in b"".join(names.open(line) or b"" for line in left)
    done = house.forget(CAR)
    assert done.ok and str(archived) in done.objects
    assert archived.read_bytes().splitlines()[1] == b'{"$carlake":"forgotten"}'
    assert house.verify().ok and [row["event_id"] for row in held(house)[SILVER]] == ["e2"]


def test_another_key_or_none_lands_nothing(house: Lakehouse, small_folder: Path) -> None:
    put(house.lake.landing / "a.json", GOOD[0])
    house.run()
    before, bronze = held(house), rows_of(house, BRONZE)
    (small_folder / "other.key").write_text("17" * 32)
    for other in (Settings(threads=1), Settings(threads=1, pseudonym_key_file=small_folder / "other.key")):
        with lakehouse(house.lake.root, other) as wrong:
            path = put(house.lake.landing / "b.json", GOOD[1])
            report = wrong.run()
            assert report.status == "failed" and "pseudonym" in report.steps[0].error
            assert path.exists() and held(wrong) == before
            path.unlink()
            with pytest.raises(DefinitionChangedError, match="pseudonym"):
                wrong.rebuild(everything=True, from_archive=True)
            assert rows_of(wrong, BRONZE) == bronze
    with lakehouse(small_folder / "clear") as plain:
        put(plain.lake.landing / "a.json", GOOD[0])
        plain.run()
    with lakehouse(small_folder / "clear", house.settings) as late:
        put(late.lake.landing / "b.json", GOOD[1])
        assert late.run().status == "failed"
    (small_folder / "pseudonym.key").write_text("17")
    with (
        pytest.raises(SettingsError, match="holds no pseudonym key"),
        lakehouse(house.lake.root, house.settings) as short,
    ):
        short.run()


@pytest.mark.parametrize("change", ["key to none", "none to key", "key to another"])
def test_no_rebuild_adopts_another_way_to_write_cars(small_folder: Path, settings: Settings, change: str) -> None:
    (small_folder / "other.key").write_text("17" * 32)
    none, other = Settings(threads=1), Settings(threads=1, pseudonym_key_file=small_folder / "other.key")
    first, second = {
        "key to none": (settings, none),
        "none to key": (none, settings),
        "key to another": (settings, other),
    }[change]
    with lakehouse(small_folder / "lake", first) as house:
        put(house.lake.landing / "a.json", GOOD[0])
        house.run()
        before = held(house), rows_of(house, BRONZE)
    with lakehouse(small_folder / "lake", second) as wrong:
        put(wrong.lake.landing / "b.json", GOOD[2])
        for _ in range(2):
            failed = wrong.run()
            assert failed.status == "failed"
            assert not any("carlake rebuild" in each.error for each in failed.steps)
            assert wrong.rebuild().status == "partial"
            report = wrong.rebuild([SILVER])
            assert report.status != "succeeded" and "pseudonym" in step(report, SILVER).error
        assert (held(wrong), rows_of(wrong, BRONZE)) == before
        assert not wrong.verify().ok
    with lakehouse(small_folder / "lake", first) as house:
        assert house.run().status == "succeeded" and house.verify().ok
        assert len(held(house)[SILVER]) == 2


def test_a_column_that_can_hold_no_pseudonym(house: Lakehouse, small_folder: Path) -> None:
    contract = small_folder / "mine.yaml"
    contract.write_text(
        "contract: mine\nversion: 1\ndescription: of my own\nrecognised_by:\n  - [mine]\ncolumns:\n"
        "  - {name: driver_age, type: int, doc: how old, personal: true, path: age}\n"
        "fields:\n  car_chassis: {path: car, required: true}\n  event_timestamp: {path: at, required: true}\n"
    )
    settings = house.settings.model_copy(update={"contracts": (contract,)})
    with (
        pytest.raises(SettingsError, match="driver_age of contract mine is personal"),
        lakehouse(small_folder / "mine", settings) as mine,
    ):
        mine.run()


@pytest.mark.parametrize("mark", ["x", "forgotten", "sealed", "bytes"])
def test_a_record_that_begins_like_one_of_carlakes_is_no_way_past_the_pseudonyms(house: Lakehouse, mark: str) -> None:
    forged = json.dumps({"$carlake": mark, "note": CAR, "data": CAR}, separators=(",", ":"))
    put(house.lake.landing / "a.json", forged[:-1] + "," + GOOD[0][1:], forged, GOOD[2])
    house.run()
    assert {row["car_chassis"] for row in held(house)[SILVER]} == {pseudonyms().car(car) for car in (CAR, OTHER)}
    house.write_down_runs()
    house.release_engine()
    assert bare_search(house.lake.root, CAR) == []


def test_a_column_at_the_cars_own_path_leaves_the_car_its_pseudonym(house: Lakehouse, small_folder: Path) -> None:
    contract = small_folder / "truck.yaml"
    column = "{name: vin, type: string, doc: the car again, personal: true, path: truck.vin}"
    contract.write_text(truck("event_timestamp: {path: at, required: true}") + f"columns:\n  - {column}\n")
    with lakehouse(small_folder / "truck", house.settings.model_copy(update={"contracts": (contract,)})) as trucks:
        put(trucks.lake.landing / "a.json", json.dumps({"truck": {"vin": CAR}, "at": "2025-10-01T00:00:00Z"}))
        trucks.run()
        (row,) = held(trucks)[SILVER]
        assert row["car_chassis"] == pseudonyms().car(CAR) and row["vin"] == pseudonyms().car(CAR)
        assert trucks.forget(CAR).ok and held(trucks)[SILVER] == []


def rewritten(house: Lakehouse, record: object) -> str:
    """What bronze has of one record."""
    put(house.lake.landing / "a.json", record if isinstance(record, str) else json.dumps(record), GOOD[2])
    assert house.run().status == "succeeded"
    (row,) = (row for row in rows_of(house, BRONZE) if row["source_row"] == 0)
    house.write_down_runs()
    house.release_engine()
    return str(row["raw"])


@pytest.mark.parametrize(
    "record",
    [
        GOOD[0].replace('"carChassis": ', '"carChassis": "' + OTHER + '", "carChassis": '),
        GOOD[0].replace('"carChassis": ', '"car\\u0043hassis": "' + OTHER + '", "carChassis" : '),
        flat(CAR, "2025-10-03T00:00:00Z", current_mileage_km=7)[:-1] + ', "n": 1' + "0" * 400 + ', "n": "' + CAR + '"}',
    ],
    ids=["plain", "escaped", "with a number that is too large"],
)
def test_a_record_that_has_a_key_twice_is_held_encrypted(house: Lakehouse, record: str) -> None:
    assert pseudonyms().open(rewritten(house, record)) == record.encode()
    (row,) = rows_of(house, QUARANTINE)
    assert row["reason"] == "unknown_shape" and bare_search(house.lake.root, CAR) == []


def test_the_personal_data_of_other_contracts_goes_too(house: Lakehouse) -> None:
    record = json.loads(flat(CAR, "2025-10-03T00:00:00Z", current_mileage_km=7))
    text = rewritten(house, record | {"carInsurance": {"number": POLICY, "provider": "Allianz"}, "note": POLICY})
    name = pseudonyms().of("insurance_policy_number", POLICY)
    assert (
        json.loads(text)["carInsurance"] == {"number": name, "provider": "Allianz"} and json.loads(text)["note"] == name
    )
    assert len(held(house)[SILVER]) == 2 and bare_search(house.lake.root, POLICY) == []


@pytest.mark.parametrize("car", [123456789, ["123456789"], {"of": "123456789"}, -1234567.5], ids=repr)
def test_a_car_that_is_no_text_stands_nowhere_else_in_its_record(house: Lakehouse, car: object) -> None:
    name = "-1234567.5" if isinstance(car, float) else "123456789"
    record = {"carChassis": car, "telemetryTimestamp": "2025-10-03T00:00:00Z", "event_id": f"{name}_1"}
    text = rewritten(house, record | {"note": f"car {name}", "again": car, "kept": [98765432, 1.5, True, "x:1"]})
    assert name not in text and json.loads(text)["kept"] == [98765432, 1.5, True, "x:1"]
    (row,) = rows_of(house, QUARANTINE)
    assert row["reason"] == "bad_type" and bare_search(house.lake.root, name) == []


def test_a_number_that_reads_like_a_car_stays_a_number(house: Lakehouse) -> None:
    text = rewritten(house, flat("123456789", "2025-10-03T00:00:00Z")[:-1] + ', "n": 123456789, "s": "123456789"}')
    assert json.loads(text)["n"] == 123456789 and json.loads(text)["s"] == pseudonyms().car("123456789")


@pytest.mark.parametrize("depth", [100, 600, 890])
def test_a_record_with_a_deep_value_is_rewritten_like_any_other(house: Lakehouse, depth: int) -> None:
    deep = '{"a":' * depth + '["' + CAR + '"]' + "}" * depth
    text = rewritten(house, GOOD[0][:-1] + ', "deep": ' + deep + "}")
    assert pseudonyms().open(text) is None and CAR not in text and pseudonyms().car(CAR) in text
    assert len(held(house)[SILVER]) == 2 and rows_of(house, QUARANTINE) == []


def test_a_column_that_becomes_personal_does_not_bring_clear_text(house: Lakehouse, small_folder: Path) -> None:
    contract = small_folder / "truck.yaml"
    plain = truck("event_timestamp: {path: at, required: true}")
    settings = house.settings.model_copy(update={"contracts": (contract,)})
    contract.write_text(plain)
    with lakehouse(small_folder / "truck", settings) as trucks:
        record = {"truck": {"vin": CAR}, "at": "2025-10-01T00:00:00Z", "driver": "Jane Doe"}
        put(trucks.lake.landing / "a.json", json.dumps(record))
        trucks.run()
    driver = "{name: driver, type: string, doc: who drives, personal: true, path: driver}"
    contract.write_text(plain + f"columns:\n  - {driver}\n")
    with lakehouse(small_folder / "truck", settings) as trucks:
        for tables in ((), (SILVER,)):
            left = step(trucks.rebuild(tables), SILVER)
            assert left.status == "left" and "driver (1 row)" in left.error and "--from archive" in left.error
        assert "Jane Doe" not in str(held(trucks))
        report = trucks.rebuild(everything=True, from_archive=True)
        assert report.status == "succeeded", report
        (row,) = held(trucks)[SILVER]
        assert row["driver"] == pseudonyms().of("driver", "Jane Doe")
        assert "Jane Doe" not in str(rows_of(trucks, BRONZE)) and trucks.verify().problems == ()


def test_a_pseudonym_is_known_again_and_tells_nothing() -> None:
    names = pseudonyms()
    one = names.car(CAR)
    assert names.car(one) == one and names.of("rental_customer_id", CAR) != one
    assert names.is_own(one) and not names.is_own(one[:-1] + ("0" if one[-1] != "0" else "1")) and not names.is_own(CAR)
    assert Pseudonyms(bytes.fromhex("17" * 32), load(())).car(CAR) != one
    sealed = names.seal(b'{"broken', "truncated_json", "the text ends")
    assert names.seal(b'{"broken', "truncated_json", "the text ends") == sealed
    assert names.open(sealed) == b'{"broken' and b"broken" not in sealed
    assert json.loads(sealed)["reason"] == "truncated_json"
    assert Pseudonyms(bytes.fromhex("17" * 32), load(())).open(sealed) is None
    assert names.file_name("/in/A/x.JSON.gz").endswith(".json.gz") and "x" not in names.uri("/in/A/x")[10:]
