"""A forgotten car is gone from everywhere and stays out; every other car's rows are as they were."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from carlake.errors import NotFoundError, SettingsError
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.upkeep.erasure.search import KINDS, Needle, Place, Searched, search
from carlake.upkeep.erasure.short import is_untold
from lakes import (
    ALERTS,
    BRONZE,
    MODIFIED,
    QUARANTINE,
    SILVER,
    expected,
    heads,
    held,
    iceberg,
    lakehouse,
    nested,
    put,
    rows_of,
)

CAR, LIKE, OTHER = "WVWZZZ1JZXW000001", "WVWZZZ1JZXW0000012", "1FTFW1ET5DFC10312"
OWN = [
    nested(CAR, "e1", "2025-10-01T00:00:00Z", "2025-10-01T01:00:00Z", engine_temp_celsius=120, trip_distance_km=5),
    nested(CAR, "e1", "2025-10-01T00:00:00Z", "2025-10-01T02:00:00Z", engine_temp_celsius=130, trip_distance_km=5),
    nested(CAR, "e2", "2025-09-01T00:00:00Z", trip_distance_km=7, insurance_valid_until="2025-01-01"),
]
OTHERS = [
    nested(OTHER, "e1", "2025-10-01T00:00:00Z", "2025-10-01T01:00:00Z", engine_temp_celsius=120, trip_distance_km=5),
    nested(OTHER, "e3", "2025-09-03T00:00:00Z", trip_distance_km=7, trip_fuel_consumed_liters=1),
    nested(LIKE, "e4", "2025-10-04T00:00:00Z", current_mileage_km=120000),
]
BROKEN_OWN = '{"carChassis": "' + CAR + '", "event_id": '
BROKEN_OTHER = '{"carChassis": "' + OTHER + '", "event_id": '


@pytest.fixture
def house(small_folder: Path) -> Iterator[Lakehouse]:
    with lakehouse(small_folder / "lake") as opened:
        yield opened


def packed_parquet(car: str) -> bytes:
    table = io.BytesIO()
    rows = {"carChassis": [car, OTHER], "telemetryTimestamp": ["2025-10-07T00:00:00Z"] * 2}
    pq.write_table(pa.table(rows), table)
    return table.getvalue()


def landed_everywhere(landing: Path) -> None:
    """The car in every form, among others: plain, escaped, packed, CSV, Parquet, broken, not UTF-8, UTF-16, in names."""
    put(landing / f"export_{CAR}.json", OWN[0], OTHERS[0], BROKEN_OWN, BROKEN_OTHER)
    put(landing / "b.json", *OWN[1:], *OTHERS[1:])
    put(landing / CAR / "c.json.gz", gzip.compress("\n".join([OWN[0], OTHERS[0]]).encode()))
    put(landing / "d.json.zst", zstandard.compress(OWN[0].encode()))
    put(landing / "e.csv", f"carChassis,telemetryTimestamp\n{CAR},2025-10-05T00:00:00Z\n{OTHER},2025-10-05T00:00:00Z")
    put(landing / "f.json", OWN[0].replace(CAR, "".join(f"\\u{ord(letter):04x}" for letter in CAR)))
    put(landing / "g.parquet", packed_parquet(CAR))
    put(landing / "h.json", b'{"carChassis": "' + CAR.encode() + b'", "color": "\xff"}')
    put(landing / "i.json", OWN[0].encode("utf-16"))
    put(landing / "j.json.gz", gzip.compress((OWN[0] * 50).encode())[:-12])
    put(landing / "k.json", '{"no contract": "of ' + CAR + ', and so on"}', '{"no contract": "of others"}')


def bare_search(root: Path, name: str) -> list[str]:
    """Files that hold a name, found in another way than carlake's: everything unpacked and printed."""
    found = []
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        content = path.read_bytes()
        texts = [str(path.relative_to(root)), content.decode("latin-1")]
        if content[:2] == b"\x1f\x8b":
            texts.append(zlib.decompressobj(31).decompress(content).decode("latin-1"))
        if content[:4] == b"PAR1":
            texts.append(
                str(pq.read_table(io.BytesIO(content)).to_pylist())
                + str(pq.read_metadata(io.BytesIO(content)).to_dict())
            )
        if content[:4] == b"\x28\xb5\x2f\xfd":
            texts.append(zstandard.ZstdDecompressor().decompressobj().decompress(content).decode("latin-1"))
        texts += [
            base64.b64decode(wrapped).decode("latin-1")
            for text in list(texts)
            for wrapped in re.findall(r'"base64": ?"([^"]*)"', text)
        ]
        if any(text.replace(LIKE, "").find(name) >= 0 for text in texts):
            found.append(str(path.relative_to(root)))
    return found


