"""Times as text: ISO 8601 and strptime formats, read the same by every path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import cached_property, lru_cache
from typing import Any

# ISO 8601 extended: T or space, seconds and fraction optional, Z or an offset.
_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.]([0-9]+))?)?"
    r"(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_OFFSET = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})?")

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

# strptime directive -> regular expression that Python and RE2 read alike. English names, whatever the locale.
DIRECTIVES = {
    "a": f"({'|'.join(d[:3] for d in DAYS)})",
    "A": f"({'|'.join(DAYS)})",
    "b": f"({'|'.join(m[:3] for m in MONTHS)})",
    "B": f"({'|'.join(MONTHS)})",
    "d": "([0-9]{1,2})",
    "m": "([0-9]{1,2})",
    "Y": "([0-9]{4})",
    "y": "([0-9]{2})",
    "H": "([0-9]{1,2})",
    "I": "([0-9]{1,2})",
    "M": "([0-9]{1,2})",
    "S": "([0-9]{1,2})",
    "f": "([0-9]{1,6})",
    "p": "([AaPp][Mm])",
    "z": "(Z|[+-][0-9]{2}:?[0-9]{2})",
}


class NoZoneError(ValueError):
    """The text is a time, but says no zone, and none is declared."""


class NoTimeError(ValueError):
    """The text is no time, or one that does not exist."""


@dataclass(frozen=True)
class TimeFormat:
    """A strptime format, restricted to the directives that every engine reads alike (DIRECTIVES and %%)."""

    text: str

    @cached_property
    def directives(self) -> tuple[str, ...]:
        """Its directives, in order. Raises ValueError for one that is not supported."""
        found = []
        for letter in re.findall(r"%(.?)", self.text, re.DOTALL):
            if letter != "%":
                if letter not in DIRECTIVES:
                    raise ValueError(f"%{letter}")
                found.append(letter)
        return tuple(found)

    @cached_property
    def pattern(self) -> str:
        """A regular expression (Python's and RE2's) that matches whole texts of this format."""
        return "".join(
            DIRECTIVES[part[1]] if part[0] == "%" and part[1:] != "%" else re.escape("%" if part == "%%" else part)
            for part in re.findall(r"%.|[^%]", self.text, re.DOTALL)
        )

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    def read(self, text: str) -> tuple[datetime, str]:
        """The local time and the offset's text (empty if the format has none). Raises NoTimeError."""
        match = self._regex.fullmatch(text)
        if match is None:
            raise NoTimeError
        part = dict(zip(self.directives, match.groups(), strict=True))
        month = int(part.get("m", 0)) or 1
        if "B" in part:
            month = MONTHS.index(part["B"]) + 1
        elif "b" in part:
            month = next(n for n, name in enumerate(MONTHS, 1) if name[:3] == part["b"])
        year = int(part.get("Y") or part["y"])
        if "y" in part:  # POSIX: 69 to 99 are 1969 to 1999
            year += 1900 if year >= 69 else 2000
        hour = int(part.get("H", 0))
        if "I" in part:
            if not 1 <= int(part["I"]) <= 12:
                raise NoTimeError
            hour = int(part["I"]) % 12 + (12 if part.get("p", "am").lower() == "pm" else 0)
        if "m" in part and int(part["m"]) == 0:
            raise NoTimeError
        micros = int(part.get("f", "0").ljust(6, "0"))
        try:
            local = datetime(  # noqa: DTZ001 - the caller gives it its zone
                year, month, int(part.get("d", 1)), hour, int(part.get("M", 0)), int(part.get("S", 0)), micros
            )
        except ValueError as error:
            raise NoTimeError from error
        return local, part.get("z", "")


def instant(text: str, format: TimeFormat | None = None, zone: str | None = None) -> datetime:  # noqa: A002
    """The UTC time that a text names; digits past the microsecond are cut.

    Raises NoZoneError where neither text nor `zone` says the zone, NoTimeError where the text is no time that exists.
    """
    if format is not None:
        local, offset = format.read(text)
    else:
        match = _ISO.fullmatch(text)
        if match is None:
            raise NoTimeError
        year, month, day, hour, minute, second, fraction, offset = match.groups(default="")
        if not hour:
            raise NoZoneError
        try:
            local = datetime(  # noqa: DTZ001 - its zone follows
                int(year),
                int(month),
                int(day),
                int(hour),
                int(minute),
                int(second or 0),
                int(fraction[:6].ljust(6, "0")),
            )
        except ValueError as error:
            raise NoTimeError from error
    try:
        if offset:
            return local.replace(tzinfo=_offset(offset)).astimezone(UTC)
        if zone is None:
            raise NoZoneError
        return _at(local, zone)
    except OverflowError as error:
        raise NoTimeError from error


def day(text: str, format: TimeFormat | None = None, zone: str | None = None) -> date:  # noqa: A002
    """The day that a text names: a plain day as it is, a time by its UTC day. Raises as `instant`."""
    if format is not None:
        local, offset = format.read(text)
        if not offset and zone is None:
            return local.date()
    elif len(text) == 10:
        match = _ISO.fullmatch(text)
        try:
            return date(*(int(part) for part in match.groups()[:3])) if match else _no_day()
        except ValueError as error:
            raise NoTimeError from error
    return instant(text, format, zone).date()


def _no_day() -> date:
    raise NoTimeError


def known_zone(zone: str) -> bool:
    """Whether `zone` can be declared: UTC, an offset as +02:00, or a name of the IANA database."""
    try:
        _zone(zone)
    except (NoTimeError, KeyError):
        return False
    return True


def fixed_offset(zone: str) -> int | None:
    """The zone's seconds east of UTC, None where they change with the time of year."""
    found = _zone(zone)
    shift = found.utcoffset(None) if isinstance(found, timezone) else None
    return None if shift is None else int(shift.total_seconds())


def _offset(text: str) -> timezone:
    if text == "Z":
        return UTC
    match = _OFFSET.fullmatch(text)
    if match is None:
        raise NoTimeError
    hours, minutes = int(match[2]), int(match[3] or 0)
    if hours > 23 or minutes > 59:
        raise NoTimeError
    shift = timedelta(hours=hours, minutes=minutes)
    return timezone(-shift if match[1] == "-" else shift)


@lru_cache
def _zone(zone: str) -> tzinfo:
    if zone in ("UTC", "Z", "Etc/UTC", "GMT"):
        return UTC
    if zone[:1] in ("+", "-"):
        return _offset(zone)
    import pytz  # its own zone data, the same on every machine; few contracts need it

    if zone not in pytz.all_timezones_set:
        raise KeyError(zone)
    found: tzinfo = pytz.timezone(zone)
    return found


def _at(local: datetime, zone: str) -> datetime:
    """UTC of a local time. Of a time that the clock shows twice the first is meant; one that it skips does not exist."""
    found: Any = _zone(zone)
    if isinstance(found, timezone):
        return local.replace(tzinfo=found).astimezone(UTC)
    import pytz

    try:
        moment: datetime = found.localize(local, is_dst=None)
    except pytz.AmbiguousTimeError:
        moment = found.localize(local, is_dst=True)
    except pytz.NonExistentTimeError as error:
        raise NoTimeError from error
    return moment.astimezone(UTC)
