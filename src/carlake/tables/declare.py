"""All tables of a lake, in the order in which they are refreshed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from carlake.rules.rule import AlertRule
from carlake.tables import (
    bronze_car_data,
    gold_car_current_state,
    gold_fuel_efficiency_monthly,
    ops_forgotten,
    ops_runs,
)
from carlake.tables.gold_performance_alerts_log import alerts
from carlake.tables.quarantine_car_data import quarantine
from carlake.tables.silver_car_telemetry import LANDED, silver
from carlake.tables.table import Column, Table, shape

BRONZE, QUARANTINE, SILVER = "bronze_car_data", "quarantine_car_data", "silver_car_telemetry"
GOLD = ("gold_car_current_state", "gold_fuel_efficiency_monthly", "gold_performance_alerts_log")
ALERTS = GOLD[2]
OPS_RUNS, OPS_FORGOTTEN = "ops_runs", "ops_forgotten"


def declare(
    contracts: Mapping[str, str],
    rules: tuple[AlertRule, ...],
    extra: tuple[Column, ...] = (),
    silver_partition: Literal["month", "day"] = "month",
    max_record_bytes: int = 16 << 20,
    pseudonyms: str = "",
) -> dict[str, Table]:
    """Every table by its name, sources before what reads them.

    contracts   name -> canonical text of each contract, in order
    rules       the alert rules
    extra       the columns that contracts add to silver
    max_record_bytes  longer records are quarantined, so it decides what silver and quarantine hold
    pseudonyms  which key personal data is pseudonymised under; empty where it is kept in clear
    """
    judged = {f"contract {name}": text for name, text in contracts.items()}
    # Silver's ranges and types decide what is refused, so they are part of quarantine's definition, too.
    judged |= {"max_record_bytes": str(max_record_bytes), "fields": shape(LANDED)}
    own = {"pseudonyms": pseudonyms} if pseudonyms else {}
    judged |= own
    tables = (
        replace(bronze_car_data.TABLE, inputs=own),
        # Silver before quarantine: a record that a new contract accepts must reach silver before it leaves quarantine.
        silver(judged, extra, silver_partition),
        quarantine(judged),
        gold_car_current_state.TABLE,
        gold_fuel_efficiency_monthly.TABLE,
        alerts(rules),
        ops_runs.TABLE,
        ops_forgotten.TABLE,
    )
    return {table.name: table for table in tables}