def test_gone_from_everywhere_and_nothing_else_is(house: Lakehouse) -> None:
    landed_everywhere(house.lake.landing)
    assert house.run().status == "succeeded"
    put(house.lake.landing / "later.json", nested(CAR, "e9", "2025-10-09T00:00:00Z"), OTHERS[1])
    before = {table: [row for row in rows if row["car_chassis"] != CAR] for table, rows in held(house).items()}
    assert before != held(house)
    assert bare_search(house.lake.root, CAR)
    done = house.forget(CAR)
    assert (done.left, done.mentions, done.proved, done.ok) == ((), (), True, True)
    assert held(house) == before
    assert bare_search(house.lake.root, CAR) == []
    assert list(search(house.lake.root, Needle([CAR]), Searched())) == []
    assert any(search(house.lake.root, Needle([LIKE]), Searched())) and any(
        search(house.lake.root, Needle([OTHER]), Searched())
    )
    verified = house.verify()
    assert (verified.problems, verified.behind, verified.pending) == ((), (), 0)
    assert verified.records == verified.accepted + verified.quarantined + verified.duplicates + verified.forgotten
    # 12 in the objects before, one in `later`, and of j, which is cut short, 50 records and the stream itself.
    assert verified.forgotten == 64 and verified.quarantined == 2
    assert house.runs().column("trigger").to_pylist().count("forget") == 1
    for name in heads(house):
        table = iceberg(house, name)
        assert "carlake.bookmark" in table.current_snapshot().summary.additional_properties
        for snapshot in table.metadata.snapshots:
            rows = table.scan(snapshot_id=snapshot.snapshot_id).to_arrow().to_pylist()
            assert CAR not in str(rows).replace(LIKE, "")
        assert set(table.metadata.refs) == {"main"} or name == "ops_runs"


def test_records_that_come_again_are_refused_and_counted(house: Lakehouse) -> None:
    put(house.lake.landing / "a.json", *OWN, *OTHERS)
    house.run()
    assert house.forget(CAR).ok
    put(house.lake.landing / "a again.json", *OWN, *OTHERS)  # known content
    put(house.lake.landing / "b.json", *reversed(OWN), OTHERS[0])
    put(house.lake.landing / "c.json", OWN[0].replace(CAR, CAR[:-1] + "\\u0031"))
    put(
        house.lake.landing / "d.json",
        BROKEN_OWN,
        '{"no contract": "' + CAR + '"}',
        b'{"carChassis": "' + CAR.encode() + b'\xff"}',
    )
    report = house.run()
    assert report.status == "succeeded"
    assert (report.records, report.accepted, report.quarantined, report.forgotten) == (8, 0, 0, 7)
    verified = house.verify()
    assert (verified.problems, verified.forgotten) == ((), 10)
    # What is archived meanwhile is written anew, too.
    assert list(search(house.lake.root, Needle([CAR]), Searched())) == []
    assert sorted(path.name for path in house.lake.archive.glob("*/*/*")) == [
        "a again.json",
        "a.json",
        "b.json",
        "c.json",
        "d.json",
    ]


