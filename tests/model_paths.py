"""Where each silver column lies in records of the three shipped shapes, as the design tells it."""

from __future__ import annotations

# Silver column -> where the value lies in the record. A tuple of paths: the first that is there.
NESTED = {
    "event_id": "event_id",
    "car_chassis": "carChassis",
    "event_primary_timestamp": "event_primary_timestamp",
    "event_timestamp": "event_primary_timestamp",
    "processing_timestamp": "processing_timestamp",
    "manufacturer": "vehicle_static_info.data.Manufacturer",
    "model": "vehicle_static_info.data.Model",
    "year": "vehicle_static_info.data.year",
    "model_year": "vehicle_static_info.data.ModelYear",
    "gas_type": "vehicle_static_info.data.gasType",
    "fuel_capacity_liters": "vehicle_static_info.data.fuelCapacityLiters",
    "color": "vehicle_static_info.data.color",
    "insurance_provider": "vehicle_dynamic_state.insurance_info.data.provider",
    "insurance_policy_number": "vehicle_dynamic_state.insurance_info.data.policy_number",
    "insurance_valid_until": "vehicle_dynamic_state.insurance_info.data.validUntil",
    "last_service_date": "vehicle_dynamic_state.maintenance_info.data.last_service_date",
    "last_service_mileage": "vehicle_dynamic_state.maintenance_info.data.last_service_mileage",
    "oil_life_percentage": "vehicle_dynamic_state.maintenance_info.data.oil_life_percentage",
    "rental_agreement_id": "current_rental_agreement.data.agreement_id",
    "rental_customer_id": "current_rental_agreement.data.customer_id",
    "rental_start_date": "current_rental_agreement.data.rental_start_date",
    "trip_start_timestamp": "trip_data.trip_summary.data.tripStartTimestamp",
    "trip_end_timestamp": "trip_data.trip_summary.data.tripEndTimestamp",
    "trip_distance_km": "trip_data.trip_summary.data.tripMileage",
    "trip_duration_minutes": "trip_data.trip_summary.data.tripTimeMinutes",
    "trip_fuel_consumed_liters": "trip_data.trip_summary.data.tripFuelLiters",
    "trip_max_speed_kmh": "trip_data.trip_summary.data.tripMaxSpeedKm",
    "current_mileage_km": "trip_data.vehicle_telemetry_snapshot.data.currentMileage",
    "fuel_available_liters": "trip_data.vehicle_telemetry_snapshot.data.fuelAvailableLiters",
    "engine_temp_celsius": "trip_data.vehicle_telemetry_snapshot.data.engineTempCelsius",
    "oil_temp_celsius": "trip_data.vehicle_telemetry_snapshot.data.oilTempCelsius",
    "battery_charge_percentage": "trip_data.vehicle_telemetry_snapshot.data.batteryChargePerc",
    **{
        f"tire_pressure_{tire}_psi": f"trip_data.vehicle_telemetry_snapshot.data.tire_pressures_psi.{tire}"
        for tire in ("front_left", "front_right", "rear_left", "rear_right")
    },
    **{
        f"{block}_{name}": f"{path}.{field}"
        for block, path in {
            "static_info": "vehicle_static_info",
            "insurance": "vehicle_dynamic_state.insurance_info",
            "maintenance": "vehicle_dynamic_state.maintenance_info",
            "rental": "current_rental_agreement",
            "trip_summary": "trip_data.trip_summary",
            "telemetry": "trip_data.vehicle_telemetry_snapshot",
        }.items()
        for name, field in {"timestamp": "extraction_timestamp", "source": "source_system"}.items()
    },
}
FLAT = {
    "event_id": "event_id",
    "car_chassis": "carChassis",
    "event_primary_timestamp": "telemetryTimestamp",
    "event_timestamp": "telemetryTimestamp",
    "telemetry_timestamp": "telemetryTimestamp",
    "manufacturer": "manufacturer",
    "model": "model",
    "year": "year",
    "current_mileage_km": ("metrics.currentMileageKm", "currentMileageKm"),
    "fuel_available_liters": ("metrics.fuelAvailableLiters", "fuelAvailableLiters"),
    "engine_temp_celsius": ("metrics.engineTempCelsius", "engineTempCelsius"),
    "oil_pressure_psi": ("metrics.oilPressurePsi", "oilPressurePsi"),
}
OLDEST = {
    "event_id": "event_id",
    "car_chassis": "carChassis",
    "event_primary_timestamp": "metrics.metricTimestamp",
    "event_timestamp": "metrics.metricTimestamp",
    "telemetry_timestamp": "metrics.metricTimestamp",
    "manufacturer": "Manufacturer",
    "model": "Model",
    "year": "year",
    "model_year": "ModelYear",
    "gas_type": "gasType",
    "fuel_capacity_liters": "fuelCapacityLiters",
    "color": "color",
    "insurance_provider": "carInsurance.provider",
    "insurance_policy_number": "carInsurance.number",
    "insurance_valid_until": "carInsurance.validUntil",
    "trip_start_timestamp": "metrics.trip.tripStartTimestamp",
    "trip_distance_km": "metrics.trip.tripMileage",
    "trip_duration_minutes": "metrics.trip.tripTimeMinutes",
    "trip_fuel_consumed_liters": "metrics.trip.tripFuelLiters",
    "trip_max_speed_kmh": "metrics.trip.tripMaxSpeedKm",
    "current_mileage_km": "currentMileage",
    "fuel_available_liters": "metrics.fuelAvailableLiters",
    "engine_temp_celsius": "metrics.engineTempCelsius",
    "oil_temp_celsius": "metrics.oilTempCelsius",
    "battery_charge_percentage": "metrics.batteryChargePerc",
}
