"""gold_car_current_state: what is known of each car now, with its insurance status as of today."""

from __future__ import annotations

from carlake.tables.table import Column, Resume, Table

COLUMNS = (
    Column("car_chassis", "string", "the car: its chassis number", personal=True, required=True),
    Column("manufacturer", "string", "who made the car"),
    Column("model", "string", "the car's model"),
    Column("year", "int", "year the car was built", unit="a"),
    Column("gas_type", "string", "what the car runs on"),
    Column("insurance_provider", "string", "who insures the car"),
    Column("insurance_valid_until", "date", "last day on which the insurance is valid"),
    Column("current_mileage_km", "double", "odometer", unit="km"),
    Column("fuel_available_liters", "double", "fuel in the tank", unit="L"),
    Column("telemetry_timestamp", "timestamptz", "when the mileage (else the fuel) was read"),
    Column(
        "insurance_status",
        "string",
        "EXPIRED, EXPIRING_IN_90_DAYS (0 to 90 days left), ACTIVE, or UNKNOWN without a date",
        required=True,
    ),
    Column("insurance_days_expired", "int", "days since the insurance ended; null unless EXPIRED", unit="d"),
    Column("event_timestamp", "timestamptz", "time of the car's latest event", required=True),
    Column("gold_processing_timestamp", "timestamptz", "when this row was computed", volatile=True),
)

# Each of these comes from the car's latest event in which it is not null: a flat event wipes nothing.
_EACH = ("manufacturer", "model", "year", "gas_type", "current_mileage_km", "fuel_available_liters")

_STATUS = """CASE WHEN insurance_valid_until IS NULL THEN 'UNKNOWN'
            WHEN insurance_valid_until < {today} THEN 'EXPIRED'
            WHEN date_diff('day', {today}, insurance_valid_until) <= 90 THEN 'EXPIRING_IN_90_DAYS'
            ELSE 'ACTIVE' END"""
_DAYS = (
    "CASE WHEN insurance_valid_until < {today} THEN CAST(date_diff('day', insurance_valid_until, {today}) AS INT) END"
)

_latest = ",\n         ".join(f"max(CASE WHEN {name} IS NOT NULL THEN nth END) AS nth_{name}" for name in _EACH)
_values = ",\n         ".join(f"max(CASE WHEN nth = nth_{name} THEN {name} END) AS {name}" for name in _EACH)

_READ = ", ".join(
    ("car_chassis", "event_timestamp", "telemetry_timestamp", "insurance_provider", "insurance_valid_until", *_EACH)
)

TABLE = Table(
    name="gold_car_current_state",
    doc="one row per car: its latest known state",
    source="silver_car_telemetry",
    scope={"car_chassis": "car_chassis"},
    key=("car_chassis",),
    reads="scope",
    select=f"""WITH ordered AS (
  SELECT car_chassis, event_timestamp, telemetry_timestamp, insurance_provider, insurance_valid_until,
         {", ".join(_EACH)},
         row_number() OVER (PARTITION BY car_chassis
           ORDER BY event_timestamp, current_mileage_km NULLS FIRST, event_id) AS nth
  FROM {{source}}
), latest AS (
  SELECT car_chassis AS car, max(nth) AS nth_event,
         max(CASE WHEN insurance_provider IS NOT NULL OR insurance_valid_until IS NOT NULL THEN nth END) AS nth_insurance,
         {_latest}
  FROM ordered GROUP BY car_chassis
), state AS (
  SELECT car_chassis,
         {_values},
         max(CASE WHEN nth = nth_insurance THEN insurance_provider END) AS insurance_provider,
         max(CASE WHEN nth = nth_insurance THEN insurance_valid_until END) AS insurance_valid_until,
         max(CASE WHEN nth = coalesce(nth_current_mileage_km, nth_fuel_available_liters) THEN telemetry_timestamp END)
           AS telemetry_timestamp,
         max(CASE WHEN nth = nth_event THEN event_timestamp END) AS event_timestamp
  FROM ordered JOIN latest ON car_chassis = car
  GROUP BY car_chassis
)
SELECT car_chassis, manufacturer, model, year, gas_type, insurance_provider, insurance_valid_until, current_mileage_km,
       fuel_available_liters, telemetry_timestamp,
       {_STATUS} AS insurance_status,
       {_DAYS} AS insurance_days_expired,
       event_timestamp, {{now}} AS gold_processing_timestamp
FROM state""",
    columns=COLUMNS,
    sort=("car_chassis",),
    # A car's row is what an event that carries all that is known of the car would make of it: so it stands in for the
    # car's events so far, as long as what comes is later than the latest of them. A car without a row has no events.
    resume=Resume(
        when="o.car_chassis IS NULL OR s.event_timestamp > o.event_timestamp",
        source=f"""(SELECT {_READ}, event_id FROM {{added}} AS s
  UNION ALL SELECT {_READ}, CAST('' AS VARCHAR) AS event_id FROM {{self}} AS o)""",
    ),
    stale=f"insurance_status <> {_STATUS} OR insurance_days_expired IS DISTINCT FROM {_DAYS}",
)
