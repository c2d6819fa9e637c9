"""Rules files: the shipped rules, a user's changes to them, and each mistake with its line."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from carlake.contracts.document import schema_text
from carlake.errors import ContractError
from carlake.rules.load import SCHEMA_FILE, SHIPPED_FILE, SHIPPED_TYPES, load_rules, schema
from carlake.rules.rule import AlertRule, Tier
from carlake.tables.table import Column

GOOD = """\
rules:
  SPEEDING_ALERT:
    above: {WARNING: 120, CRITICAL: 150}
  LOW_FUEL: off
  COLD_CABIN:
    title: Cabin temperature
    column: cabin_temp_celsius
    below: {WARNING: -5.5}
    unless: {year: 2000}
"""
CABIN = Column("cabin_temp_celsius", "double", "cabin", unit="Cel")


def written(folder: Path, text: str) -> Path:
    (folder / "rules.yaml").write_text(text)
    return folder / "rules.yaml"


def test_the_shipped_rules() -> None:
    found = {
        (rule.type, rule.column, rule.unit, tier.operator, tier.threshold, tier.severity)
        for rule in load_rules()
        for tier in rule.tiers
    }
    assert found == {
        ("OVERHEAT_ENGINE", "engine_temp_celsius", "Cel", ">", 100.0, "CRITICAL"),
        ("OVERHEAT_OIL", "oil_temp_celsius", "Cel", ">", 110.0, "CRITICAL"),
        ("SPEEDING_ALERT", "trip_max_speed_kmh", "km/h", ">", 110.0, "WARNING"),
        ("LOW_FUEL", "fuel_available_liters", "L", "<", 10.0, "WARNING"),
        ("LOW_FUEL", "fuel_available_liters", "L", "<", 5.0, "CRITICAL"),
        ("HIGH_MILEAGE", "current_mileage_km", "km", ">", 100000.0, "WARNING"),
    }
    rules = {rule.type: rule for rule in load_rules()}
    assert tuple(rules) == SHIPPED_TYPES
    assert (rules["LOW_FUEL"].unless_column, rules["LOW_FUEL"].unless_equals) == ("fuel_capacity_liters", 0.0)
    assert {rule.unless_column for rule in rules.values()} == {"", "fuel_capacity_liters"}


def test_a_users_file_changes_adds_and_switches_off(tmp_path: Path) -> None:
    rules = load_rules([written(tmp_path, GOOD)], extra_columns=[CABIN])
    assert [rule.type for rule in rules] == [
        "OVERHEAT_ENGINE",
        "OVERHEAT_OIL",
        "SPEEDING_ALERT",
        "HIGH_MILEAGE",
        "COLD_CABIN",
    ]
    assert rules[2].column == "trip_max_speed_kmh"
    assert rules[2].tiers == (Tier(">", 120.0, "WARNING"), Tier(">", 150.0, "CRITICAL"))
    assert rules[4] == AlertRule(
        "COLD_CABIN", "Cabin temperature", "cabin_temp_celsius", "Cel", (Tier("<", -5.5, "WARNING"),), "year", 2000.0
    )


@pytest.mark.parametrize(
    ("old", "new", "line", "what", "allowed"),
    [
        ("rules:", "rule:", 1, "did you mean `rules`", "rules"),
        ("SPEEDING_ALERT:", "Speeding:", 2, "`Speeding` is not an alert type", "upper case"),
        ("SPEEDING_ALERT:", "SPEEDING:", 2, "rule `SPEEDING` has no title", "SPEEDING_ALERT"),
        (
            "LOW_FUEL: off",
            "LOW_FUELS: off",
            4,
            "no rule `LOW_FUELS` to switch off: did you mean `LOW_FUEL`",
            "LOW_FUEL",
        ),
        ("LOW_FUEL: off", "LOW_FUEL: 5", 4, "this is a whole number, not a mapping", "key: value"),
        ("LOW_FUEL: off", "SPEEDING_ALERT: off", 4, "given twice", "line 2"),
        ("above: {", "over: {", 3, "`over` is not a key", "above, below"),
        ("WARNING: 120", "WARN: 120", 3, "`WARN` is not a severity: did you mean `WARNING`", "CRITICAL"),
        ("WARNING: 120", "WARNING: fast", 3, "`fast` is not a number", "number"),
        ("WARNING: 120", "WARNING: .inf", 3, "`.inf` is not a number", "number"),
        ("WARNING: 120", "WARNING: 160", 3, "CRITICAL is not worse", "above that of WARNING"),
        ("{WARNING: 120, CRITICAL: 150}", "{}", 3, "no threshold", "WARNING: 100"),
        (
            "column: cabin_temp_celsius",
            "column: cabin_temp",
            7,
            "did you mean `cabin_temp_celsius`",
            "current_mileage_km",
        ),
        ("column: cabin_temp_celsius", "column: model", 7, "no numeric column `model`", "engine_temp_celsius"),
        ("    unless", "    above: {WARNING: 3}\n    unless", 8, "either above or below", "one"),
        ("    below: {WARNING: -5.5}\n", "", 5, "has no threshold", "above"),
        ("{year: 2000}", "{year: 2000, model_year: 1}", 9, "one column", "unless"),
        ("{year: 2000}", "{yeer: 2000}", 9, "did you mean `year`", "year"),
        ("rules:", "rules: [", 3, "not YAML", "brackets"),
    ],
)
def test_a_mistake_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, what: str, allowed: str
) -> None:
    assert old in GOOD
    file = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ContractError) as raised:
        load_rules([file], extra_columns=[CABIN])
    assert raised.value.what.startswith(f"{file}, line {line}: "), raised.value.what
    assert re.search(what, raised.value.what), raised.value.what
    assert re.search(allowed, raised.value.advice), raised.value.advice


def test_the_published_schema_is_not_stale_and_right() -> None:
    assert SCHEMA_FILE.read_text() == schema_text(schema()), f"write schema_text(schema()) to {SCHEMA_FILE}"
    validator = jsonschema.Draft202012Validator(schema())
    validator.check_schema(schema())
    validator.validate(yaml.safe_load(SHIPPED_FILE.read_text()))
    validator.validate(yaml.safe_load(GOOD))
    for old, new in [("WARNING: 120", "WARN: 120"), ("LOW_FUEL: off", "LOW_FUEL: 5"), ("SPEEDING_ALERT", "speeding")]:
        assert not validator.is_valid(yaml.safe_load(GOOD.replace(old, new))), new
