"""silver_car_telemetry: one row per car and event id, the newest version wins, whatever order events arrived in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from carlake.tables.table import Column, ColumnType, Table, shape

_TIME: ColumnType = "timestamptz"

# No measurement is past this: it is a broken sensor, and a month's sum must fit DECIMAL(18,3).
_MOST = 1e9

# What a contract may fill, in the order of the table.
LANDED = (
    Column(
        "event_id", "string", "the event's own id, else car_chassis || '_' || event_primary_timestamp", required=True
    ),
    Column("car_chassis", "string", "the car: its chassis number", personal=True, required=True),
    Column("event_primary_timestamp", "string", "time of the event, the text as landed", required=True),
    Column("event_timestamp", _TIME, "time of the event (UTC)", required=True),
    Column("processing_timestamp", _TIME, "when the source system made this version of the event"),
    Column(
        "event_version",
        _TIME,
        "what newest means: processing_timestamp, else the object's modification time",
        required=True,
    ),
    Column("manufacturer", "string", "who made the car"),
    Column("model", "string", "the car's model"),
    Column("year", "int", "year the car was built", unit="a", minimum=1886, maximum=2100),
    Column("model_year", "int", "model year", unit="a", minimum=1886, maximum=2100),
    Column("gas_type", "string", "what the car runs on"),
    Column(
        "fuel_capacity_liters",
        "double",
        "size of the tank; 0 for a car without one",
        unit="L",
        minimum=0,
        maximum=_MOST,
    ),
    Column("color", "string", "the car's color"),
    Column("insurance_provider", "string", "who insures the car"),
    Column("insurance_policy_number", "string", "number of the insurance policy", personal=True),
    Column("insurance_valid_until", "date", "last day on which the insurance is valid"),
    Column("last_service_date", "date", "day of the last service"),
    Column("last_service_mileage", "double", "mileage at the last service", unit="km", minimum=0, maximum=_MOST),
    Column("oil_life_percentage", "double", "oil life left", unit="%", minimum=0, maximum=100),
    Column("rental_agreement_id", "string", "rental agreement in force"),
    Column("rental_customer_id", "string", "customer of that agreement", personal=True),
    Column("rental_start_date", _TIME, "start of that agreement"),
    Column("trip_start_timestamp", _TIME, "start of the trip"),
    Column("trip_end_timestamp", _TIME, "end of the trip"),
    Column("trip_distance_km", "double", "distance driven on the trip", unit="km", minimum=0, maximum=_MOST),
    Column("trip_duration_minutes", "double", "duration of the trip", unit="min", minimum=0, maximum=_MOST),
    Column("trip_fuel_consumed_liters", "double", "fuel burnt on the trip", unit="L", minimum=0, maximum=_MOST),
    Column("trip_max_speed_kmh", "double", "highest speed on the trip", unit="km/h", minimum=0, maximum=_MOST),
    Column("current_mileage_km", "double", "odometer", unit="km", minimum=0, maximum=_MOST),
    Column("fuel_available_liters", "double", "fuel in the tank", unit="L", minimum=0, maximum=_MOST),
    Column("engine_temp_celsius", "double", "engine temperature", unit="Cel", minimum=-60, maximum=250),
    Column("oil_temp_celsius", "double", "oil temperature", unit="Cel", minimum=-60, maximum=250),
    Column("oil_pressure_psi", "double", "oil pressure", unit="[psi]", minimum=0, maximum=_MOST),
    Column("battery_charge_percentage", "double", "charge of the battery", unit="%", minimum=0, maximum=100),
    *(
        Column(
            f"tire_pressure_{end}_{side}_psi", "double", f"pressure of the {end} {side} tire", unit="[psi]", minimum=0
        )
        for end in ("front", "rear")
        for side in ("left", "right")
    ),
    *(
        column
        for block in ("static_info", "insurance", "maintenance", "rental", "trip_summary", "telemetry")
        for column in (
            Column(f"{block}_timestamp", _TIME, f"when the {block} block was read from its system"),
            Column(f"{block}_source", "string", f"the system that the {block} block comes from"),
        )
    ),
)

DERIVED: tuple[tuple[Column, str], ...] = (
    (
        Column(
            "fuel_efficiency_l_per_100km",
            "double",
            "fuel burnt per 100 km of the trip; null without distance",
            unit="L/(100.km)",
        ),
        "CASE WHEN trip_distance_km > 0 THEN trip_fuel_consumed_liters / trip_distance_km * 100 END",
    ),
    (
        Column(
            "average_speed_calculated_kmh",
            "double",
            "distance over duration of the trip; null without duration",
            unit="km/h",
        ),
        "CASE WHEN trip_duration_minutes > 0 THEN trip_distance_km / (trip_duration_minutes / 60) END",
    ),
    (
        Column("oil_status", "string", "oil life below 20 % CRITICAL, below 50 % LOW, else OK; null when unknown"),
        "CASE WHEN oil_life_percentage < 20 THEN 'CRITICAL' WHEN oil_life_percentage < 50 THEN 'LOW' "
        "WHEN oil_life_percentage IS NOT NULL THEN 'OK' END",
    ),
    (
        Column("event_year", "int", "UTC year of event_timestamp", unit="a"),
        "CAST(EXTRACT(year FROM event_timestamp) AS INT)",
    ),
    (
        Column("event_month", "int", "UTC month of event_timestamp, 1 to 12", unit="mo"),
        "CAST(EXTRACT(month FROM event_timestamp) AS INT)",
    ),
    (
        Column("event_day", "int", "UTC day of the month of event_timestamp", unit="d"),
        "CAST(EXTRACT(day FROM event_timestamp) AS INT)",
    ),
)

LINEAGE = (
    Column("contract", "string", "the contract that accepted the record", required=True),
    Column("contract_version", "int", "version of that contract", required=True),
    Column("source_id", "string", "the landed object, as in bronze_car_data", required=True),
    Column("source_row", "long", "position of the record in its object, from 0", required=True),
    Column("record_hash", "string", "hash of the record, as in bronze_car_data", required=True),
    Column("ingested_at", _TIME, "when the object was landed", required=True),
)

RESERVED = frozenset(c.name for c in (*LANDED, *LINEAGE)) | {c.name for c, _ in DERIVED}


def parsed_columns(extra: tuple[Column, ...] = ()) -> tuple[Column, ...]:
    """What `Engine.parse` gives for each accepted record: the landed columns, those that contracts add, the lineage."""
    return (*LANDED, *extra, *LINEAGE)


def silver(
    judged: Mapping[str, str], extra: tuple[Column, ...] = (), partition: Literal["month", "day"] = "month"
) -> Table:
    """The table, as the contracts fill it; `judged` is what they and their limits say, by name; `extra` are the columns that they add."""
    columns = (*LANDED, *(column for column, _ in DERIVED), *LINEAGE, *extra)
    derived = {column.name: sql for column, sql in DERIVED}
    computed = ",\n         ".join(f"{derived[c.name]} AS {c.name}" if c.name in derived else c.name for c in columns)
    names = ", ".join(c.name for c in columns)
    inputs = dict(judged)
    if extra:
        # What contracts add is a part of its own, so that it can be told from a change of silver itself.
        own = silver({})
        inputs |= {"columns": shape(own.columns), "select": own.select, "added columns": shape(extra)}
    order = "car_chassis, event_id, event_version, record_hash, ingested_at, source_id, source_row"
    return Table(
        name="silver_car_telemetry",
        doc="one row per car and event id, in its newest version",
        source="bronze_car_data",
        scope={"car_chassis": "car_chassis", "event_id": "event_id"},
        key=("car_chassis", "event_id"),
        reads="delta",
        # (event_version, record_hash) is a total order of versions that no file name, split or arrival changes; the
        # rest of the order only picks one of several equal records, the one landed first. Losers are found on few
        # columns and taken out by their place, so that the wide rows are read once and never sorted here. The place
        # says which input, too: a record that is in both (read again after a crash) counts once, and does not vanish.
        steps={
            "loser": f"""SELECT source_id AS loser_id, source_row AS loser_row, own AS loser_own FROM (
  SELECT source_id, source_row, own, row_number() OVER (PARTITION BY car_chassis, event_id
      ORDER BY event_version DESC, record_hash DESC, ingested_at, source_id, source_row, own) AS version_rank
  FROM (SELECT {order}, 0 AS own FROM {{source}} UNION ALL SELECT {order}, 1 AS own FROM {{self}}) AS version
) AS ranked WHERE version_rank > 1"""
        },
        select=f"""SELECT {names}
FROM (
  SELECT {computed}, 0 AS own
  FROM {{source}}
  UNION ALL
  SELECT {names}, 1 AS own FROM {{self}}
) AS candidate LEFT JOIN {{loser}} AS loser
  ON source_id = loser_id AND source_row = loser_row AND own = loser_own
WHERE loser_id IS NULL""",
        columns=columns,
        partition=(("event_timestamp", partition),),
        sort=("car_chassis", "event_timestamp"),
        parses="accepted",
        inputs=inputs,
    )
