"""What an engineer writes on Spark without carlake: JSON lines flattened, the newest of each event, three gold tables.

    spark_plain.py WAREHOUSE THREADS MEMORY FOLDER [FOLDER ...]

Each folder is one run into the same tables: read as text, `from_json`, newest by a window, MERGE into silver, and each
gold table computed for the keys that the run has and merged. No contracts, no quarantine (what is not JSON is dropped,
what is of the wrong type is null), no bookmark (a folder that is given twice is worked twice), no ledger of objects.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from processes import cpu_seconds, peaks
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812

from carlake.engines.spark.catalog_conf import SQLITE_JDBC
from carlake.engines.spark.session import EXTENSIONS, runtime_for

_BLOCK = "STRUCT<extraction_timestamp: TIMESTAMP, source_system: STRING, data: STRUCT<{}>>"
RECORD = f"""
event_id STRING, event_primary_timestamp TIMESTAMP, processing_timestamp TIMESTAMP, carChassis STRING,
vehicle_static_info {_BLOCK.format("Model: STRING, year: INT, ModelYear: INT, Manufacturer: STRING, gasType: STRING, fuelCapacityLiters: DOUBLE, color: STRING")},
vehicle_dynamic_state STRUCT<
  insurance_info: {_BLOCK.format("provider: STRING, policy_number: STRING, validUntil: DATE")},
  maintenance_info: {_BLOCK.format("last_service_date: DATE, last_service_mileage: DOUBLE, oil_life_percentage: DOUBLE")}>,
current_rental_agreement {_BLOCK.format("agreement_id: STRING, customer_id: STRING, rental_start_date: TIMESTAMP")},
trip_data STRUCT<
  trip_summary: {_BLOCK.format("tripStartTimestamp: TIMESTAMP, tripEndTimestamp: TIMESTAMP, tripMileage: DOUBLE, tripTimeMinutes: DOUBLE, tripFuelLiters: DOUBLE, tripMaxSpeedKm: DOUBLE")},
  vehicle_telemetry_snapshot: {_BLOCK.format("currentMileage: DOUBLE, fuelAvailableLiters: DOUBLE, engineTempCelsius: DOUBLE, oilTempCelsius: DOUBLE, batteryChargePerc: DOUBLE, tire_pressures_psi: STRUCT<front_left: DOUBLE, front_right: DOUBLE, rear_left: DOUBLE, rear_right: DOUBLE>")}>
