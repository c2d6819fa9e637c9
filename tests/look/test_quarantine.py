from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from carlake.errors import CarlakeError, NotFoundError
from carlake.lakehouse import Lakehouse
from carlake.look.quarantine import export

from .conftest import FIRST, NOON, TOO_HOT, TRUNCATED, Built, put


def reasons_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def test_listed_with_where_each_was_landed_from(built: Built) -> None:
    rows = built.house.quarantine()
    assert rows.column_names == [
        "quarantined_at",
        "reason",
        "detail",
        "source_uri",
        "source_row",
        "event_id",
        "car_chassis",
        "contract",
        "raw",
    ]
    found = {(Path(row["source_uri"]).name, row["source_row"]): row["reason"] for row in rows.to_pylist()}
    assert found == {
        ("two.ndjson", 3): "out_of_range",
        ("two.ndjson", 4): "truncated_json",
        ("bytes.ndjson", 0): "not_utf8",
        ("cells.csv", 0): "out_of_range",
        ("cells.csv", 1): "bad_csv_row",
    }
    only = built.house.quarantine(reason="out_of_range", limit=1).to_pylist()
    assert [row["reason"] for row in only] == ["out_of_range"]
    with pytest.raises(NotFoundError, match="'out_of_rang'") as error:
        built.house.quarantine(reason="out_of_rang")
    assert "Did you mean out_of_range?" in error.value.advice


def test_by_reason_with_an_example(built: Built) -> None:
    rows = built.house.quarantine_reasons().to_pylist()
    assert [(row["reason"], row["records"]) for row in rows] == [
        ("out_of_range", 2),
        ("bad_csv_row", 1),
        ("not_utf8", 1),
        ("truncated_json", 1),
    ]
    assert rows[0]["source_uri"].endswith("cells.csv") and rows[0]["source_row"] == 0
    assert rows[0]["first"] <= rows[0]["last"]


def test_an_empty_quarantine(small: Callable[..., Lakehouse], tmp_path: Path) -> None:
    with small() as house:
        assert house.quarantine().num_rows == house.quarantine_reasons().num_rows == 0
        (sidecar,) = export(house, tmp_path / "out")
        assert reasons_of(sidecar) == []
        with pytest.raises(NotFoundError, match="not_json"):
            export(house, tmp_path / "out2", reason="not_json")


def test_exported_verbatim_by_object_with_the_reasons_beside(built: Built, tmp_path: Path) -> None:
    files = export(built.house, tmp_path / "out.v2")
    assert sorted(path.name for path in files) == [
        "_reasons.csv",
        "bytes.ndjson.0.bin",
        "cells.csv.1.csv",
        "cells.csv.ndjson",
        "two.ndjson",
    ]
    assert (tmp_path / "out.v2" / "two.ndjson").read_text() == f"{TOO_HOT}\n{TRUNCATED}\n"
    assert (tmp_path / "out.v2" / "bytes.ndjson.0.bin").read_bytes() == b'{"event_id": "e5", "carChassis": "CAR-\xff"}'
    assert "CAR-C,x,1,2" in (tmp_path / "out.v2" / "cells.csv.1.csv").read_text()
    told = {row["file"]: (row["line"], row["source_row"], row["reason"]) for row in reasons_of(files[-1])}
    assert told["two.ndjson"] == ("2", "4", "truncated_json")
    assert told["bytes.ndjson.0.bin"] == ("", "0", "not_utf8")
    assert all(row["source_uri"].startswith(str(built.fed)) for row in reasons_of(files[-1]))


def test_exported_to_one_file(built: Built, tmp_path: Path) -> None:
    files = export(built.house, tmp_path / "bad.ndjson", reason="out_of_range")
    assert [path.name for path in files] == ["bad.ndjson", "_bad.ndjson_reasons.csv"]
    text = files[0].read_text()
    assert TOO_HOT in text and text.count("\n") == 2
    assert [row["line"] for row in reasons_of(files[1])] == ["1", "2"]


def test_nothing_is_overwritten(built: Built, tmp_path: Path) -> None:
    mine = put(tmp_path / "mine.ndjson", "mine", NOON)
    for target in (mine, tmp_path):
        with pytest.raises(CarlakeError, match="nothing was written"):
            export(built.house, target)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.ndjson"] and mine.read_text() == "mine"


def test_objects_of_one_name_do_not_meet_and_long_names_fit(small: Callable[..., Lakehouse], tmp_path: Path) -> None:
    with small() as house:
        put(tmp_path / "a" / "x.json", '{"n": 1}', NOON)
        put(tmp_path / "b" / "x.json", '{"n": 2}', NOON)
        put(tmp_path / "c" / f"{'x' * 250}.json", b'{"n": "\xff"}', NOON)
        house.run([str(tmp_path / name) for name in "abc"])
        files = export(house, tmp_path / "out")
        assert {path.read_bytes() for path in files[:-1]} == {b'{"n": 1}\n', b'{"n": 2}\n', b'{"n": "\xff"}'}
        assert {"x.json", "x~2.json"} < {path.name for path in files}


def test_a_repaired_export_is_simply_landed_again(small: Callable[..., Lakehouse], tmp_path: Path) -> None:
    with small("lake", FIRST, TOO_HOT, TRUNCATED) as house:
        files = export(house, tmp_path / "out", reason="out_of_range")
        repaired = files[0].read_text().replace("900.0", "90.0")
        files[0].write_text(repaired)
        report = house.run([str(tmp_path / "out")])
        # The list of reasons beside it is passed over.
        assert (report.status, report.files, report.accepted, report.quarantined) == ("succeeded", 1, 1, 0)
        assert house.query("SELECT event_id FROM silver_car_telemetry ORDER BY 1")["event_id"].to_pylist() == [
            "e1",
            "e3",
        ]


def test_a_csv_row_can_be_repaired_as_the_json_it_is_in_bronze(small: Callable[..., Lakehouse], tmp_path: Path) -> None:
    with small() as house:
        put(
            tmp_path / "cells.csv",
            "carChassis,telemetryTimestamp,fuelAvailableLiters\nCAR-C,2025-11-05T07:00:00Z,-1\n",
            NOON,
        )
        house.run([str(tmp_path / "cells.csv")])
        path = export(house, tmp_path / "out")[0]
        path.write_text(path.read_text().replace('"-1"', '"31.5"'))
        house.run([str(path)])
        fuel = house.query("SELECT fuel_available_liters AS f FROM gold_car_current_state WHERE car_chassis = 'CAR-C'")
        assert fuel["f"].to_pylist() == [31.5]
