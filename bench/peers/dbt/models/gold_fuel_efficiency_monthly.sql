select
    car_chassis,
    strftime(event_timestamp, '%Y-%m') as year_month,
    arg_max(manufacturer, event_timestamp) as manufacturer,
    arg_max(model, event_timestamp) as model,
    sum(trip_distance_km::decimal(18, 3))::decimal(18, 3) as total_km_driven,
    sum(trip_fuel_consumed_liters::decimal(18, 3))::decimal(18, 3) as total_fuel_liters,
    sum(trip_distance_km) / nullif(sum(trip_fuel_consumed_liters), 0) as avg_fuel_efficiency_kmpl,
    count(*) as trip_count
from {{ ref('silver_car_telemetry') }}
where trip_distance_km is not null or trip_fuel_consumed_liters is not null
group by car_chassis, year_month
