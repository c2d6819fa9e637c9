"""The named queries: what people ask first. In the SQL of Athena, which is Trino's."""

from __future__ import annotations

from dataclasses import dataclass

from carlake.tables.declare import BRONZE, GOLD, SILVER

FRESH = (BRONZE, SILVER, *GOLD)
"""The tables whose freshness is watched, and that are counted."""


@dataclass(frozen=True)
class Question:
    """A named query."""

    name: str
    description: str
    sql: str


def questions() -> tuple[Question, ...]:
    """The count of bronze, silver and each gold table; the fleet's status; alerts by type."""
    counts = [
        Question(f"count_{table}", f"Rows of {table}", f"SELECT count(*) AS row_count FROM {table}")
        for table in (BRONZE, SILVER, *GOLD)
    ]
    return (
        *counts,
        Question(
            "status_of_the_fleet",
            "Each car as it is now, those whose insurance has expired first",
            "SELECT car_chassis, manufacturer, model, insurance_status, insurance_days_expired, current_mileage_km,\n"
            "       fuel_available_liters, event_timestamp\n"
            f"FROM {GOLD[0]}\n"
            "ORDER BY insurance_days_expired DESC NULLS LAST, car_chassis",
        ),
        Question(
            "alerts_by_type",
            "Alerts of each type: how many, of how many cars, the newest",
            "SELECT alert_type, alert_severity, count(*) AS alerts, count(DISTINCT car_chassis) AS cars,\n"
            "       max(event_timestamp) AS newest\n"
            f"FROM {GOLD[2]}\n"
            "GROUP BY alert_type, alert_severity\n"
            "ORDER BY alerts DESC, alert_type, alert_severity",
        ),
    )
