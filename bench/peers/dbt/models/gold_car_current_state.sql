select
    car_chassis,
    arg_max(manufacturer, event_timestamp) as manufacturer,
    arg_max(model, event_timestamp) as model,
    arg_max(year, event_timestamp) as year,
    arg_max(gas_type, event_timestamp) as gas_type,
    arg_max(insurance_provider, event_timestamp) as insurance_provider,
    arg_max(insurance_valid_until, event_timestamp) as insurance_valid_until,
    arg_max(current_mileage_km, event_timestamp) as current_mileage_km,
    arg_max(fuel_available_liters, event_timestamp) as fuel_available_liters,
    arg_max(telemetry_timestamp, event_timestamp) as telemetry_timestamp,
    max(event_timestamp) as event_timestamp
from {{ ref('silver_car_telemetry') }}
group by car_chassis
