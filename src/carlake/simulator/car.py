"""One simulated car: what it is, how it lives, and what it reads at each event."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from functools import cache
from random import Random
from typing import NamedTuple

DAY = 86_400
_EPOCH = date(1970, 1, 1).toordinal()
_HOUR_AND_MINUTE = [f"T{hour:02d}:{minute:02d}:" for hour in range(24) for minute in range(60)]
TWO_DIGITS = [f"{number:02d}" for number in range(60)]

# Fictitious makers; some names are not ASCII, as real ones are not.
_MODELS = (
    ("Kestrel", "Merlin"),
    ("Kestrel", "Merlin Estate"),
    ("Tamarind", "Pod 3"),
    ("Tamarind", "Pod 5"),
    ("Ñandú", "Pampa"),
    ("Ñandú", "Puna 4x4"),
    ("Halvorsen", "Fjäll"),
    ("Halvorsen", "Strand"),
    ("Orrery", "Io"),
    ("Orrery", "Europa"),
)
_FUELS = ("Gasoline", "Gasoline", "Flex", "Ethanol", "Diesel", "Hybrid", "Electric")
_COLORS = ("Graphite", "Pearl", "Moss", "Copper", "Sky", "Crimson")
_INSURERS = ("Lantern Mutual", "Seguros Río Claro", "Harbour & Sons", "Northlight", "Polder Verzekering")
_ZONES = ((0, "Z"), (0, "Z"), (0, "Z"), (0, "Z"), (0, "Z"), (0, "Z"), (0, "+00:00"), (120, "+02:00"), (-180, "-03:00"))
_VIN = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"


@cache
def day_text(day: int) -> str:
    """The day, counted from 1970-01-01, as 2025-08-01."""
    return date.fromordinal(_EPOCH + day).isoformat()


def minute_text(minute: int) -> str:
    """The minute, counted from 1970-01-01T00:00, as `2025-08-01T10:15:`, so that two digits of seconds complete it."""
    day, of_day = divmod(minute, 1440)
    return day_text(day) + _HOUR_AND_MINUTE[of_day]


class Policy(NamedTuple):
    """One insurance policy; `text` is its JSON as the nested shape carries it, the days are counted from 1970-01-01."""

    number: str
    provider: str
    valid_until: int
    text: str


@dataclass(slots=True)
class Reading:
    """What a car knows at one event; the shapes (`carlake.simulator.shapes`) put it in words.

    Units: `at` in seconds since 1970, distances km, volumes L, temperatures Cel, charge and oil life %, speed km/h,
    oil pressure psi. `minutes` is -1 where the car did not drive since its last event. `processed_after` is the time
    in seconds from the event to this version of it.
    """

    car: Car
    event_id: str
    at: int
    processed_after: int
    seconds: tuple[str, ...]
    tires: str
    policy: Policy | None
    service: str
    oil_life: float
    rental: str
    minutes: int
    kilometers: float
    litres: float
    top_speed: int
    odometer: int
    fuel: float
    engine: int
    oil: int
    oil_pressure: float
    battery: int


class Car:
    """A car's life: each `drive` moves odometer, fuel, oil, insurance and rental on, and gives a reading."""

    def __init__(self, random: Random, start: int) -> None:
        """`random` decides everything, `start` is the first second of its life here."""
        self._random = random
        number = random.random
        self.chassis = "".join(random.choice(_VIN) for _ in range(17))
        self.manufacturer, self.model = random.choice(_MODELS)
        self.year = 2016 + int(number() * 10)
        self.model_year = self.year + int(number() * 2)
        self.gas_type = random.choice(_FUELS)
        self.electric = self.gas_type == "Electric"
        self.capacity = 0 if self.electric else 38 + int(number() * 38)
        self.color = random.choice(_COLORS)
        self.zone_minutes, self.zone = random.choice(_ZONES)
        # A few units compute in binary floating point and send what comes out: 14.200000000000001.
        self.raw_floats = number() < 0.15
        self.static = _json(
            {
                "Model": self.model,
                "year": self.year,
                "ModelYear": self.model_year,
                "Manufacturer": self.manufacturer,
                "gasType": self.gas_type,
                "fuelCapacityLiters": self.capacity,
                "color": self.color,
            }
        )
        self.last_at = start - 6 * 3600 - int(number() * DAY)
        self._litres_per_km = 0.0 if self.electric else 0.045 + number() * 0.06
        self._odometer = number() * number() * 140_000
        self._fuel = self.capacity * (0.3 + number() * 0.7)
        self._refill_below = 3 + number() * 12
        self._charge = 55 + number() * 45
        self._oil_life = 30 + number() * 70
        self._service_below = 8 + number() * 40
        self._service = self._serviced(start // DAY - 10 - int(number() * 120), max(0.0, self._odometer - 900))
        self._policy = self._insured(start // DAY - 25 + int(number() * 350))
        self._lapse = int(number() * 40)
        self._rental = ""
        self._rental_until = 0

    def drive(self, at: int, event_id: str, seconds: tuple[str, ...], tires: str) -> Reading:
        """What the car reads at second `at`, after what it did since its last event."""
        number = self._random.random
        gap = (at - self.last_at) // 60
        self.last_at = at
        self._renew(at)
        minutes, kilometers, litres, top_speed = -1, 0.0, 0.0, 0
        if gap > 2 and number() > 0.04:
            share = number()
            minutes = min(gap - 1, 4 + int(230 * share * share))
            speed = 15 + 75 * number()
            kilometers = minutes * speed / 60
            litres = kilometers * self._litres_per_km * (0.85 + 0.3 * number())
            share = number()
            top_speed = int(speed + 8 + 48 * share * share)
            self._move(kilometers, litres)
            if not self.raw_floats:
                kilometers, litres = round(kilometers, 1), round(litres, 2)
        hot = number()
        engine = 78 + int(19 * number()) if hot > 0.03 else 101 + int(1000 * hot)
        return Reading(
            self,
            event_id,
            at,
            120 + int(seconds[0]),
            seconds,
            tires,
            None if number() < 0.01 else self._policy,
            self._service,
            round(self._oil_life, 1),
            self._rental,
            minutes,
            kilometers,
            litres,
            top_speed,
            int(self._odometer),
            self._fuel if self.raw_floats else round(self._fuel, 1),
            engine,
            engine + 2 + int(12 * number()),
            round(28 + 30 * number(), 1),
            int(self._charge),
        )

    def _move(self, kilometers: float, litres: float) -> None:
        number = self._random.random
        self._odometer += kilometers
        if self.electric:
            self._charge -= kilometers * 0.2
            if self._charge < 12:
                self._charge = 80 + 20 * number()
            return
        if self._fuel - litres < 1:
            self._fuel = self.capacity
        self._fuel = max(0.0, self._fuel - litres)
        self._charge = 70 + 30 * number()
        self._oil_life -= kilometers / 110
        if self._oil_life < self._service_below:
            self._oil_life = 100.0
            self._service = self._serviced(self.last_at // DAY, self._odometer)

    def _renew(self, at: int) -> None:
        """Refills, insurance and rentals: what people do for the car between its trips."""
        number = self._random.random
        day = at // DAY
        if self._fuel < self._refill_below and number() < 0.7:
            self._fuel = self.capacity * (0.8 + 0.2 * number())
        if day > self._policy.valid_until + self._lapse:
            self._policy = self._insured(max(day, self._policy.valid_until) + 365)
        if day >= self._rental_until:
            self._rental_until = day + 2 + int(number() * 19)
            self._rental = "" if number() < 0.15 else self._rented(day)

    def _serviced(self, day: int, mileage: float) -> str:
        return f'"last_service_date": "{day_text(day)}", "last_service_mileage": {int(mileage)}'

    def _insured(self, valid_until: int) -> Policy:
        policy = f"POL-{self._random.getrandbits(40):010X}"
        provider = self._random.choice(_INSURERS)
        text = _json({"provider": provider, "policy_number": policy, "validUntil": day_text(valid_until)})
        return Policy(policy, provider, valid_until, text)

    def _rented(self, day: int) -> str:
        return _json(
            {
                "agreement_id": f"AGR-{self._random.getrandbits(30):08X}",
                "customer_id": f"DRV-{self._random.getrandbits(20):05X}",
                "rental_start_date": f"{day_text(day)}T09:00:00Z",
            }
        )


def _json(value: dict[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False)
