-- One row per car and event id, the newest version. Reads only the files of this run.
{{ config(materialized='incremental', unique_key=['car_chassis', 'event_id'], incremental_strategy='delete+insert') }}
{%- set static = 'vehicle_static_info.data' %}
{%- set state = 'vehicle_dynamic_state' %}
{%- set trip = 'trip_data.trip_summary.data' %}
{%- set read = 'trip_data.vehicle_telemetry_snapshot.data' %}
with landed as (
    select * from read_json('{{ var("path") }}', format = 'newline_delimited', columns = {{ var("columns") }})
),
flat as (
    select
        event_id,
        carChassis as car_chassis,
        event_primary_timestamp as event_timestamp,
        processing_timestamp,
        {{ static }}.Manufacturer as manufacturer,
        {{ static }}.Model as model,
        {{ static }}.year as year,
        {{ static }}.ModelYear as model_year,
        {{ static }}.gasType as gas_type,
        {{ static }}.fuelCapacityLiters::double as fuel_capacity_liters,
        {{ static }}.color as color,
        {{ state }}.insurance_info.data.provider as insurance_provider,
        {{ state }}.insurance_info.data.policy_number as insurance_policy_number,
        {{ state }}.insurance_info.data.validUntil as insurance_valid_until,
        {{ state }}.maintenance_info.data.last_service_date as last_service_date,
        {{ state }}.maintenance_info.data.last_service_mileage::double as last_service_mileage,
        {{ state }}.maintenance_info.data.oil_life_percentage::double as oil_life_percentage,
        current_rental_agreement.data.agreement_id as rental_agreement_id,
        current_rental_agreement.data.customer_id as rental_customer_id,
        current_rental_agreement.data.rental_start_date as rental_start_date,
        {{ trip }}.tripStartTimestamp as trip_start_timestamp,
        {{ trip }}.tripEndTimestamp as trip_end_timestamp,
        {{ trip }}.tripMileage::double as trip_distance_km,
        {{ trip }}.tripTimeMinutes::double as trip_duration_minutes,
        {{ trip }}.tripFuelLiters::double as trip_fuel_consumed_liters,
        {{ trip }}.tripMaxSpeedKm::double as trip_max_speed_kmh,
        {{ read }}.currentMileage::double as current_mileage_km,
        {{ read }}.fuelAvailableLiters::double as fuel_available_liters,
        {{ read }}.engineTempCelsius::double as engine_temp_celsius,
        {{ read }}.oilTempCelsius::double as oil_temp_celsius,
        {{ read }}.batteryChargePerc::double as battery_charge_percentage,
        {{ read }}.tire_pressures_psi.front_left::double as tire_pressure_front_left_psi,
        {{ read }}.tire_pressures_psi.front_right::double as tire_pressure_front_right_psi,
        {{ read }}.tire_pressures_psi.rear_left::double as tire_pressure_rear_left_psi,
        {{ read }}.tire_pressures_psi.rear_right::double as tire_pressure_rear_right_psi,
        trip_data.vehicle_telemetry_snapshot.extraction_timestamp as telemetry_timestamp
    from landed
),
newest as (
    select * from flat
    qualify row_number() over (partition by car_chassis, event_id order by processing_timestamp desc) = 1
)
select newest.* from newest
{%- if is_incremental() %}
left join {{ this }} as known using (car_chassis, event_id)
where known.processing_timestamp is null or newest.processing_timestamp > known.processing_timestamp
{%- endif %}
