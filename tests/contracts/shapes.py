"""Valid records of each shipped shape, made up here, and how a CSV row of them looks."""

from __future__ import annotations

import copy
import json
from typing import Any

Record = dict[str, Any]


def _block(data: Record, source: str, at: str = "2025-11-04T01:00:50Z") -> Record:
    return {"extraction_timestamp": at, "source_system": source, "data": data}


NESTED: Record = {
    "event_id": "evt_1",
    "event_primary_timestamp": "2025-11-04T01:00:00Z",
    "processing_timestamp": "2025-11-04T01:01:56Z",
    "carChassis": "1CAR0000000000042",
    "vehicle_static_info": _block(
        {
            "Model": "Onix",
            "year": 2024,
            "ModelYear": 2025,
            "Manufacturer": "Chevrolet",
            "gasType": "Flex",
            "fuelCapacityLiters": 44,
            "color": "Red",
        },
        "fleet_db",
    ),
    "vehicle_dynamic_state": {
        "insurance_info": _block(
            {"provider": "Insure", "policy_number": "INS-7", "validUntil": "2027-07-04"}, "insurance"
        ),
        "maintenance_info": _block(
            {"last_service_date": "2024-05-26", "last_service_mileage": 45, "oil_life_percentage": 69.5}, "service_db"
        ),
    },
    "current_rental_agreement": _block(
        {"agreement_id": "RENT-6", "customer_id": "CUST-9", "rental_start_date": "2024-07-05T00:00:00Z"}, "rental_db"
    ),
    "trip_data": {
        "trip_summary": _block(
            {
                "tripStartTimestamp": "2025-11-03T22:27:00Z",
                "tripEndTimestamp": "2025-11-04T01:00:00Z",
                "tripMileage": 77.4,
                "tripTimeMinutes": 153,
                "tripFuelLiters": 3.6,
                "tripMaxSpeedKm": 66,
            },
            "trip_computer",
        ),
        "vehicle_telemetry_snapshot": _block(
            {
                "currentMileage": 8470,
                "fuelAvailableLiters": 40.1,
                "engineTempCelsius": 93,
                "oilTempCelsius": 107,
                "batteryChargePerc": 89,
                "tire_pressures_psi": {"front_left": 33.0, "front_right": 30.4, "rear_left": 30.7, "rear_right": 33.5},
            },
            "can_bus",
        ),
    },
}

METRICS: Record = {
    "carChassis": "2CAR0000000000043",
    "manufacturer": "Fiat",
    "model": "Mobi",
    "year": 2023,
    "telemetryTimestamp": "2025-11-04T01:00:00Z",
    "metrics": {"currentMileageKm": 8470.5, "fuelAvailableLiters": 40.1, "engineTempCelsius": 93, "oilPressurePsi": 45},
}

BARE: Record = {**{key: value for key, value in METRICS.items() if key != "metrics"}, **METRICS["metrics"]}

SNAPSHOT: Record = {
    "carChassis": "3CAR0000000000044",
    "Model": "Civic",
    "year": 2020,
    "ModelYear": 2021,
    "Manufacturer": "Honda",
    "gasType": "Gas",
    "currentMileage": 15000,
    "color": "Blue",
    "fuelCapacityLiters": 47,
    "metrics": {
        "engineTempCelsius": 90,
        "oilTempCelsius": 95,
        "batteryChargePerc": 80,
        "fuelAvailableLiters": 30,
        "trip": {
            "tripMileage": 12,
            "tripTimeMinutes": 30,
            "tripFuelLiters": 1.5,
            "tripMaxSpeedKm": 80,
            "tripStartTimestamp": "Wed, 29 Oct 2025 10:30:00",
        },
        "metricTimestamp": "Wed, 29 Oct 2025 11:00:00",
    },
    "carInsurance": {"number": "INS-8", "provider": "Insure", "validUntil": "2026-01-31"},
}

SHAPES = {"nested": NESTED, "metrics": METRICS, "bare": BARE, "snapshot": SNAPSHOT}
CONTRACT_OF = {"nested": "car_event", "metrics": "car_metrics", "bare": "car_metrics", "snapshot": "car_snapshot"}


def fresh(shape: str) -> Record:
    """A copy of a valid record that a test may change."""
    return copy.deepcopy(SHAPES[shape])


def changed(shape: str, path: str, value: Any) -> Record:
    """A valid record with one value changed; `...` takes the key out."""
    record = fresh(shape)
    at = record
    *blocks, key = path.split(".")
    for block in blocks:
        at = at[block]
    if value is ...:
        del at[key]
    else:
        at[key] = value
    return record


def leaves(record: Record, before: str = "") -> list[str]:
    """Dotted paths of all values that are not objects."""
    found = []
    for key, value in record.items():
        found += leaves(value, f"{before}{key}.") if isinstance(value, dict) else [f"{before}{key}"]
    return found


def as_csv(record: Record) -> Record:
    """The record as the splitter makes it of a CSV row: marked, every value as text, null as the empty text."""

    def cast(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: cast(inner) for key, inner in value.items()}
        return "" if value is None else value if isinstance(value, str) else json.dumps(value)

    return {"$format": "csv", **cast(record)}


def text(record: Record) -> str:
    """A record as landed: compact, so that a CSV row begins with its mark."""
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False)
