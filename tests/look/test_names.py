from __future__ import annotations

import pytest

from carlake.contracts.load import load
from carlake.errors import NotFoundError
from carlake.look.names import old_columns, resolve_table, unknown_column, unknown_table
from carlake.rules.load import load_rules
from carlake.tables.declare import declare

DECLARED = declare(load().canonical, load_rules())
KNOWN = tuple(DECLARED)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        *[(name, name) for name in KNOWN],
        ("GOLD_Car_Current_State", "gold_car_current_state"),
        ("carlake.ops_runs", "ops_runs"),
        ("performance_alerts_log", "gold_performance_alerts_log"),
        ("performance_alerts_log_slim", "gold_performance_alerts_log"),
        ("gold_performance_alerts_log_slim", "gold_performance_alerts_log"),
        ("fuel_efficiency_monthly", "gold_fuel_efficiency_monthly"),
        ("gold_car_current_state_new", "gold_car_current_state"),
        ("car_current_state", "gold_car_current_state"),
        ("silver_car_telemetry_new", "silver_car_telemetry"),
        ("bronze", "bronze_car_data"),
        ("silver", "silver_car_telemetry"),
        ("quarantine", "quarantine_car_data"),
        ("alerts", "gold_performance_alerts_log"),
        ("current_state", "gold_car_current_state"),
        ("runs", "ops_runs"),
    ],
)
def test_a_name_that_means_one_table(said: str, meant: str) -> None:
    assert resolve_table(said, KNOWN) == meant


def test_a_name_of_several_tables_lists_them() -> None:
    with pytest.raises(NotFoundError) as error:
        resolve_table("gold", KNOWN)
    assert "gold_car_current_state, gold_fuel_efficiency_monthly or gold_performance_alerts_log" in error.value.advice


@pytest.mark.parametrize("name", ["gold_car_curent_state", "silvr_car_telemetry"])
def test_an_unknown_table_names_the_nearest_and_all(name: str) -> None:
    near = {"g": "gold_car_current_state", "s": "silver_car_telemetry"}[name[0]]
    with pytest.raises(NotFoundError, match=name) as error:
        resolve_table(name, KNOWN)
    assert f"Did you mean {near}?" in error.value.advice
    assert all(table in error.value.advice for table in KNOWN)


def test_nothing_like_a_table() -> None:
    with pytest.raises(NotFoundError) as error:
        resolve_table("", KNOWN)
    assert "Did you mean" not in error.value.advice and "ops_runs" in error.value.advice


def test_a_query_is_told_the_right_name_and_not_rewritten() -> None:
    assert (
        "The old lake called it so; here it is gold_performance_alerts_log."
        in unknown_table("performance_alerts_log", KNOWN).advice
    )
    assert "Did you mean silver_car_telemetry?" in unknown_table("silver", KNOWN).advice


def test_old_column_names_come_from_the_contracts() -> None:
    old = old_columns(load())
    assert old["currentmileage"] == ("current_mileage_km",)
    assert old["trip_data.trip_summary.data.tripmileage"] == ("trip_distance_km",)
    assert old["carinsurance_validuntil"] == ("insurance_valid_until",)
    assert len(old["extraction_timestamp"]) == 6
    assert "manufacturer" not in old


def test_an_unknown_column_names_the_nearest_of_the_querys_tables() -> None:
    state = [DECLARED["gold_car_current_state"]]

    def advice(name: str) -> str:
        return unknown_column(name, state, DECLARED, load()).advice

    assert advice("carChassis") == "The old lake called it so; here it is car_chassis."
    assert advice("insurence_status") == "Did you mean insurance_status?"
    assert advice("alert_type") == "gold_performance_alerts_log has it."
    assert advice("zzz").startswith("Columns: car_chassis, manufacturer,")
    # The old name of a column that none of the query's tables has is no help.
    assert "called it so" not in advice("tripMileage")
    assert (
        "carlake tables silver_car_telemetry"
        in unknown_column("zzz", [DECLARED["silver_car_telemetry"]], DECLARED, load()).advice
    )
