"""contracts and quarantine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.cli.command_line import event

SHAPE = """contract: bike
version: 1
description: Bikes.
recognised_by: [[bike]]
fields:
  car_chassis: bike
  event_primary_timestamp: at
  event_timestamp: at
  current_mileage_km: km
"""


def test_contracts_are_listed_in_order(carlake: Callable, lake: Path) -> None:
    said = carlake("contracts", "--lake", lake)
    assert said.code == 0 and said.out == carlake("contracts", "list", "--lake", lake).out
    document = carlake("contracts", "list", "--lake", lake, "--json").json
    assert [contract["contract"] for contract in document] == ["car_event", "car_metrics", "car_snapshot"]
    assert all(contract["shipped"] for contract in document)


def test_contracts_need_no_lake(carlake: Callable, tmp_path: Path) -> None:
    (tmp_path / "bike.yaml").write_text(SHAPE)
    (tmp_path / "s.toml").write_text('contracts = ["bike.yaml"]\n')
    at = ("--lake", tmp_path / "none", "--settings", tmp_path / "s.toml", "--json")
    assert [contract["contract"] for contract in carlake("contracts", *at).json][-1] == "bike"
    shown = carlake("contracts", "show", "bike", *at).json
    assert shown["shipped"] is False and shown["recognised_by"] == [["bike"]]
    assert not (tmp_path / "none").exists()


def test_show_says_where_each_column_lies(carlake: Callable, lake: Path) -> None:
    said = carlake("contracts", "show", "car_event", "--lake", lake)
    assert said.code == 0
    lines = said.out.splitlines()
    block = lines.index("  trip_data.trip_summary.data")
    distance = next(line for line in lines[block:] if "trip_distance_km" in line)
    assert distance.split()[:2] == ["trip_distance_km", "double"] and distance.split()[-2:] == ["km", "tripMileage"]
    fields = carlake("contracts", "show", "car_event", "--lake", lake, "--json").json["fields"]
    found = next(field for field in fields if field["column"] == "trip_distance_km")
    assert found["paths"] == ["trip_data.trip_summary.data.tripMileage"] and found["minimum"] == 0
    oil = next(line for line in carlake("contracts", "show", "car_metrics").out.splitlines() if "oil_pressure" in line)
    assert oil.split("[psi]")[1].split() == ["oilPressurePsi,", "or", "at", "the", "top"]


def test_check_says_how_a_sample_would_fare(carlake: Callable, lake: Path, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.ndjson"
    good.write_text(json.dumps(event(1)))
    bad.write_text(json.dumps(event(2)) + "\n" + json.dumps({**event(3), "year": "new"}) + "\n{broken\n")
    said = carlake("contracts", "check", good, "--lake", lake)
    assert said.code == 0 and "1 record: 1 accepted" in said.out
    said = carlake("contracts", "check", good, bad, "--lake", lake, "--json")
    assert said.code == 1
    assert (said.json["accepted"], said.json["quarantined"]) == (2, 2)
    outcomes = {(outcome["contract"], outcome["reason"]): outcome["count"] for outcome in said.json["outcomes"]}
    assert outcomes[("car_metrics", "")] == 2 and outcomes[("car_metrics", "bad_type")] == 1
    assert "would be quarantined" in carlake("contracts", "check", bad, "--lake", lake).out
    rows = carlake("query", "SELECT count(*) AS n FROM bronze_car_data", "--lake", lake, "--json").json
    assert rows == [{"n": 72}], "checking lands nothing"


def test_drift_names_what_no_contract_reads(carlake: Callable, fresh: Path) -> None:
    (fresh / "landing" / "a.json").write_text(json.dumps({**event(1), "note": "hi", "extra": {"deep": 1}}))
    (fresh / "landing" / "b.json").write_text(json.dumps({**event(2), "note": "ho"}))
    assert carlake("run", "--lake", fresh).code == 0
    paths = carlake("contracts", "drift", "--lake", fresh, "--json").json
    assert paths["records"] == 2
    assert [(path["path"], path["count"], path["contract"]) for path in paths["paths"]] == [
        ("note", 2, "car_metrics"),
        ("extra.deep", 1, "car_metrics"),
    ]
    assert "extra.deep" in carlake("contracts", "drift", "--lake", fresh).out
    assert carlake("contracts", "drift", "--limit", 1, "--lake", fresh, "--json").json["records"] == 1


def test_schemas_are_json_schemas(carlake: Callable) -> None:
    contract, rules = carlake("contracts", "schema").json, carlake("contracts", "schema", "--rules").json
    assert contract["title"] == "carlake contract" and rules["title"] == "carlake alert rules"


def test_a_new_shape_leaves_quarantine_by_rebuild(carlake: Callable, fresh: Path, tmp_path: Path) -> None:
    (fresh / "landing" / "bike.json").write_text('{"bike": "B1", "at": "2026-03-01T10:00:00Z", "km": 7}')
    assert carlake("run", "--lake", fresh, "--json").json["quarantined"] == 1
    (tmp_path / "bike.yaml").write_text(SHAPE)
    (tmp_path / "s.toml").write_text('contracts = ["bike.yaml"]\n')
    at = ("--lake", fresh, "--settings", tmp_path / "s.toml")
    assert carlake("rebuild", *at).code == 0
    rows = carlake("query", "SELECT car_chassis, current_mileage_km FROM gold_car_current_state", "--json", *at).json
    assert rows == [{"car_chassis": "B1", "current_mileage_km": 7.0}]
    assert "Quarantine is empty" in carlake("quarantine", *at).out


def test_quarantine_shows_reasons_and_the_newest(carlake: Callable, lake: Path) -> None:
    said = carlake("quarantine", "--lake", lake)
    assert said.code == 0 and "6 records in quarantine" in said.out and "Newest" in said.out
    document = carlake("quarantine", "--lake", lake, "--json").json
    assert document["quarantined"] == sum(row["records"] for row in document["reasons"]) == 6
    assert len(document["newest"]) == 5
    reasons = carlake("quarantine", "reasons", "--lake", lake, "--json").json
    assert reasons == document["reasons"]
    first = reasons[0]["reason"]
    assert first in carlake("quarantine", "reasons", "--lake", lake).out


def test_quarantine_lists_one_reason_with_its_record(carlake: Callable, lake: Path) -> None:
    reason = carlake("quarantine", "reasons", "--lake", lake, "--json").json[0]
    rows = carlake("quarantine", "list", "--reason", reason["reason"], "--lake", lake, "--json").json
    assert len(rows) == reason["records"] and all(row["reason"] == reason["reason"] for row in rows)
    shown = carlake("quarantine", "list", "--limit", 1, "--lake", lake).out
    assert shown.count(" row ") == 1


def test_what_is_exported_repaired_and_landed_leaves_quarantine(carlake: Callable, fresh: Path, tmp_path: Path) -> None:
    (fresh / "landing" / "a.json").write_text(json.dumps({**event(1), "year": "new"}))
    assert carlake("run", "--lake", fresh, "--json").json["quarantined"] == 1
    out = tmp_path / "repair"
    said = carlake("quarantine", "export", out, "--lake", fresh)
    assert said.code == 0 and str(out) in said.out and f"carlake run {out} --lake {fresh}" in said.out
    (record,) = [path for path in out.iterdir() if not path.name.startswith("_")]
    record.write_text(record.read_text().replace('"new"', "2020"))
    ran = carlake("run", out, "--lake", fresh, "--json").json
    assert (ran["accepted"], ran["quarantined"]) == (1, 0)
    again = carlake("quarantine", "export", out, "--lake", fresh)
    assert again.code == 1 and "not empty" in again.err


def test_connect_prints_what_to_paste(carlake: Callable, lake: Path) -> None:
    for tool in ("pyiceberg", "duckdb", "polars", "spark", "trino"):
        said = carlake("connect", tool, "--lake", lake)
        assert said.code == 0 and str(lake) in said.out
        document = carlake("connect", tool, "--lake", lake, "--json").json
        assert (document["tool"], document["text"]) == (tool, said.out)
        assert (document["catalog"], document["store"]) == ("sqlite", "file")