"""
FLAT = """
carChassis AS car_chassis, event_id, event_primary_timestamp AS event_timestamp, processing_timestamp,
vehicle_static_info.data.Manufacturer AS manufacturer, vehicle_static_info.data.Model AS model,
vehicle_static_info.data.year AS year, vehicle_static_info.data.ModelYear AS model_year,
vehicle_static_info.data.gasType AS gas_type, vehicle_static_info.data.color AS color,
vehicle_static_info.data.fuelCapacityLiters AS fuel_capacity_liters,
vehicle_dynamic_state.insurance_info.data.provider AS insurance_provider,
vehicle_dynamic_state.insurance_info.data.policy_number AS insurance_policy_number,
vehicle_dynamic_state.insurance_info.data.validUntil AS insurance_valid_until,
vehicle_dynamic_state.maintenance_info.data.last_service_date AS last_service_date,
vehicle_dynamic_state.maintenance_info.data.last_service_mileage AS last_service_mileage,
vehicle_dynamic_state.maintenance_info.data.oil_life_percentage AS oil_life_percentage,
current_rental_agreement.data.agreement_id AS rental_agreement_id,
current_rental_agreement.data.customer_id AS rental_customer_id,
current_rental_agreement.data.rental_start_date AS rental_start_date,
trip_data.trip_summary.data.tripStartTimestamp AS trip_start_timestamp,
trip_data.trip_summary.data.tripEndTimestamp AS trip_end_timestamp,
trip_data.trip_summary.data.tripMileage AS trip_distance_km,
trip_data.trip_summary.data.tripTimeMinutes AS trip_duration_minutes,
trip_data.trip_summary.data.tripFuelLiters AS trip_fuel_consumed_liters,
trip_data.trip_summary.data.tripMaxSpeedKm AS trip_max_speed_kmh,
trip_data.vehicle_telemetry_snapshot.data.currentMileage AS current_mileage_km,
trip_data.vehicle_telemetry_snapshot.data.fuelAvailableLiters AS fuel_available_liters,
trip_data.vehicle_telemetry_snapshot.data.engineTempCelsius AS engine_temp_celsius,
trip_data.vehicle_telemetry_snapshot.data.oilTempCelsius AS oil_temp_celsius,
trip_data.vehicle_telemetry_snapshot.data.batteryChargePerc AS battery_charge_percentage,
trip_data.vehicle_telemetry_snapshot.data.tire_pressures_psi.front_left AS tire_pressure_front_left_psi,
trip_data.vehicle_telemetry_snapshot.data.tire_pressures_psi.front_right AS tire_pressure_front_right_psi,
trip_data.vehicle_telemetry_snapshot.data.tire_pressures_psi.rear_left AS tire_pressure_rear_left_psi,
trip_data.vehicle_telemetry_snapshot.data.tire_pressures_psi.rear_right AS tire_pressure_rear_right_psi
"""
STATE = """
SELECT car_chassis, max_by(manufacturer, event_timestamp) AS manufacturer, max_by(model, event_timestamp) AS model,
  max_by(year, event_timestamp) AS year, max_by(gas_type, event_timestamp) AS gas_type,
  max_by(insurance_provider, event_timestamp) FILTER (WHERE insurance_provider IS NOT NULL) AS insurance_provider,
  max_by(insurance_valid_until, event_timestamp) FILTER (WHERE insurance_valid_until IS NOT NULL) AS insurance_valid_until,
  max_by(current_mileage_km, event_timestamp) FILTER (WHERE current_mileage_km IS NOT NULL) AS current_mileage_km,
  max_by(fuel_available_liters, event_timestamp) FILTER (WHERE fuel_available_liters IS NOT NULL) AS fuel_available_liters,
  max(event_timestamp) AS event_timestamp, current_timestamp() AS gold_processing_timestamp
FROM plain.db.silver WHERE car_chassis IN (SELECT car_chassis FROM newest) GROUP BY car_chassis
"""
MONTHLY = """
SELECT car_chassis, date_format(event_timestamp, 'yyyy-MM') AS year_month, max_by(manufacturer, event_timestamp) AS manufacturer,
  max_by(model, event_timestamp) AS model, sum(CAST(trip_distance_km AS DECIMAL(18, 3))) AS total_km_driven,
  sum(CAST(trip_fuel_consumed_liters AS DECIMAL(18, 3))) AS total_fuel_liters, count(*) AS trip_count
FROM plain.db.silver
WHERE trip_distance_km IS NOT NULL AND car_chassis IN (SELECT car_chassis FROM newest) GROUP BY 1, 2
"""
ALERTS = """
SELECT car_chassis, event_id, alert.kind AS alert_type, alert.value AS alert_value, event_timestamp FROM (
  SELECT car_chassis, event_id, event_timestamp, explode(filter(array(
    named_struct('kind', 'OVERHEAT_ENGINE', 'value', engine_temp_celsius, 'holds', engine_temp_celsius > 100),
    named_struct('kind', 'OVERHEAT_OIL', 'value', oil_temp_celsius, 'holds', oil_temp_celsius > 110),
    named_struct('kind', 'SPEEDING_ALERT', 'value', trip_max_speed_kmh, 'holds', trip_max_speed_kmh > 110),
    named_struct('kind', 'LOW_FUEL', 'value', fuel_available_liters, 'holds', fuel_available_liters < 10),
    named_struct('kind', 'HIGH_MILEAGE', 'value', current_mileage_km, 'holds', current_mileage_km > 100000)
  ), alert -> alert.holds)) AS alert FROM newest)
