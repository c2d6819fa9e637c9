"""gold_performance_alerts_log: one row per event and rule broken; rules are data, and an alert that no longer holds goes."""

from __future__ import annotations

from carlake.rules.rule import AlertRule
from carlake.tables.table import Column, Table

COLUMNS = (
    Column(
        "alert_id",
        "string",
        "MD5 of car, event and alert type: the same alert has the same id in every run",
        required=True,
    ),
    Column("car_chassis", "string", "the car: its chassis number", personal=True, required=True),
    Column("event_id", "string", "the event that broke the rule", required=True),
    Column("alert_type", "string", "the rule", required=True),
    Column("alert_severity", "string", "CRITICAL or WARNING, as the rule says for this value", required=True),
    Column("alert_value", "double", "the value that broke the rule, in the unit of column `unit`", required=True),
    Column("threshold", "double", "the threshold it broke, in the unit of column `unit`", required=True),
    Column("unit", "string", "UCUM unit of alert_value and threshold"),
    Column("alert_message", "string", "the alert in words"),
    Column("current_mileage_km", "double", "odometer at the event", unit="km"),
    Column("fuel_available_liters", "double", "fuel in the tank at the event", unit="L"),
    Column("telemetry_timestamp", "timestamptz", "when the telemetry was read"),
    Column("event_timestamp", "timestamptz", "time of the event (UTC)", required=True),
    Column("alert_date", "date", "UTC day of event_timestamp"),
    Column("event_year", "int", "UTC year of event_timestamp", unit="a"),
    Column("event_month", "int", "UTC month of event_timestamp, 1 to 12", unit="mo"),
    Column("event_day", "int", "UTC day of the month of event_timestamp", unit="d"),
    Column("alert_generated_timestamp", "timestamptz", "when this row was computed", volatile=True),
)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _case(rules: tuple[AlertRule, ...], tiers: str) -> str:
    """A CASE over the rules' tiers, worst first; `tiers` formats one tier's result."""
    whens = [
        f"WHEN alert_type = {_text(rule.type)} AND alert_value {tier.operator} {tier.threshold!r} THEN "
        + tiers.format(severity=_text(tier.severity), threshold=f"CAST({tier.threshold!r} AS DOUBLE)")
        for rule in rules
        for tier in rule.worst_first
    ]
    return "CASE " + "\n            ".join(whens) + " END"


def _select(rules: tuple[AlertRule, ...]) -> str:
    rows = ", ".join(
        f"({_text(r.type)}, {_text(r.unit)}, {_text(r.title)}, {_text('below' if r.below else 'above')})" for r in rules
    )
    value = (
        "CASE alert_type "
        + " ".join(
            f"WHEN {_text(r.type)} THEN "
            + (
                f"CASE WHEN {r.unless_column} = {r.unless_equals!r} THEN NULL ELSE {r.column} END"
                if r.unless_column
                else r.column
            )
            for r in rules
        )
        + " END"
    )
    # Most events break no rule: only those that come near one are set against each rule.
    near = " OR ".join(
        f"{rule.column} {tier.operator} {tier.threshold!r}" for rule in rules for tier in rule.worst_first
    )
    columns = ", ".join(c.name for c in COLUMNS if c.name not in _COMPUTED)
    return f"""WITH measured AS (
  SELECT {columns}, alert_type, unit, title, direction, CAST({value} AS DOUBLE) AS alert_value
  FROM (SELECT * FROM {{source}} WHERE {near}) AS event CROSS JOIN (VALUES {rows}) AS rule(alert_type, unit, title, direction)
), judged AS (
  SELECT *, {_case(rules, "{severity}")} AS alert_severity,
         {_case(rules, "{threshold}")} AS threshold
  FROM measured WHERE alert_value IS NOT NULL
)
SELECT md5(car_chassis || '|' || event_id || '|' || alert_type) AS alert_id, car_chassis, event_id, alert_type, alert_severity,
       alert_value, threshold, unit,
       title || ' ' || CAST(CAST(CAST(alert_value AS VARCHAR) AS DECIMAL(38,1)) AS VARCHAR) || ' ' || unit || ' is ' || direction || ' '
         || CAST(CAST(CAST(threshold AS VARCHAR) AS DECIMAL(38,1)) AS VARCHAR) || ' ' || unit AS alert_message,
       current_mileage_km, fuel_available_liters, telemetry_timestamp, event_timestamp,
       CAST(event_timestamp AS DATE) AS alert_date, event_year, event_month, event_day,
       {{now}} AS alert_generated_timestamp
FROM judged WHERE alert_severity IS NOT NULL"""


_COMPUTED = frozenset(
    [
        "alert_id",
        "alert_type",
        "alert_severity",
        "alert_value",
        "threshold",
        "unit",
        "alert_message",
        "alert_date",
        "alert_generated_timestamp",
    ]
)


def alerts(rules: tuple[AlertRule, ...]) -> Table:
    """The table, as the given rules fill it."""
    nothing = f"SELECT {', '.join(f'CAST(NULL AS VARCHAR) AS {c.name}' for c in COLUMNS)} FROM {{source}} WHERE 1 = 0"
    return Table(
        name="gold_performance_alerts_log",
        doc="one row per event and rule broken",
        source="silver_car_telemetry",
        scope={"car_chassis": "car_chassis", "event_id": "event_id"},
        key=("car_chassis", "event_id", "alert_type"),
        reads="delta",
        select=_select(rules) if rules else nothing,
        columns=COLUMNS,
        partition=(("alert_type", "identity"), ("event_timestamp", "month")),
        sort=("car_chassis", "event_timestamp"),
        inputs={"rules": repr(rules)},
    )
