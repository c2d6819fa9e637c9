"""Landed paths that no contract names, and how a sample would fare."""

from __future__ import annotations

import json

import pytest

from carlake.contracts.drift import Drift, Outcome, check, drift
from carlake.contracts.load import load
from contracts.shapes import SHAPES, as_csv, changed, fresh, text

CONTRACTS = load()


@pytest.mark.parametrize("csv", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_the_contract_names_is_no_drift(shape: str, csv: bool) -> None:
    record = as_csv(fresh(shape)) if csv else fresh(shape)
    assert drift([text(record)], CONTRACTS) == []


def test_unnamed_paths_are_counted_with_their_first_value() -> None:
    extra = {"speed": 5, "wheels": [{"wear": 1, "x.y": None}, {"wear": 2}], "empty": {}, "tags": ["a", "b"]}
    raws = [
        text({**fresh("nested"), "extra": extra}),
        text({**fresh("nested"), "extra": {"speed": 6}}),
        text(changed("metrics", "metrics.gear", "R")),
        text(changed("nested", "trip_data.trip_summary", None)),
        text(changed("nested", "trip_data.trip_summary", {})),
        "not json",
        "[1]",
        '{"unknown":"shape"}',
    ]
    assert drift(raws, CONTRACTS) == [
        Drift("extra.speed", 2, "5", "car_event"),
        Drift("extra.empty", 1, "{}", "car_event"),
        Drift("extra.tags[]", 1, '"b"', "car_event"),
        Drift("extra.wheels[].wear", 1, "2", "car_event"),
        Drift("extra.wheels[].x\\.y", 1, "null", "car_event"),
        Drift("metrics.gear", 1, '"R"', "car_metrics"),
    ]


def test_a_sample_is_told_how_it_would_fare() -> None:
    late = json.dumps(changed("nested", "event_primary_timestamp", "2025-11-04"))
    records = [
        (text(fresh("nested")), None, None),
        (late, None, None),
        ("{}", None, None),
        (late, None, None),
        (None, "not_utf8", "byte 3"),
        (text(fresh("bare")), None, None),
    ]
    assert check(records, CONTRACTS) == [
        Outcome("car_event", "", 1, ""),
        Outcome("car_metrics", "", 1, ""),
        Outcome(
            "car_event",
            "bad_type",
            2,
            'event_primary_timestamp: "2025-11-04": must be a time with its zone: the contract declares none',
        ),
        Outcome(None, "not_utf8", 1, "byte 3"),
        Outcome(None, "unknown_shape", 1, "no contract recognises it: it has no key"),
    ]