"""
TABLES = {"state": (STATE, ["car_chassis"]), "monthly": (MONTHLY, ["car_chassis", "year_month"]),
          "alerts": (ALERTS, ["car_chassis", "event_id", "alert_type"])}  # fmt: skip


def main(warehouse: str, threads: str, memory: str, *folders: str) -> None:
    """Work each folder; print the seconds that each took and the rows of silver then."""
    spark = _session(Path(warehouse), threads, memory)
    runs = []
    for folder in folders:
        started = time.perf_counter()
        _run(spark, folder)
        runs.append({"call_seconds": time.perf_counter() - started, "call_cpu_seconds": 0.0})
    rows = spark.table("plain.db.silver").count()
    print(json.dumps({"runs": [{**run, "rows": rows} for run in runs], "peaks": peaks(), "cpu_seconds": cpu_seconds()}))
    spark.stop()


def _session(warehouse: Path, threads: str, memory: str) -> SparkSession:
    import pyspark

    warehouse.mkdir(parents=True)
    conf = {
        "spark.driver.memory": memory,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "false",
        "spark.sql.shuffle.partitions": str(4 * int(threads)),
        "spark.jars.packages": f"{runtime_for(pyspark.__version__)},{SQLITE_JDBC}",
        "spark.sql.extensions": EXTENSIONS,
        "spark.sql.catalog.plain": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.plain.type": "jdbc",
        "spark.sql.catalog.plain.uri": f"jdbc:sqlite:{warehouse}/catalog.db",
        "spark.sql.catalog.plain.jdbc.schema-version": "V1",
        "spark.sql.catalog.plain.warehouse": f"file://{warehouse}",
        "spark.sql.catalog.plain.cache-enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.log.level": "ERROR",
    }
    builder = SparkSession.builder.master(f"local[{threads}]")
    for key, value in conf.items():
        builder = builder.config(key, value)
    spark: SparkSession = builder.getOrCreate()
    spark.sql("CREATE NAMESPACE IF NOT EXISTS plain.db")
    return spark


def _run(spark: SparkSession, folder: str) -> None:
    parsed = spark.read.text(folder).select(F.from_json("value", RECORD).alias("r")).select("r.*")
    flat = parsed.selectExpr(*_columns(FLAT)).where("car_chassis IS NOT NULL AND event_timestamp IS NOT NULL")
    flat.createOrReplaceTempView("flat")
    newest = spark.sql(
        "SELECT * EXCEPT (place) FROM (SELECT *, row_number() OVER (PARTITION BY car_chassis, event_id "
        "ORDER BY processing_timestamp DESC) AS place FROM flat) WHERE place = 1"
    ).persist()
    newest.createOrReplaceTempView("newest")
    _merge(
        spark,
        "silver",
        "SELECT * FROM newest",
        ["car_chassis", "event_id"],
        "months(event_timestamp)",
        "processing_timestamp",
    )
    for name, (select, keys) in TABLES.items():
        _merge(spark, name, select, keys)
    newest.unpersist()


def _merge(spark: SparkSession, name: str, select: str, keys: list[str], partition: str = "", newer: str = "") -> None:
    table = f"plain.db.{name}"
    if not spark.catalog.tableExists(table):
        part = f"PARTITIONED BY ({partition})" if partition else ""
        spark.sql(f"CREATE TABLE {table} USING iceberg {part} AS SELECT * FROM ({select}) WHERE false")
    on = " AND ".join(f"t.{key} = s.{key}" for key in keys)
    when = f"AND s.{newer} >= t.{newer}" if newer else ""
    spark.sql(
        f"MERGE INTO {table} t USING ({select}) s ON {on} "
        f"WHEN MATCHED {when} THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
    )


def _columns(text: str) -> list[str]:
    return [column.strip() for column in text.replace("\n", " ").split(",")]


if __name__ == "__main__":
    main(*sys.argv[1:])
