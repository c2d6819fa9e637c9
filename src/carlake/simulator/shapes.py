"""The three shapes of record that the shipped contracts know, as JSON text on one line.

Text is put together from parts that a car's life keeps ready: ten times as fast as `json.dumps` of deep dicts, which
is what makes a million events a matter of seconds. Field names are those of the contracts in `carlake.contracts`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from carlake.simulator.car import TWO_DIGITS, Reading, day_text, minute_text

Shape = Literal["car_event", "car_metrics", "car_snapshot"]


def car_event(reading: Reading) -> str:
    """The nested shape: every block with the time and the system it was read from."""
    car, seconds, at = reading.car, reading.seconds, reading.at
    second = TWO_DIGITS[at % 60]
    event_time = f"{minute_text(at // 60 + car.zone_minutes)}{second}{car.zone}"
    read = minute_text(at // 60 + 1)
    processed = at + reading.processed_after
    policy, rental = reading.policy, reading.rental
    insurance = (
        f'{{"extraction_timestamp": "{read}{seconds[1]}Z", "source_system": "insurance_gateway", "data": {policy.text}}}'
        if policy
        else "null"
    )
    agreement = (
        f'{{"extraction_timestamp": "{read}{seconds[2]}Z", "source_system": "rental_desk", "data": {rental}}}'
        if rental
        else "null"
    )
    trip = (
        f'{{"extraction_timestamp": "{read}{seconds[4]}Z", "source_system": "trip_computer", "data": {{'
        f'"tripStartTimestamp": "{minute_text(at // 60 - reading.minutes + car.zone_minutes)}{second}{car.zone}", '
        f'"tripEndTimestamp": "{event_time}", "tripMileage": {reading.kilometers!r}, '
        f'"tripTimeMinutes": {reading.minutes}, "tripFuelLiters": {reading.litres!r}, '
        f'"tripMaxSpeedKm": {reading.top_speed}}}}}'
        if reading.minutes >= 0
        else "null"
    )
    oil_life, oil = ("null", "null") if car.electric else (reading.oil_life, reading.oil)
    return (
        f'{{"event_id": "{reading.event_id}", "event_primary_timestamp": "{event_time}", '
        f'"processing_timestamp": "{minute_text(processed // 60)}{TWO_DIGITS[processed % 60]}Z", '
        f'"carChassis": "{car.chassis}", '
        f'"vehicle_static_info": {{"extraction_timestamp": "{read}{seconds[0]}Z", "source_system": "fleet_registry", '
        f'"data": {car.static}}}, '
        f'"vehicle_dynamic_state": {{"insurance_info": {insurance}, '
        f'"maintenance_info": {{"extraction_timestamp": "{read}{seconds[3]}Z", "source_system": "workshop_log", '
        f'"data": {{{reading.service}, "oil_life_percentage": {oil_life}}}}}}}, '
        f'"current_rental_agreement": {agreement}, '
        f'"trip_data": {{"trip_summary": {trip}, '
        f'"vehicle_telemetry_snapshot": {{"extraction_timestamp": "{read}{seconds[5]}Z", '
        f'"source_system": "can_gateway", "data": {{"currentMileage": {reading.odometer}, '
        f'"fuelAvailableLiters": {reading.fuel!r}, "engineTempCelsius": {reading.engine}, '
        f'"oilTempCelsius": {oil}, "batteryChargePerc": {reading.battery}, '
        f'"tire_pressures_psi": {reading.tires}}}}}}}}}'
    )


def car_metrics(reading: Reading, bare: bool = False) -> str:
    """The flat shape: `bare` puts the metrics at the top, as a CSV has them."""
    car = reading.car
    metrics = (
        f'"currentMileageKm": {reading.odometer}, "fuelAvailableLiters": {reading.fuel!r}, '
        f'"engineTempCelsius": {reading.engine}, "oilPressurePsi": {reading.oil_pressure!r}'
    )
    return (
        f'{{"carChassis": "{car.chassis}", "manufacturer": "{car.manufacturer}", "model": "{car.model}", '
        f'"year": {car.year}, "telemetryTimestamp": "{flat_time(reading)}", '
        + (f"{metrics}}}" if bare else f'"metrics": {{{metrics}}}}}')
    )


def car_snapshot(reading: Reading) -> str:
    """The oldest shape; its times name the weekday and no zone, and are UTC."""
    car, policy = reading.car, reading.policy
    trip = (
        f'{{"tripMileage": {reading.kilometers!r}, "tripTimeMinutes": {reading.minutes}, '
        f'"tripFuelLiters": {reading.litres!r}, "tripMaxSpeedKm": {reading.top_speed}, '
        f'"tripStartTimestamp": "{_long_time(reading.at - 60 * reading.minutes)}"}}'
        if reading.minutes >= 0
        else "null"
    )
    insurance = (
        f'{{"number": "{policy.number}", "provider": "{policy.provider}", "validUntil": "{day_text(policy.valid_until)}"}}'
        if policy
        else "null"
    )
    oil = "null" if car.electric else reading.oil
    return (
        f'{{"carChassis": "{car.chassis}", "Model": "{car.model}", "year": {car.year}, "ModelYear": {car.model_year}, '
        f'"Manufacturer": "{car.manufacturer}", "gasType": "{car.gas_type}", "currentMileage": {reading.odometer}, '
        f'"color": "{car.color}", "fuelCapacityLiters": {car.capacity}, '
        f'"metrics": {{"engineTempCelsius": {reading.engine}, "oilTempCelsius": {oil}, '
        f'"batteryChargePerc": {reading.battery}, "fuelAvailableLiters": {reading.fuel!r}, '
        f'"trip": {trip}, "metricTimestamp": "{_long_time(reading.at)}"}}, "carInsurance": {insurance}}}'
    )


def flat_time(reading: Reading) -> str:
    """Time of the reading as the flat shape writes it."""
    car, at = reading.car, reading.at
    return f"{minute_text(at // 60 + car.zone_minutes)}{TWO_DIGITS[at % 60]}{car.zone}"


def event_id(reading: Reading, shape: Shape) -> str:
    """The id under which silver knows the event."""
    if shape == "car_event":
        return reading.event_id
    time = flat_time(reading) if shape == "car_metrics" else _long_time(reading.at)
    return f"{reading.car.chassis}_{time}"


def _long_time(at: int) -> str:
    # Not strftime("%a ... %b"): that follows the locale of whoever runs it.
    time = datetime.fromtimestamp(at, UTC)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[time.weekday()]
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[time.month - 1]
    return f"{day}, {time.day:02d} {month} {time.year} {time:%H:%M:%S}"


WRITERS: dict[Shape, Callable[[Reading], str]] = {
    "car_event": car_event,
    "car_metrics": car_metrics,
    "car_snapshot": car_snapshot,
}
