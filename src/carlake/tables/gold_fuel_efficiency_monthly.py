"""gold_fuel_efficiency_monthly: kilometers, fuel and trips per car and month."""

from __future__ import annotations

from carlake.tables.table import Column, Resume, Table

COLUMNS = (
    Column("car_chassis", "string", "the car: its chassis number", personal=True, required=True),
    Column("manufacturer", "string", "who made the car, by the month's latest event that says so"),
    Column("model", "string", "the car's model, by the month's latest event that says so"),
    Column("year_month", "string", "UTC month of event_timestamp, as 2025-11", required=True),
    Column("total_km_driven", "decimal(18,3)", "sum of the trips' distances", unit="km"),
    Column("total_fuel_liters", "decimal(18,3)", "sum of the fuel burnt on the trips", unit="L"),
    Column(
        "avg_fuel_efficiency_kmpl",
        "double",
        "total_km_driven / total_fuel_liters; null when no fuel was burnt",
        unit="km/L",
    ),
    Column("trip_count", "long", "events with trip data: distance or fuel not null", unit="1"),
    Column("processing_timestamp", "timestamptz", "when this row was computed", volatile=True),
)

_MONTH = "lpad(CAST(event_year AS VARCHAR), 4, '0') || '-' || lpad(CAST(event_month AS VARCHAR), 2, '0')"

_AVERAGE = "CASE WHEN {0}total_fuel_liters > 0 THEN CAST({0}total_km_driven AS DOUBLE) / CAST({0}total_fuel_liters AS DOUBLE) END"

TABLE = Table(
    name="gold_fuel_efficiency_monthly",
    doc="one row per car and month with trip data",
    source="silver_car_telemetry",
    scope={"car_chassis": "car_chassis", "year_month": _MONTH},
    key=("car_chassis", "year_month"),
    reads="scope",
    # Sums are of DECIMAL, so that any order gives the same figure; a double becomes one by way of its text, since engines
    # round 513.7705 differently when they scale it in binary.
    select=f"""WITH ordered AS (
  SELECT car_chassis, {_MONTH} AS year_month, manufacturer, model, trip_distance_km, trip_fuel_consumed_liters,
         row_number() OVER (PARTITION BY car_chassis, {_MONTH}
           ORDER BY event_timestamp, current_mileage_km NULLS FIRST, event_id) AS nth
  FROM {{source}}
), latest AS (
  SELECT car_chassis AS car, year_month AS month,
         max(CASE WHEN manufacturer IS NOT NULL THEN nth END) AS nth_manufacturer,
         max(CASE WHEN model IS NOT NULL THEN nth END) AS nth_model
  FROM ordered GROUP BY car_chassis, year_month
), totals AS (
  SELECT car_chassis, year_month,
         max(CASE WHEN nth = nth_manufacturer THEN manufacturer END) AS manufacturer,
         max(CASE WHEN nth = nth_model THEN model END) AS model,
         CAST(coalesce(sum(CAST(CAST(trip_distance_km AS VARCHAR) AS DECIMAL(18,3))), 0) AS DECIMAL(18,3)) AS total_km_driven,
         CAST(coalesce(sum(CAST(CAST(trip_fuel_consumed_liters AS VARCHAR) AS DECIMAL(18,3))), 0) AS DECIMAL(18,3)) AS total_fuel_liters,
         count(CASE WHEN trip_distance_km IS NOT NULL OR trip_fuel_consumed_liters IS NOT NULL THEN 1 END) AS trip_count
  FROM ordered JOIN latest ON car_chassis = car AND year_month = month
  GROUP BY car_chassis, year_month
)
SELECT car_chassis, manufacturer, model, year_month, total_km_driven, total_fuel_liters,
       {_AVERAGE.format("")}
         AS avg_fuel_efficiency_kmpl,
       trip_count, {{now}} AS processing_timestamp
FROM totals WHERE trip_count > 0""",
    columns=COLUMNS,
    sort=("car_chassis", "year_month"),
    # Sums and counts go on from the row, as long as no event says something else of the car: which of two is the later
    # the row does not tell. Where there is no row there may have been events without a trip.
    resume=Resume(
        when="o.car_chassis IS NOT NULL AND (s.manufacturer IS NULL OR s.manufacturer = o.manufacturer) "
        "AND (s.model IS NULL OR s.model = o.model)",
        select=f"""SELECT o.car_chassis, o.manufacturer, o.model, o.year_month, t.total_km_driven, t.total_fuel_liters,
       {_AVERAGE.format("t.")} AS avg_fuel_efficiency_kmpl, t.trip_count, {{now}} AS processing_timestamp
FROM {{self}} AS o JOIN (
  SELECT car_chassis, year_month, CAST(sum(total_km_driven) AS DECIMAL(18,3)) AS total_km_driven,
         CAST(sum(total_fuel_liters) AS DECIMAL(18,3)) AS total_fuel_liters, CAST(sum(trip_count) AS BIGINT) AS trip_count
  FROM (SELECT car_chassis, year_month, total_km_driven, total_fuel_liters, trip_count FROM {{self}} AS before
        UNION ALL
        SELECT car_chassis, year_month, total_km_driven, total_fuel_liters, trip_count FROM {{fresh}} AS later) AS part
  GROUP BY car_chassis, year_month
) AS t ON o.car_chassis = t.car_chassis AND o.year_month = t.year_month""",
    ),
    span=("event_timestamp", "month"),
)