def test_a_car_that_the_lake_never_had(house: Lakehouse) -> None:
    put(house.lake.landing / "a.json", *OTHERS)
    house.run()
    before = heads(house), sorted(house.lake.root.rglob("*.*"))
    for name, hint in ((CAR, f"Did you mean {LIKE}?"), (OTHER[:-1] + "3", f"Did you mean {OTHER}?"), ("NOTHING", "To")):
        for _ in range(2):  # nor does the refusal itself leave its name in the lake
            for refusing in (house.plan_forget, house.forget):
                with pytest.raises(NotFoundError, match="has no car") as refused:
                    refusing(name)
                assert refused.value.advice.startswith(hint) and "--unknown" in refused.value.advice
    assert (heads(house), sorted(house.lake.root.rglob("*.*"))) == before
    assert not house.plan_forget(CAR, unknown=True).known
    done = house.forget(CAR, unknown=True)
    assert done.ok and not done.known and sum(table.rows for table in done.tables) == 0
    again = house.plan_forget(CAR)
    assert again.known and again.forgotten_before
    assert house.forget(CAR).forgotten_before
    put(house.lake.landing / "b.json", *OWN)
    assert house.run().forgotten == 3
    with pytest.raises(NotFoundError, match="no car"):
        house.forget(" ")


def test_a_car_that_only_files_name_is_known(house: Lakehouse) -> None:
    """In landing, or in the archive after its rows were removed, or in a broken record that no table has a car of."""
    put(house.lake.landing / "a.json", *OTHERS)
    house.run()
    put(house.lake.landing / "b.json.gz", gzip.compress(OWN[0].encode()))
    plan = house.plan_forget(CAR)
    assert plan.known and not plan.forgotten_before and plan.waiting == 1
    (house.lake.landing / "b.json.gz").unlink()
    put(house.lake.landing / "c.json", BROKEN_OWN)
    house.run()
    plan = house.plan_forget(CAR)
    assert plan.known and not plan.forgotten_before
    done = house.forget(CAR)
    assert done.ok and done.known and not done.forgotten_before


def test_an_empty_lake(house: Lakehouse) -> None:
    assert house.forget(CAR, unknown=True).ok
    put(house.lake.landing / "a.json", OWN[0], OTHERS[0])
    report = house.run()
    assert (report.status, report.accepted, report.forgotten) == ("succeeded", 1, 1)
    assert house.verify().ok


def test_records_of_other_cars_that_name_it_stay_and_are_said(house: Lakehouse) -> None:
    mention = json.dumps(json.loads(OTHERS[0]) | {"towed": CAR})
    put(house.lake.landing / "a.json", OWN[0], mention)
    house.run()
    before = [row for row in held(house)[SILVER] if row["car_chassis"] == OTHER]
    done = house.forget(CAR)
    assert done.ok and done.mentions
    assert held(house)[SILVER] == before
    assert house.verify().ok
    assert {Path(place.path).name for place in done.mentions if place.path.startswith(str(house.lake.archive))} == {
        "a.json"
    }


def test_a_rewritten_object_lands_as_the_rows_that_bronze_has(house: Lakehouse, tmp_path: Path) -> None:
    """So that the archive is still what bronze can be made from."""
    landed_everywhere(house.lake.landing)
    house.run()
    assert house.forget(CAR).ok
    columns = ("source_id", "source_row", "record_hash", "raw", "raw_bytes", "car_chassis", "event_id")
    quarantined = ("source_row", "reason", "detail", "raw")
    with lakehouse(tmp_path / "again") as again:
        again.run([str(house.lake.archive)])
        for name, kept in ((BRONZE, columns), (QUARANTINE, quarantined)):
            one, two = (
                sorted(map(repr, iceberg(each, name).scan(selected_fields=kept).to_arrow().select(kept).to_pylist()))
                for each in (house, again)
            )
            assert one == two
        assert {table: len(rows) for table, rows in held(again).items()} == {
            t: len(rows) for t, rows in held(house).items()
        }


def test_a_table_that_is_left_alone_loses_the_car_too(small_folder: Path) -> None:
    rules = small_folder / "rules.yaml"
    with lakehouse(small_folder / "lake") as house:
        put(house.lake.landing / "a.json", *OWN, *OTHERS)
        house.run()
    rules.write_text("rules:\n  OVERHEAT_ENGINE:\n    above: {WARNING: 85, CRITICAL: 130}\n")
    with lakehouse(small_folder / "lake", Settings(threads=1, rules=(rules,))) as house:
        done = house.forget(CAR)
        assert done.ok
        report = house.rebuild()
        assert report.status == "succeeded", report
        assert house.verify().ok
        assert {row["car_chassis"] for row in held(house)[ALERTS]} == {OTHER, LIKE}


