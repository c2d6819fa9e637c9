"""Rules files: reading them, refusing their mistakes by line, and their published JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from carlake.contracts import document
from carlake.contracts.document import Key, Node, listed, nearest, object_schema
from carlake.rules.rule import AlertRule, Tier
from carlake.tables.silver_car_telemetry import DERIVED, LANDED
from carlake.tables.table import Column

SHIPPED_FILE = Path(__file__).with_name("alerts.yaml")
SCHEMA_FILE = Path(__file__).with_name("rules.schema.json")
TYPE_PATTERN = r"^[A-Z][A-Z0-9_]{0,62}$"

Severity = Literal["CRITICAL", "WARNING"]
_SEVERITIES: tuple[Severity, ...] = ("WARNING", "CRITICAL")
_TIERS = {
    "type": "object",
    "properties": {severity: {"type": "number"} for severity in _SEVERITIES},
    "minProperties": 1,
    "additionalProperties": False,
}
_RULE = {
    "title": Key("what is measured, as the alert's message begins", {"type": "string", "minLength": 1}),
    "column": Key("the silver column", {"type": "string"}),
    "above": Key("severity: threshold; a value above it raises the alert", _TIERS),
    "below": Key("severity: threshold; a value below it raises the alert", _TIERS),
    "unless": Key(
        "column: number; where the column has that value, the rule does not hold",
        {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": {"type": "number"}},
    ),
}
_FILE = {"rules": Key("alert type: rule, or off", {}, required=True)}


def schema() -> dict[str, Any]:
    """The published JSON Schema of a rules file."""
    result = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "carlake alert rules",
        "description": "Which value of which silver column raises an alert. A shipped rule is changed by its type.",
        **object_schema(_FILE),
    }
    rule = {**object_schema(_RULE), "not": {"required": ["above", "below"]}}
    off = {"enum": [False, "off"], "description": "no such alert"}
    result["properties"]["rules"].update(
        type="object", propertyNames={"pattern": TYPE_PATTERN}, additionalProperties={"anyOf": [rule, off]}
    )
    return result


def load_rules(paths: Sequence[str | Path] = (), *, extra_columns: Sequence[Column] = ()) -> tuple[AlertRule, ...]:
    """The alert rules of a lake: the shipped ones as the files of `paths` change them, then those they add, in order.

    `extra_columns` are the columns that contracts add to silver. Raises ContractError for a mistake, with file, line
    and what is allowed there.
    """
    columns = {
        c.name: c for c in (*LANDED, *(c for c, _ in DERIVED), *extra_columns) if c.type in ("int", "long", "double")
    }
    rules: dict[str, AlertRule] = {}
    for file in [SHIPPED_FILE, *document.files(paths)]:
        for name, (key, value) in document.read(file).mapping(_FILE)["rules"].items().items():
            if not re.fullmatch(TYPE_PATTERN, name):
                raise key.mistake(
                    f"`{name}` is not an alert type", "A type is upper case letters, digits and _, as LOW_FUEL."
                )
            if _is_off(value):
                if name not in rules:
                    raise key.mistake(
                        f"there is no rule `{name}` to switch off{nearest(name, rules)}", f"Rules: {listed(rules)}."
                    )
                del rules[name]
            else:
                rules[name] = _rule(name, key, value, rules.get(name), columns)
    return tuple(rules.values())


def _is_off(node: Node) -> bool:
    return not node.is_mapping() and not node.is_list() and node.scalar().lower() in ("off", "false", "no")


def _rule(name: str, key: Node, node: Node, base: AlertRule | None, columns: dict[str, Column]) -> AlertRule:
    """The rule that a file gives; what it leaves out is as in `base`, the rule of that type so far."""
    keys = node.mapping(_RULE)
    if base is None:
        wanted = [word for word in ("title", "column") if word not in keys]
        if wanted or not {"above", "below"} & set(keys):
            raise key.mistake(
                f"rule `{name}` has no {wanted[0] if wanted else 'threshold'}",
                "A new rule has title, column, and above or below, as above: {WARNING: 100}; "
                f"to change a shipped one, use its type: {listed(SHIPPED_TYPES)}.",
            )
    if "above" in keys and "below" in keys:
        raise keys["below"].mistake("a rule is either above or below", "Keep one of the two.")
    column = _column(keys["column"], columns) if "column" in keys else columns[base.column] if base else None
    assert column is not None
    tiers = base.tiers if base else ()
    for word, operator in (("above", ">"), ("below", "<")):
        if word in keys:
            tiers = _tiers(keys[word], ">" if operator == ">" else "<")
    unless_column, unless_equals = (base.unless_column, base.unless_equals) if base else ("", 0.0)
    if "unless" in keys:
        unless_column, unless_equals = _unless(keys["unless"], columns)
    title = keys["title"].text() if "title" in keys else base.title if base else ""
    return AlertRule(name, title, column.name, column.unit, tiers, unless_column, unless_equals)


def _column(node: Node, columns: dict[str, Column]) -> Column:
    name = node.scalar()
    if name not in columns:
        raise node.mistake(
            f"silver has no numeric column `{name}`{nearest(name, columns)}", f"Numeric columns: {listed(columns)}."
        )
    return columns[name]


def _unless(node: Node, columns: dict[str, Column]) -> tuple[str, float]:
    items = node.items()
    if len(items) != 1:
        raise node.mistake("one column is wanted here", "Write unless: {fuel_capacity_liters: 0}.")
    ((key, value),) = items.values()
    return _column(key, columns).name, value.number()


def _tiers(node: Node, operator: Literal["<", ">"]) -> tuple[Tier, ...]:
    items = node.items()
    for name, (key, _) in items.items():
        if name not in _SEVERITIES:
            raise key.mistake(
                f"`{name}` is not a severity{nearest(name, _SEVERITIES)}", f"Allowed: {listed(_SEVERITIES)}."
            )
    tiers = tuple(Tier(operator, items[name][1].number(), name) for name in _SEVERITIES if name in items)
    if not tiers:
        raise node.mistake("no threshold is given", "Write severity: threshold, as {WARNING: 100}.")
    if len(tiers) == 2 and (
        tiers[1].threshold <= tiers[0].threshold if operator == ">" else tiers[1].threshold >= tiers[0].threshold
    ):
        side = "above" if operator == ">" else "below"
        raise node.mistake(
            "CRITICAL is not worse than WARNING", f"The threshold of CRITICAL must lie {side} that of WARNING."
        )
    return tiers


SHIPPED_TYPES = ("OVERHEAT_ENGINE", "OVERHEAT_OIL", "SPEEDING_ALERT", "LOW_FUEL", "HIGH_MILEAGE")
