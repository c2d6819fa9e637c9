with rules as (
    select *, unnest([
        case when engine_temp_celsius > 100
            then {'alert_type': 'OVERHEAT_ENGINE', 'severity': 'CRITICAL', 'value': engine_temp_celsius} end,
        case when oil_temp_celsius > 110
            then {'alert_type': 'OVERHEAT_OIL', 'severity': 'CRITICAL', 'value': oil_temp_celsius} end,
        case when trip_max_speed_kmh > 110
            then {'alert_type': 'SPEEDING_ALERT', 'severity': 'WARNING', 'value': trip_max_speed_kmh} end,
        case when fuel_available_liters < 10 and fuel_capacity_liters is distinct from 0
            then {'alert_type': 'LOW_FUEL', 'severity': if(fuel_available_liters < 5, 'CRITICAL', 'WARNING'),
                  'value': fuel_available_liters} end,
        case when current_mileage_km > 100000
            then {'alert_type': 'HIGH_MILEAGE', 'severity': 'WARNING', 'value': current_mileage_km} end
    ]) as alert
    from {{ ref('silver_car_telemetry') }}
)
select
    md5(concat_ws('|', car_chassis, event_id, alert.alert_type)) as alert_id,
    car_chassis,
    event_id,
    alert.alert_type as alert_type,
    alert.severity as alert_severity,
    alert.value as alert_value,
    current_mileage_km,
    fuel_available_liters,
    telemetry_timestamp,
    event_timestamp
from rules
where alert is not null