def test_the_key_is_the_lakes_own_and_no_other_will_do(house: Lakehouse) -> None:
    put(house.lake.landing / "a.json", *OWN, *OTHERS)
    house.run()
    assert house.forget(CAR).ok
    key = house.lake.tombstone_key
    assert key.stat().st_mode & 0o777 == 0o600
    kept = key.read_text()
    put(house.lake.landing / "b.json", OWN[0], OTHERS[0])
    for content in ("", "00" * 32):
        key.write_text(content)
        with lakehouse(house.lake.root) as other:
            report = other.run()
            assert report.status == "failed" and "tombstone" in report.steps[0].error
            assert held(other) == held(house)
            with pytest.raises(SettingsError, match="tombstone"):
                other.forget(OTHER)
    key.write_text(kept)
    with lakehouse(house.lake.root) as other:
        assert other.run().forgotten == 1
    assert CAR not in kept and CAR not in str(iceberg(house, "ops_forgotten").scan().to_arrow().to_pylist())


def test_objects_that_stay_in_landing(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake", Settings(threads=1, after_landing="leave")) as house:
        path = put(house.lake.landing / "a.json", *OWN, *OTHERS)
        house.run()
        before = expected([(text, MODIFIED) for text in OTHERS])
        done = house.forget(CAR)
        assert done.ok and path.exists() and str(path) in done.objects
        assert held(house) == before
        house.run()
        assert held(house) == before and house.verify().ok


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_a_record_in_utf_16_without_a_mark_of_it(house: Lakehouse, codec: str) -> None:
    """Its bytes are UTF-8, too, so that bronze and quarantine have it as text with NULs in it."""
    rest = ", ".join(f'"{number}": {number * number}' for number in range(4000))  # so much that Parquet packs it
    put(house.lake.landing / "a.json", f"{BROKEN_OWN}1, {rest}".encode(codec))
    put(house.lake.landing / "b.json", f"{BROKEN_OTHER}1, {rest}".encode(codec))
    house.run()
    wide = Needle([CAR])
    for table in (BRONZE, QUARANTINE):
        found = list(search(house.lake.root / "warehouse" / "carlake" / table, wide, Searched()))
        assert "parquet value" in {place.kind for place in found}
    done = house.forget(CAR)
    assert done.ok and done.tables[0].rows == 1
    assert list(search(house.lake.root, wide, Searched())) == []
    assert [CAR.encode(codec).decode() in (row["raw"] or "") for row in rows_of(house, BRONZE)] == [False, False]
    assert len(rows_of(house, QUARANTINE)) == 1 and house.verify().ok


def test_what_is_left_is_said_and_is_no_success(house: Lakehouse) -> None:
    put(house.lake.landing / "a.json", *OTHERS)
    house.run()
    stray = put(house.lake.landing / ".half.tmp", OWN[0])
    done = house.forget(CAR)
    assert done.proved and not done.ok
    assert [place.path for place in done.left] == [str(stray)]


def test_logs_are_cleaned_in_place(house: Lakehouse) -> None:
    put(house.lake.landing / "a.json", *OTHERS)
    house.run()
    log = house.lake.lock.parent / "logs" / "carlake.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("a") as file:
        file.write(f'{{"object": "landing/{CAR}.json"}}\n')
    size = log.stat().st_size
    done = house.forget(CAR)
    assert done.ok and str(log) in done.logs
    assert CAR not in log.read_text() and log.stat().st_size >= size


def test_what_runs_say_of_it_is_written_over(house: Lakehouse) -> None:
    put(house.lake.landing / "a.json", *OTHERS)
    gone = house.lake.landing / f"{CAR}.json"
    gone.symlink_to("nowhere")
    assert house.run().status == "partial"
    gone.unlink()
    house.write_down_runs()
    assert CAR in str(house.query("SELECT error FROM ops_runs").to_pylist())
    assert house.forget(CAR).ok
    errors = str(house.query("SELECT error FROM ops_runs").to_pylist())
    assert CAR not in errors and "forgotten-" in errors


def test_a_search_that_does_not_find_the_control_everywhere_proves_nothing(
    house: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    from carlake.upkeep.erasure import erase

    monkeypatch.setattr(erase, "control", lambda house: set(KINDS) - {"avro"})
    done = house.forget(CAR, unknown=True)
    assert not done.proved and not done.ok and not done.left
    for kind in KINDS:
        assert not replace(done, control=tuple(each for each in KINDS if each != kind)).ok
    assert replace(done, control=KINDS).ok


def test_a_csv_row_is_of_the_car_that_its_contract_reads(small_folder: Path) -> None:
    (small_folder / "mine.yaml").write_text(
        "contract: mine\nversion: 1\ndescription: of my own\nrecognised_by:\n  - [truckat]\n"
        "fields:\n  car_chassis: {paths: [v, w], required: true}\n  event_timestamp: {path: truckat, required: true}\n"
    )
    settings = Settings(threads=1, contracts=(small_folder / "mine.yaml",))
    with lakehouse(small_folder / "lake", settings) as house:
        assert house.forget("CARFORGET1", unknown=True).ok
        at = "2025-10-01T00:00:00Z"
        put(
            house.lake.landing / "a.csv",
            f'v,w,truckat,note\n"",BBBBBB1,{at},met CARFORGET1\n"",CARFORGET1,{at},met BBBBBB1\n',
        )
        report = house.run()
        assert (report.accepted, report.forgotten) == (1, 1)
        assert [row["car_chassis"] for row in held(house)[SILVER]] == ["BBBBBB1"]


@pytest.mark.parametrize(
    "car", ["123e4567-e89b-42d3-a456-426614174000", "MY CAR 1", "a.b-c:d_e.f-g:h", "CAR WITH SPACE "], ids=repr
)
def test_a_name_of_many_pieces_or_with_spaces_stays_out(house: Lakehouse, car: str) -> None:
    put(house.lake.landing / "a.json", nested(car, "e1", "2025-10-01T00:00:00Z"), OTHERS[0])
    put(house.lake.landing / "a.csv", f"carChassis,telemetryTimestamp\n{car},2025-10-05T00:00:00Z\n")
    house.run()
    assert house.forget(car).ok and len(held(house)[SILVER]) == 1
    put(house.lake.landing / f"{car}.json", OTHERS[1])
    put(house.lake.landing / car / f"{car}.json.gz", gzip.compress(OTHERS[2].encode()))
    row = f"{OTHER},2025-10-05T00:00:00Z\n{car},2025-10-05T00:00:00Z,and more\n"
    put(house.lake.landing / "b.csv", f"carChassis,telemetryTimestamp\n{row}")
    put(house.lake.landing / "c.json", '{"no contract": "' + car + '"}')
    report = house.run()
    assert (report.accepted, report.forgotten, report.quarantined) == (3, 2, 0)
    house.write_down_runs()
    house.release_engine()
    left = [path for path in bare_search(house.lake.root, car) if not path.startswith("landing/")]
    assert left == []


@pytest.mark.parametrize("car", ["22", "2025", "2026", "1"])
def test_a_short_name_is_forgotten_though_dates_and_counts_have_it_too(house: Lakehouse, car: str) -> None:
    put(house.lake.landing / "a.json", nested(car, "e1", "2025-10-01T00:00:00Z"), *OTHERS)
    put(house.lake.landing / f"of {car}.json", OTHERS[2].replace("e4", "e5"), "{")
    house.run()
    logs = house.lake.lock.with_name("logs") / "carlake.log"
    with logs.open("a") as file:
        file.write(
            json.dumps({"time": "2026-11-22T01:00:00Z", "run_id": "1-22", "at": f"of {car}", "n": int(car)}) + "\n"
        )
    before = {json.loads(line)["time"] for line in logs.read_text().splitlines()}
    done = house.forget(car)
    assert done.ok and done.untold
    assert {row["car_chassis"] for row in held(house)[SILVER]} == {OTHER, LIKE}
    lines = [json.loads(line) for line in logs.read_text().splitlines()]
    assert before <= {line["time"] for line in lines}
    (own,) = (line for line in lines if "at" in line)
    assert own == {"time": "2026-11-22T01:00:00Z", "run_id": "1-22", "at": f"of {'#' * len(car)}", "n": int(car)}
    assert not any(f"of {car}" in row["source_uri"] for row in rows_of(house, BRONZE)) and house.verify().ok


def test_where_a_short_name_can_be_told(house: Lakehouse) -> None:
    put(house.lake.landing / "a.json", *OTHERS)
    house.run()
    with pytest.raises(NotFoundError):
        house.forget("20")
    (archived,) = house.lake.archive.glob("*/*/a.json")
    folders = [str(house.lake.landing)]
    metadata = next(house.lake.warehouse.rglob("*.metadata.json"))
    for name, path, kind, untold in (
        ("20", metadata, "text", True),
        ("20", archived.parents[1], "name", True),
        ("20", archived, "text", False),
        ("20", archived.with_name("of 20.json"), "name", False),
        ("20", house.lake.landing / "20.json", "name", False),
        ("20", metadata, "parquet value", False),
        (CAR, metadata, "text", False),
    ):
        assert is_untold(Place(str(path), kind), [name], folders) is untold, (name, path, kind)  # type: ignore[arg-type]
    assert not is_untold(Place(str(metadata), "text"), ["20", "bronze_car_data"], folders)


def test_the_needle_is_a_whole_word_in_any_writing() -> None:
    needle = Needle(['A/"1é'])
    for text in (
        'A/"1é',
        'x A/"1é_2',
        json.dumps('A/"1é'),
        json.dumps('A/"1é', ensure_ascii=False),
        '"A\\/\\"1\\u00e9"',
        "A%2F%221%C3%A9",
    ):
        assert needle.in_text(text), text
        assert needle.in_bytes(text.encode()) or "\\u00e9" in text, text
    for text in ('A/"1éb', 'xA/"1é', "A/1"):
        assert not needle.in_text(text) and not needle.in_bytes(text.encode())
    for codec in ("utf-16-le", "utf-16-be"):
        assert Needle(["AB1"]).in_bytes("x AB1,".encode(codec)) and not Needle(["AB1"]).in_bytes("AB12".encode(codec))
    assert needle.masked('{"a": "A/\\"1é"}'.encode()) == b'{"a": "#######"}'


def test_the_command_refuses_a_car_that_the_lake_has_not(house: Lakehouse) -> None:
    from tests.cli.command_line import say

    put(house.lake.landing / "a.json", *OTHERS)
    house.run()
    at = ("--lake", house.lake.root)
    before = heads(house)
    for more in (("--yes",), ("--dry-run",)):
        said = say("forget", OTHER[:-1] + "3", *more, *at)
        assert said.code == 2 and OTHER in said.err and "--unknown" in said.err
    assert heads(house) == before
    plan = say("forget", OTHER, "--dry-run", "--json", *at).json
    assert plan["known"] and not plan["forgotten_before"]
    assert say("forget", CAR, "--yes", "--unknown", *at).code == 0
    assert say("forget", CAR, "--yes", "--json", *at).json["forgotten_before"]


def test_the_command_names_what_cannot_be_looked_into(house: Lakehouse) -> None:
    """The car may be in what nobody can unpack, and whoever must be sure of it has to know where to look."""
    from tests.cli.command_line import say

    put(house.lake.landing / "a.json", *OTHERS)
    broken = bytearray(gzip.compress(os.urandom(5000)))
    broken[3000] ^= 255
    (house.lake.landing / "b.json.gz").write_bytes(broken)
    house.run()
    done = say("forget", CAR, "--yes", "--unknown", "--lake", house.lake.root)
    assert done.code == 0
    assert "cannot be decoded to the end" in done.out and "b.json.gz" in done.out


def test_halves_of_copies_that_were_broken_off_go(house: Lakehouse) -> None:
    """Of whatever cars, and however new: nobody else is at work in the archive while a car is forgotten."""
    put(house.lake.landing / "a.json", *OWN, *OTHERS)
    house.run()
    folder = sorted(house.lake.archive.glob("*/*"))[0]
    (house.lake.archive / ".rewritten").mkdir(exist_ok=True)
    halves = [folder / ".0123456789abcdef.part", house.lake.archive / ".rewritten" / ".0123456789abcdef.tmp"]
    for half in halves:
        half.write_text(OTHERS[0][:100])
    assert house.forget(CAR).ok
    assert [half for half in halves if half.exists()] == []
